"""Withdrawing an agent by its owner's word: its connections are ended first, while it can still say so."""

from __future__ import annotations

from typing import Final

import trio

from taskferry_protocol import accounts
from taskferry_protocol.connections import EndKind
from taskferry_protocol.ids import Hash
from taskferry_protocol.records import Rung

from .bonds import all_bonds
from .core import Core
from .draft import Draft
from .ending import LIVE, end_bond
from .link import Link
from .names import no_agent, require_owner
from .owner import Owner
from .port import Caller
from .served import settle_served
from .withdrawn import share_ends

__all__ = ["withdraw_agent"]

#: How long the word to its peers may take to the relay. After that they hear it in the account's log.
_TELL_S: Final = 5.0


async def withdraw_agent(core: Core, owner: Owner, link: Link, caller: Caller, agent: str) -> int:
    """No device serves it any more, and what its name was good for ends; how many connections that were.

    Cut off in between, its connections are ended and it is there: who asks again goes on.
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
        told = [await end_bond(draft, bond, EndKind.REVOKED, "", None) for bond in live]
        await draft.commit()
    core.outgoing.ring()
    await _wait_relayed(core, link, {hash for hash in told if hash is not None})
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


async def _wait_relayed(core: Core, link: Link, hashes: set[Hash]) -> None:
    with trio.move_on_after(_TELL_S):
        while link.connected:
            heard = core.feed.next
            waiting = await core.store.outbox_rungs(hashes)
            if not any(rung is Rung.QUEUED for rungs in waiting.values() for _, rung in rungs):
                return
            await heard.wait()
