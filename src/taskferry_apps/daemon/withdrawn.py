"""What goes with an agent that was withdrawn: all that its name was good for on this machine.

Whoever gets the name later is another agent. Messages and tasks stay, as what was said: for the owner, who
sees them under the former one's name, and for nobody else.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection

import attrs

from taskferry_protocol.accounts import AccountLog
from taskferry_protocol.audit import AuditKind
from taskferry_protocol.ids import Hash
from taskferry_protocol.records import (
    ApprovalQuery,
    ApprovalRecord,
    ApprovalState,
    DropProposal,
    DropRuntimes,
    GateState,
    Order,
    PeerConnection,
    Place,
    PutGate,
    PutInvite,
    PutToken,
    RevokeToken,
    SaveApproval,
)
from taskferry_protocol.records.forgetting import ForgetAnswers, SetApart

from .bonds import all_bonds
from .draft import Draft
from .ending import LIVE, end_withdrawn
from .port import Caller, DaemonRefusal
from .publications import Publication, Subject, note
from .questions import answered, tell
from .rule_changes import remove_rule
from .shares import connection_item, share_with
from .steps import scope_of
from .wake_store import drop_wakes

__all__ = ["end_local_powers", "end_powers", "set_apart", "share_ends"]

_PAGE = 500
#: Who ended it, in the audit log and in what is decided: it follows from the account log.
_BY = "withdrawn"


async def end_powers(draft: Draft, agents: Collection[str]) -> None:
    """End all that agents of ours were good for: what `end_local_powers` does, and their connections."""
    await end_local_powers(draft, agents)
    ended: list[PeerConnection] = []
    for name in sorted(agents):
        for bond in await all_bonds(draft.core.store, name):
            record = await end_withdrawn(draft, bond) if bond.record.state in LIVE else None
            ended += [] if record is None else [record]
    await share_ends(draft, ended)


async def end_local_powers(draft: Draft, agents: Collection[str]) -> None:
    """End credentials, programs, wakes, invites, rules, questions and gates of agents of ours."""
    if not agents:
        return
    await _end_credentials(draft, agents)
    await drop_wakes(draft, agents)
    await _end_invites(draft, agents)
    for rule in await draft.core.store.standing_rules():
        if rule.mine in agents and rule.removed_at is None:
            await remove_rule(draft, rule, _BY)
    for name in sorted(agents):
        await _end_all_of(draft, name)


def set_apart(draft: Draft, before: AccountLog, agents: Collection[str]) -> None:
    """Keep what was of those that had these names by the log `before` apart from what is the next ones'."""
    core = draft.core
    for name in sorted(agents):
        if number := len(before.state.made.get(name, ())):
            draft.add(SetApart(core.agent(name), number))
            core.last_seen.pop(name, None)
            core.ran.pop(name, None)


async def share_ends(draft: Draft, ended: Collection[PeerConnection]) -> None:
    """Tell those of the owner's other machines of ends that may not sign them.

    They hear of them in no other way: what the agent itself says is believed no more. To all others it would
    be one more word, later than what they may have blocked meanwhile.
    """
    if not ended:
        return
    items, mark = [connection_item(record) for record in ended], draft.mark()
    try:
        for device in (await draft.own_log()).state.active_devices():
            if device.record.manage is None:
                await share_with(draft, device.id, items)
    except DaemonRefusal:
        draft.back_to(mark)  # the clock is wrong, say: what is withdrawn is so all the same


async def _end_credentials(draft: Draft, agents: Collection[str]) -> None:
    scopes = set()
    for token in await draft.core.store.tokens():
        if not set(agents).isdisjoint(token.agents):
            scopes.add(scope_of(Caller(frozenset(token.agents))))
        gone = [name for name in token.agents if name in agents]
        if not gone or token.revoked_at is not None:
            continue
        left = tuple(name for name in token.agents if name not in agents)
        if left:
            draft.add(PutToken(attrs.evolve(token, agents=left)))
        else:
            draft.add(RevokeToken(Hash(token.digest), draft.now))
        id = token.digest.hex()[:16]
        draft.audit(AuditKind.CREDENTIAL_REVOKED, ", ".join(gone), id=id, by=_BY)
    if scopes:
        # What one of the former agent was answered under a key is no answer to one of the next.
        draft.add(ForgetAnswers(tuple(sorted(scopes))))


async def _end_invites(draft: Draft, agents: Collection[str]) -> None:
    for invite in await draft.core.store.invites():
        if invite.agent not in agents or invite.revoked:
            continue
        draft.add(PutInvite(attrs.evolve(invite, revoked=True)))
        await note(draft, Publication(Subject.INVITE, invite.id))
        draft.tell("invite", "", state="withdrawn", id=invite.id.hex())
        draft.audit(AuditKind.INVITE_REVOKED, invite.id.hex(), mine=invite.agent, by=_BY)


async def _end_all_of(draft: Draft, name: str) -> None:
    core = draft.core
    programs = tuple(one.id for one in await core.store.runtimes(name))
    if programs:
        draft.add(DropRuntimes(programs))
    for gone in programs:
        core.passed.pop(gone, None)
        core.acted.pop(gone, None)
    async for asked in _questions(draft, name):
        denied = answered(asked, ApprovalState.DENIED, _BY, draft.now)
        draft.add(SaveApproval(denied), DropProposal(asked.id))
        tell(draft, denied)
    at_gates = (await core.store.waiting_counts(draft.now)).tasks
    for gate in await core.store.gates_waiting(name, at_gates):
        draft.add(PutGate(attrs.evolve(gate, state=GateState.DECLINED, decided_at=draft.now, by=_BY)))


async def _questions(draft: Draft, name: str) -> AsyncIterator[ApprovalRecord]:
    query = ApprovalQuery(agent=name, states=frozenset({ApprovalState.ASKED, ApprovalState.APPROVED}))
    after: Place | None = Place(0)
    while after is not None:
        page = await draft.core.store.approval_page(query, after, _PAGE, Order.OLDEST_FIRST)
        for asked in page.items:
            yield asked
        after = page.next
