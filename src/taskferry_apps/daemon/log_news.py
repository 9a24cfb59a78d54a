"""What a relay says of account logs beyond what is pinned: what extends it is taken, the rest an alarm."""

from __future__ import annotations

from taskferry_protocol.accounts import AccountLog, LogRelation, compare
from taskferry_protocol.errors import RejectCode, RemoteProtocolError
from taskferry_protocol.frame_items import Refusal
from taskferry_protocol.ids import AccountId
from taskferry_protocol.records import EvidenceRecord, HoldAccount, PutEvidence

from ..relay_client import RelayClient
from .alarms import raise_alarm
from .core import Core
from .draft import Draft
from .logbook import continued
from .publishing import fetch_log

__all__ = ["hold_forked", "pin", "take_news", "take_own_news"]


def pin(draft: Draft, held: AccountLog | None, log: AccountLog) -> None:
    """Pin a log that is new, extends the one held, or wins over it by its owner's recovery key."""
    if held is None or compare(held, log) is not LogRelation.WINS:
        draft.take_log(held, log)
        return
    shared = next(index for index, head in enumerate(held.heads) if head != log.heads[index])
    draft.replace_log(held, log, shared)
    # The recovery key settles what of the two histories counts.
    draft.add(HoldAccount(log.account, ""))


async def hold_forked(core: Core, other: AccountLog) -> None:
    """Stop the traffic of an account that shows two histories, keep both, and tell the owner."""
    async with core.lock:
        draft = Draft(core)
        held = await core.logs.get(other.account)
        if held is None:
            return
        index = next(index for index, head in enumerate(held.heads) if head != other.heads[index])
        evidence = EvidenceRecord(
            RejectCode.FORKED.value,
            other.account,
            held.statements[index],
            other.statements[index],
            draft.now,
        )
        reason = "its log has two histories, each signed by its owner's keys"
        draft.add(PutEvidence(evidence), HoldAccount(other.account, reason))
        await raise_alarm(draft, f"The account @{held.state.name} is held: {reason}.")
        await draft.commit()


async def take_own_news(core: Core, client: RelayClient) -> None:
    """Take what the relay has of our own log beyond what we have: another device of ours signed it."""
    own = await core.own_log()
    if client.ready.log.length <= own.state.length:
        return
    more = await fetch_log(client, own.account, own.state.length)
    async with core.lock:
        draft = Draft(core)
        try:
            log = continued(own, own.state.length, more)
        except RemoteProtocolError as error:
            text = f"The relay shows another history of this account: {error}"
            await raise_alarm(draft, text)
        else:
            if compare(own, log) in {LogRelation.EXTENSION, LogRelation.WINS}:
                pin(draft, own, log)
        await draft.commit()


async def take_news(core: Core, client: RelayClient, account: AccountId, refusal: Refusal) -> bool:
    """Take the statements that a stale-log refusal brings, or fetch them, if they extend ours."""
    held = await core.logs.get(account)
    if held is None:
        return False
    detail = refusal.detail
    start, statements = detail.start or 0, detail.statements or ()
    if not statements or start > held.state.length:
        start, statements = held.state.length, await fetch_log(client, account, held.state.length)
    async with core.lock:
        draft = Draft(core)
        held = await core.logs.get(account)
        if held is None:
            return False
        try:
            log = continued(held, start, statements)
            relation = compare(held, log)
        except RemoteProtocolError as error:
            await raise_alarm(draft, f"The relay shows a log of @{held.state.name} that fails: {error}")
            await draft.commit()
            return False
        if relation in {LogRelation.EXTENSION, LogRelation.WINS} and await core.name_is_free(log):
            pin(draft, held, log)
            await draft.commit()
        elif relation not in {LogRelation.SAME, LogRelation.BEHIND}:
            text = f"The relay shows another history of @{held.state.name} than the one that is pinned."
            await raise_alarm(draft, text)
            await draft.commit()
            return False
    return True
