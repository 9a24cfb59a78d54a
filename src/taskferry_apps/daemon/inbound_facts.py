"""What the daemon knows when it decides on one delivered envelope, looked up by the envelope's header."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from taskferry_protocol.envelope import Envelope
from taskferry_protocol.ids import AccountId
from taskferry_protocol.inbound import Directory, InboundFacts
from taskferry_protocol.links import Role
from taskferry_protocol.messages import MessageClass
from taskferry_protocol.rates import RateState
from taskferry_protocol.records import ConnectionState, Flow, Seen, SeenKey, TaskQuery
from taskferry_protocol.tasks import FINAL_STATES, TaskState

from .bonds import Bond, all_bonds, bonds_between, closed_to_peer, relation
from .core import Core
from .identity_changes import replaced
from .log_news import News

__all__ = ["gather_facts", "seen_key"]

_OPEN: Final = frozenset(state.value for state in TaskState if state not in FINAL_STATES)
#: Nobody is granted more open tasks than are counted.
_COUNTED: Final = 1_000


def seen_key(envelope: Envelope) -> SeenKey:
    """What an envelope is known by that may have come before."""
    header = envelope.header
    return SeenKey(envelope.device, header.id, header.to, header.seq)


async def gather_facts(
    core: Core,
    envelope: Envelope,
    directory: Directory,
    news: News | None,
    own: Directory,
    seen: Seen | None = None,
) -> InboundFacts:
    """The facts for `envelope`; `news` is the sender's log where another is to be taken, `own` for ours.

    `seen` is what was decided on before under its numbers, where that was looked up already.
    """
    header, store = envelope.header, core.store
    mine = await core.own_log()
    sender = news.log if news is not None else await core.logs.get(header.from_.account)
    pinned = await store.accounts({header.from_.account, mine.account})
    held = {account for account, found in pinned.items() if found.record.held}
    if await replaced(store, header.from_.account):
        held.add(header.from_.account)
    if news is not None and news.settles:
        held.discard(news.log.account)
    bonds = await bonds_between(store, header.to, header.from_)
    current = next((b for b in reversed(bonds) if b.record.state is ConnectionState.ACCEPTED), None)
    given = current.given if current is not None else None
    flow = Flow(header.from_, header.to)
    rate = (await store.rates((flow,))).get(flow)
    if seen is None:
        key = seen_key(envelope)
        seen = (await store.seen((key,)))[key]
    return InboundFacts(
        mine=mine,
        device=core.device,
        keys=core.keys.opening_keys(),
        sender=sender,
        held=frozenset(held),
        relation=relation(bonds),
        acquainted=header.cls is MessageClass.ACCOUNT and await _acquainted(core, header.from_.account),
        grant=given.grant if given is not None else None,
        terms=given.terms if given is not None else None,
        rate=RateState(rate.tokens_milli, rate.at) if rate is not None else None,
        arrived=core.arrived.get(flow),
        unanswered=_unanswered(bonds),
        closed_until=closed_to_peer(bonds),
        open_tasks=await _open_tasks(core, envelope),
        seen=seen,
        caught_up=core.caught_up,
        directory=directory,
        own=own,
    )


def _unanswered(bonds: Sequence[Bond]) -> int:
    """The peer's requests that nobody here has answered, those that were taken back, too."""
    count = 0
    for bond in bonds:
        record = bond.record
        answered = record.accept_raw or not bond.asked_by_peer or bond.ended_by_us
        count += 0 if answered else 1
    return count


async def _acquainted(core: Core, account: AccountId) -> bool:
    return any(
        bond.record.peer.account == account and bond.record.state is ConnectionState.ACCEPTED
        for bond in await all_bonds(core.store)
    )


async def _open_tasks(core: Core, envelope: Envelope) -> int:
    header = envelope.header
    if header.cls is not MessageClass.TASK:
        return 0
    query = TaskQuery(
        agent=header.to.name, peer=header.from_, role=Role.WORKER.value, states=_OPEN | {"unknown"}
    )
    return len((await core.store.task_page(query, None, _COUNTED)).items)
