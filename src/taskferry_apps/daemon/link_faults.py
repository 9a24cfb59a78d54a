"""What is wrong with a text that should have been an invite link, said so that it can be mended. Pure."""

from __future__ import annotations

import re
from typing import Final

from .invite_port import LinkProblem

__all__ = ["fault_of"]

_SHAPE: Final = "taskferry://HOST/invite/CODE#account=…&secret=…"
_KIND: Final = re.compile(r"taskferry://[^/?#]*/([A-Za-z0-9_-]{1,32})(?=[/?#]|$)", re.ASCII)
_COPY: Final = "Copy the whole link again, from its beginning to its end."


def fault_of(text: str) -> LinkProblem:
    """What is wrong with a text that `InviteLink.parse` refused. Nothing of the text is repeated."""
    if re.match(r"https?://", text, re.ASCII):
        return _bad(
            "That is the address of a page, not a TaskFerry link.", f"On that page is a link: {_SHAPE}"
        )
    if not text.startswith("taskferry://"):
        return _bad("That is not a TaskFerry link.", f"One looks like this: {_SHAPE}")
    kind = _KIND.match(text)
    if kind is not None and kind[1] == "setup":
        return LinkProblem(
            "setup-link",
            "That link is a ticket for a new account; it is not opened but used in setting one up.",
            "Use it with: taskferry setup, and see: taskferry setup --help",
        )
    if kind is None or kind[1] != "invite":
        return LinkProblem(
            "unknown-link",
            "That is not an invite, and no kind of link that can be opened here.",
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
