"""Reading a link that was opened, and what is wrong with one, said so that it can be mended. Pure."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

from taskferry_protocol.device_links import DeviceLink
from taskferry_protocol.errors import RemoteProtocolError
from taskferry_protocol.invites import InviteLink
from taskferry_protocol.setup_links import SetupLink
from taskferry_transports.loopback import is_loopback

from .invite_port import LinkProblem

__all__ = [
    "SETUP_LINK",
    "AnyLink",
    "device_without_account",
    "device_without_power",
    "foreign",
    "foreign_device",
    "read_link",
    "read_ticket",
    "without_account",
]

SETUP_LINK: Final = "setup-link"
"""The code of a link that is a ticket for a new account."""

AnyLink = InviteLink | DeviceLink

_SHAPE: Final = "taskferry://HOST/invite/CODE#account=…&secret=…"
_KIND: Final = re.compile(r"taskferry://[^/?#]*/([A-Za-z0-9_-]{1,32})(?=[/?#]|$)", re.ASCII)
_COPY: Final = "Copy the whole link again, from its beginning to its end."


def read_link(text: str) -> AnyLink | LinkProblem:
    """The link that `text` is, or what is wrong with it. Nothing of the text is repeated."""
    for kind in (InviteLink, DeviceLink):
        try:
            return kind.parse(text)
        except RemoteProtocolError:
            continue
    return _fault_of(text)


def read_ticket(text: str) -> SetupLink | None:
    """The ticket for a new account that `text` is, if it is one."""
    try:
        return SetupLink.parse(text)
    except RemoteProtocolError:
        return None


def without_account(relay: str) -> LinkProblem:
    """An invite on a machine that has no account."""
    scheme = "http" if is_loopback(urlsplit(f"//{relay}").hostname or "") else "https"
    return LinkProblem(
        "not-set-up",
        f"This daemon has no account yet, and the link is for one at {relay}.",
        f"Make one with: taskferry setup OWNER --relay {scheme}://{relay}  Then open the link again.",
    )


def foreign(relay: str, own: str) -> LinkProblem:
    """An invite at another relay than this daemon's."""
    return LinkProblem(
        "wrong-relay",
        f"That link is for the relay {relay}; this daemon uses {own}.",
        f"Ask for an invite at {own}, or open the link with a daemon that uses {relay}.",
    )


def device_without_account() -> LinkProblem:
    """The link of a new machine, opened on another one without an account."""
    return LinkProblem(
        "not-set-up",
        "That link is for a machine that has the account already; this one has none.",
        "Open it there.",
    )


def foreign_device(relay: str, own: str) -> LinkProblem:
    """The link of a new machine that waits at another relay than this daemon's."""
    return LinkProblem(
        "wrong-relay",
        f"The new machine waits at the relay {relay}; this daemon uses {own}.",
        f"Begin anew on the new machine, with: taskferry device link --relay {own}",
    )


def device_without_power() -> LinkProblem:
    """The link of a new machine, opened on one that may not sign for the account."""
    return LinkProblem(
        "not-authorized",
        "This machine may not take others in.",
        "Open the link on one that may manage the account; see: taskferry device list",
    )


def _fault_of(text: str) -> LinkProblem:
    if re.match(r"https?://", text, re.ASCII):
        return _bad(
            "That is the address of a page, not a TaskFerry link.", f"On that page is a link: {_SHAPE}"
        )
    if not text.startswith("taskferry://"):
        return _bad("That is not a TaskFerry link.", f"One looks like this: {_SHAPE}")
    kind = _KIND.match(text)
    if kind is not None and kind[1] == "setup":
        return LinkProblem(
            SETUP_LINK,
            "That link is a ticket for a new account; it is not opened but used in setting one up.",
            "Type in a terminal: taskferry setup --ticket -  and paste the link when it asks.",
        )
    if kind is not None and kind[1] == "device":
        return _bad(
            "That is the link of a new machine, and its code is cut off or damaged.",
            "Copy the whole link again, or type the code over: taskferry device approve CODE",
        )
    if kind is None or kind[1] != "invite":
        return LinkProblem(
            "unknown-link",
            "That is no kind of link that can be opened here.",
            "A newer version may know it; see: taskferry open --help",
        )
    before, mark, fragment = text.partition("#")
    if not mark or not fragment:
        return _bad("The link is cut off: everything from # on is missing, and with it the secret.", _COPY)
    if any(character.isspace() for character in text):
        return _bad("There is a space or a line break in the link.", _COPY)
    if not re.fullmatch(r"taskferry://[^/]+/invite/[A-Za-z0-9_-]{22}", before, re.ASCII):
        return _bad("The part of the link before # is damaged.", _COPY)
    return _bad("The part of the link behind # is damaged: account or secret is missing or edited.", _COPY)


def _bad(message: str, next_step: str) -> LinkProblem:
    return LinkProblem("bad-link", message, next_step)
