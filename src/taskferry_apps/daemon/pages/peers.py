"""`/dashboard/peers`: who other owners are known to be, their safety codes, and what is decided."""

from __future__ import annotations

from typing import Final

from quart import Response, request

from taskferry_protocol.ids import AccountId, Instant
from taskferry_protocol.limits import TIME_LIMIT

from ...trust_words import trust_words
from ..port import DaemonRefusal
from .desk import Desk, Pressed
from .owner import OWNER
from .page import Page
from .typed import chosen, stale, whole_hash, whole_typed

__all__ = ["PAGES"]

_ROOM: Final = "/dashboard/peers"
_SHOWN: Final = 50
#: Longer than any safety code with what people put between its words.
_CODE_BYTES: Final = 1_024
_DEEDS: Final = ("verify", "trust", "unverify", "keep", "accept-change")


async def _list(desk: Desk) -> Response:
    visitor = await desk.visit()
    if named := request.args.get("named", "").strip():
        found = await desk.daemon.peers.peer(OWNER, named if named.startswith("@") else f"@{named}")
        return Response("", 303, {"Location": f"{_ROOM}/{found.account.hex()}"})
    lines, more = await desk.daemon.peers.peer_page(OWNER, request.args.get("cursor", ""), _SHOWN)
    status = await desk.status()
    return await desk.show(
        "peers.html",
        visitor,
        peers=lines,
        changed=status.changed,
        older=f"{_ROOM}?cursor={more}" if more else "",
    )


async def _show(desk: Desk, named: str) -> Response:
    """One owner; `@owner` leads to the account that has the name now, the account id to that alone."""
    visitor = await desk.visit()
    if not named.startswith("@"):
        named = whole_hash(named, "owner").hex()
    found = await desk.daemon.peers.peer(OWNER, named)
    if found.account.hex() != named:
        return Response("", 303, {"Location": f"{_ROOM}/{found.account.hex()}"})
    return await desk.show(
        "peer.html",
        visitor,
        one=found,
        meaning=trust_words(found.trust).partition(": ")[2],
        groups=found.code.digits.split(),
        code_bytes=_CODE_BYTES,
    )


async def _decide(desk: Desk, named: str) -> Response:
    pressed, peers = await desk.press(), desk.daemon.peers
    # By account and never by name: a name can be another account's by now.
    account = whole_hash(named, "owner").hex()
    do, here = chosen(pressed.form, "do", _DEEDS), f"{_ROOM}/{account}"
    match do:
        case "verify":
            done = await peers.verify(OWNER, account, pressed.text("code", _CODE_BYTES))
            return desk.done(pressed, f"@{done.owner} is verified.", here)
        case "trust":
            done = await peers.trust(OWNER, account)
            return desk.done(pressed, f"@{done.owner} is pinned, without a comparison.", here)
        case "unverify":
            done = await peers.unverify(OWNER, account)
            return desk.done(pressed, f"@{done.owner} is unverified again.", here)
        case "keep":
            shown = Instant(whole_typed(pressed.form.get("question", ""), TIME_LIMIT - 1, "question"))
            done = await peers.keep(OWNER, account, shown)
            told = f"@{done.owner} stays as it is pinned; what waited for it is sent now."
            return desk.done(pressed, told, here)
        case _:
            return await _accept_change(desk, pressed, account)


async def _accept_change(desk: Desk, pressed: Pressed, account: str) -> Response:
    if pressed.form.get("sure") != "yes":
        raise DaemonRefusal(
            "bad-value",
            "Nothing was changed: you have not said that its owner told you so.",
            "Go back, and tick the box if that is so.",
        )
    other = AccountId(whole_hash(pressed.form.get("other", ""), "account"))
    before = await desk.daemon.peers.peer(OWNER, account)
    if before.change is None or before.change.other != other:
        raise stale(f"What is in question about @{before.owner}")
    done = await desk.daemon.peers.accept_change(OWNER, account, other)
    told = f"@{done.owner} is the other account now, unverified; connect anew."
    return desk.done(pressed, told, f"{_ROOM}/{done.account.hex()}")


PAGES: Final = (
    Page("GET", _ROOM, _list),
    Page("GET", f"{_ROOM}/<named>", _show),
    Page("POST", f"{_ROOM}/<named>", _decide),
)
