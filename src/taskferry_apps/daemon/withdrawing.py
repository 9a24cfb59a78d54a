"""Withdrawing an agent by its owner's word: its connections are ended first, while it can still say so."""

from __future__ import annotations

from typing import Final

import trio

from taskferry_protocol import accounts
from taskferry_protocol.connections import EndKind
from taskferry_protocol.ids import Hash
from taskferry_protocol.messages import ConnectionEnded
from taskferry_protocol.records import Direction, MessageQuery, Order, Rung

from .bonds import all_bonds
from .core import Core
from .draft import Draft
from .ending import LIVE, end_bond
from .link import Link
from .names import no_agent, require_owner
from .owner import Owner
from .port import Caller
from .route import unreachable
from .served import settle_served
from .withdrawn import share_ends

__all__ = ["withdraw_agent"]

#: How long the word to its peers may take to the relay, which has the signed ends besides.
_TELL_S: Final = 5.0
#: As many of its newest messages are looked at for words to peers that wait.
_LOOKED_AT: Final = 500


async def withdraw_agent(core: Core, owner: Owner, link: Link, caller: Caller, agent: str) -> int:
    """No device serves it any more, and what its name was good for ends; how many connections that were.

    Cut off in between, its connections are ended and it is there: who asks again goes on. Where peers have to
    be told, the relay is needed: once the agent is withdrawn nobody could tell them.
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
        await draft.commit()
    core.outgoing.ring()
    await _wait_relayed(core, link, told.union(filter(None, ends)))
    async with core.undivided():
        draft = Draft(core)
        before = await draft.own_log()
        if name in before.state.agents:
            gone = accounts.set_agent(before.state, name, (), at=draft.now, by=core.manage)
            log = await owner.extend(draft, gone)
            await settle_served(draft, before, log)
            ended = await core.store.connections([bond.record.request for bond in live])
            await share_ends(draft, tuple(ended.values()))
            draft.tell("agent", name, state="withdrawn")
            await draft.commit()
    core.outgoing.ring()
    return len(live)


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
