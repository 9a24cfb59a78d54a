"""Withdrawing an agent by its owner's word: its connections are ended first, while it can still say so."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final

import trio

from taskferry_protocol import accounts
from taskferry_protocol.connections import EndKind
from taskferry_protocol.ids import Hash
from taskferry_protocol.messages import ConnectionEnded
from taskferry_protocol.records import Direction, DropSetting, MessageQuery, Order, PutSetting, Rung

from ..logs import get_logger
from .bonds import Bond, all_bonds
from .core import Core
from .draft import Draft
from .ending import LIVE, end_bond
from .link import Link
from .names import no_agent, require_owner
from .owner import Owner
from .port import Caller, DaemonRefusal
from .route import unreachable
from .served import settle_served
from .withdrawn import share_ends

__all__ = ["finish_withdrawals", "withdraw_agent"]

#: How long the word to its peers may take to the relay, which has the signed ends besides.
_TELL_S: Final = 5.0
#: The setting that names those whose connections are ended, and which are to be withdrawn: JSON, with when
#: there came to be one of each name, by which the next of that name is another.
_KEY: Final = "agents being withdrawn"
#: As many of its newest messages are looked at for words to peers that wait.
_LOOKED_AT: Final = 500


async def withdraw_agent(core: Core, owner: Owner, link: Link, caller: Caller, agent: str) -> int:
    """No device serves it any more, and what its name was good for ends; how many connections that were.

    Refused in between, its connections are ended and it is there: who asks again goes on. A daemon that ends
    in between goes on by itself. Where peers have to be told, the relay is needed: afterwards nobody could.
    Raises DaemonRefusal: not-found, conflict, relay-unreachable, not-authorized, locked.
    """
    require_owner(caller)
    async with core.undivided():
        draft = Draft(core)
        log = await draft.own_log()
        name = agent.removeprefix(f"@{log.state.name}/")
        if name not in log.state.agents:
            raise no_agent(agent, "agent")
        live = [bond for bond in await all_bonds(core.store, name) if bond.record.state in LIVE]
        told = await _ends_under_way(core, name)
        if (live or told) and not link.connected:
            raise unreachable("")
        ends = [await end_bond(draft, bond, EndKind.REVOKED, "", None) for bond in live]
        _note(draft, {**await _noted(draft), name: log.state.made[name]})
        await draft.commit()
    core.outgoing.ring()
    try:
        await _wait_relayed(core, link, told.union(filter(None, ends)))
        await _set_down(core, owner, name, log.state.made[name], live)
    except DaemonRefusal:
        # Its owner is told, and asks again or thinks better of it.
        await _forget(core, name)
        raise
    return len(live)


async def finish_withdrawals(core: Core, owner: Owner, link: Link) -> None:
    """Go on with what this daemon was ended in the midst of. The lock must be free.

    Whoever asked was told nothing, and the peers were told of ends alone.
    """
    for name, made in sorted((await _noted(Draft(core))).items()):
        try:
            await _wait_relayed(core, link, await _ends_under_way(core, name))
            bonds = await all_bonds(core.store, name)
            ended = [bond for bond in bonds if bond.record.end_raw]
            await _set_down(core, owner, name, made, ended)
        except DaemonRefusal as refused:
            # The key is locked, another device was faster, the relay has gone: the next round goes on.
            get_logger().info("an agent is not withdrawn yet", agent=name, reason=refused.code)


async def _set_down(core: Core, owner: Owner, name: str, made: tuple[int, ...], live: Sequence[Bond]) -> None:
    """Let no device serve the one that was `made` last then; `live` are its connections, which are ended."""
    async with core.undivided():
        draft = Draft(core)
        before = await draft.own_log()
        if name in before.state.agents and before.state.made[name] == made:
            gone = accounts.set_agent(before.state, name, (), at=draft.now, by=core.manage)
            log = await owner.extend(draft, gone)
            await settle_served(draft, before, log)
            ended = await core.store.connections([bond.record.request for bond in live])
            await share_ends(draft, tuple(ended.values()))
            draft.tell("agent", name, state="withdrawn")
        await _strike(draft, name)
        await draft.commit()
    core.outgoing.ring()


async def _noted(draft: Draft) -> dict[str, tuple[int, ...]]:
    noted = json.loads(await draft.setting(_KEY) or b"{}")
    return {name: tuple(made) for name, made in noted.items()}


def _note(draft: Draft, noted: Mapping[str, tuple[int, ...]]) -> None:
    draft.add(PutSetting(_KEY, json.dumps(noted).encode()) if noted else DropSetting(_KEY))


async def _strike(draft: Draft, name: str) -> None:
    _note(draft, {other: made for other, made in (await _noted(draft)).items() if other != name})


async def _forget(core: Core, name: str) -> None:
    async with core.lock:
        draft = Draft(core)
        await _strike(draft, name)
        await draft.commit()


async def _ends_under_way(core: Core, name: str) -> set[Hash]:
    """The words to peers, of a try before that was cut off, that the relay has not taken."""
    query = MessageQuery(agent=name, direction=Direction.OUT)
    page = await core.store.message_page(query, None, _LOOKED_AT, Order.NEWEST_FIRST)
    queued = [message for message in page.items if message.rung is Rung.QUEUED]
    return {message.hash for message in queued if message.type == ConnectionEnded.type_name}


async def _wait_relayed(core: Core, link: Link, hashes: set[Hash]) -> None:
    """Raises DaemonRefusal(relay-unreachable) where the session ends before the relay has them."""
    with trio.move_on_after(_TELL_S):
        while True:
            heard = core.feed.next
            waiting = await core.store.outbox_rungs(hashes)
            if not any(rung is Rung.QUEUED for rungs in waiting.values() for _, rung in rungs):
                return
            await heard.wait()
    if not link.connected:
        raise unreachable("")
