"""Account logs beyond what is pinned, from peers or the relay: compared, then taken, held or an alarm.

What extends the pinned log is taken, and so is the branch of an owner who took the account back with the
recovery key (spec/identity.md section 3). Two histories that nobody has settled hold the account.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import attrs

from taskferry_protocol.account_state import DeviceStatus
from taskferry_protocol.accounts import AccountLog, AccountState, LogRelation, compare, settles
from taskferry_protocol.audit import AuditKind
from taskferry_protocol.errors import RejectCode, RemoteProtocolError
from taskferry_protocol.frame_items import Refusal
from taskferry_protocol.ids import AccountId, AgentRef, DeviceId
from taskferry_protocol.records import EvidenceRecord, HoldAccount, OfferAgain, PutEvidence

from ..relay_client import RelayClient
from .alarms import OTHER_HISTORY, clear_alarm, raise_alarm
from .bounds import BOUNDS
from .core import Core
from .draft import Draft
from .identity_changes import What, mark_changed, other_history, second_claim
from .logbook import continued, continued_in_turns
from .own_news import note_untold
from .publishing import fetch_log
from .served import settle_served

__all__ = [
    "Fetch",
    "News",
    "fetch_for_mail",
    "fetch_news",
    "held_text",
    "judge",
    "pin",
    "take",
    "take_news",
    "take_own_news",
]

STRANGER_BYTES: Final = BOUNDS.stranger_log_bytes
Fetch = Callable[[AccountId, int], Awaitable[Sequence[bytes]]]
"""Asks the relay for an account's statements from an index on; none if it has none. Raises LinkEnded."""


def fetch_for_mail(core: Core, client: RelayClient) -> Fetch:
    """As `Fetch`, for what mail quotes: of an account not known here, no longer log than rotations make."""

    async def fetch(account: AccountId, start: int) -> Sequence[bytes]:
        is_known = await core.logs.get(account) is not None
        return await fetch_log(client, account, start, None if is_known else STRANGER_BYTES)

    return fetch


@attrs.frozen
class News:
    """A log to be taken, and the one that was pinned when it was judged, if one was."""

    held: AccountLog | None
    log: AccountLog

    @property
    def settles(self) -> bool:
        """Whether it ends a hold of the account."""
        return self.held is not None and settles(self.held, self.log)

    async def is_current(self, core: Core) -> bool:
        """Whether what is pinned is still what it was judged by."""
        pinned = await core.logs.get(self.log.account)
        return (pinned and pinned.position) == (self.held and self.held.position)


async def judge(core: Core, account: AccountId, start: int, statements: Sequence[bytes]) -> News | None:
    """The log to be taken that these statements make, which stand from index `start` on; None for none.

    The lock must be free: an account with two histories is held at once, and the owner told.
    """
    held = await core.logs.get(account)
    if not statements or start > (held.state.length if held is not None else 0):
        return None
    try:
        log = await continued_in_turns(held, start, statements)
    except RemoteProtocolError:
        return None
    if log.account != account:
        return None
    relation = compare(held, log) if held is not None else LogRelation.EXTENSION
    if held is not None and relation is LogRelation.FORKED:
        await _hold_forked(core, held, log)
    if relation not in {LogRelation.EXTENSION, LogRelation.WINS}:
        return None
    if held is None and not await core.name_is_free(log):
        await _second_claimant(core, log)
        return None
    return News(held, log)


async def fetch_news(core: Core, fetch: Fetch, account: AccountId, start: int) -> News | None:
    """What the relay knows of an account from `start` on, or, if that continues nothing, all of it.

    Raises LinkEnded. The lock must be free.
    """
    fetched = await fetch(account, start)
    found = await judge(core, account, start, fetched)
    if found is None and fetched and start:
        # What does not continue ours may be another history: only the whole of it shows which.
        found = await judge(core, account, 0, await fetch(account, 0))
    return found


async def pin(draft: Draft, news: News) -> None:
    """Pin what was judged, end a hold that it settles, and tell the owner of a recovery."""
    held, log = news.held, news.log
    if held is None:
        draft.take_log(None, log)
        return
    name = None
    if not await draft.core.name_is_free(log):
        # Whatever else is in it counts: a revocation must not be kept out by a name.
        name = await draft.core.logs.owner_name(log.account)
        await raise_alarm(draft, f"{second_claim(log.state.name)} Shown as @{name} here.")
    draft.replace_log(held, log, held.shared_with(log), name)
    if log.account == draft.core.own:
        await settle_served(draft, held, log)
    else:
        # What the relay holds for devices that went would wait there, for them alone, until it expires.
        for name in moved(held.state, log.state):
            draft.add(OfferAgain(draft.now, AgentRef(log.account, name)))
    if not news.settles:
        return
    draft.add(HoldAccount(log.account, ""))
    await clear_alarm(draft, held_text(held.state.name))
    if compare(held, log) is LogRelation.WINS:
        text = (
            f"The owner of @{log.state.name} has taken the account back with its recovery key. Messages from"
            " devices that the recovery put out may have been somebody else's."
        )
        await raise_alarm(draft, text)


def moved(before: AccountState, after: AccountState) -> tuple[str, ...]:
    """The agents, "" for the account, that other devices serve than before, where any device has gone."""
    if all(device.status is DeviceStatus.ACTIVE for device in after.devices.values()):
        return ()
    names = ("", *after.agents)
    return tuple([name for name in names if _servers(before, name) != _servers(after, name)])


def _servers(state: AccountState, name: str) -> frozenset[DeviceId]:
    return frozenset([device.id for device in state.serving(name)])


async def _second_claimant(core: Core, log: AccountLog) -> None:
    """Another account under a pinned name: the first one stays, and nothing is sent to it meanwhile."""
    async with core.lock:
        draft = Draft(core)
        await note_second_claim(draft, log, log.state.name)
        await draft.commit()


async def note_second_claim(draft: Draft, log: AccountLog, name: str) -> None:
    """Say that an account which is not pinned claims the name of one that is."""
    pinned = (await draft.core.store.accounts_named((name,))).get(name)
    if pinned is not None and pinned.record.name == name:
        await mark_changed(draft, pinned.record.account, name, What.SECOND_CLAIM, log.account)
    await raise_alarm(draft, second_claim(name))


_TWO_HISTORIES = "its log has two histories, each signed by its owner's keys"


def held_text(name: str) -> str:
    """The alarm of an account with two histories."""
    return f"The account @{name} is held: {_TWO_HISTORIES}."


async def _hold_forked(core: Core, held: AccountLog, other: AccountLog) -> None:
    """Stop the traffic of an account that shows two histories, keep both, and tell the owner once."""
    async with core.lock:
        now = await core.logs.get(other.account)
        if now is None or now.position != held.position:
            return  # it has gone on since the two were compared: whoever asks again sees how
        draft = Draft(core)
        index = held.shared_with(other)
        evidence = EvidenceRecord(
            RejectCode.FORKED.value,
            other.account,
            held.statements[index],
            other.statements[index],
            draft.now,
        )
        draft.add(PutEvidence(evidence))
        pinned = (await core.store.accounts((other.account,))).get(other.account)
        if pinned is not None and not pinned.record.held:
            draft.add(HoldAccount(other.account, _TWO_HISTORIES))
            await raise_alarm(draft, held_text(held.state.name))
            draft.audit(AuditKind.IDENTITY_CHANGED, f"@{held.state.name}", what="two histories", at=index)
        await draft.commit()


async def take(core: Core, news: News | None) -> bool:
    """Pin it, if it is there and still news; whether it was there. The lock must be free."""
    if news is None:
        return False
    async with core.lock:
        if not await news.is_current(core):
            return True  # somebody else has brought it, or more
        draft = Draft(core)
        await pin(draft, news)
        await note_untold(draft, news.held, news.log)
        await draft.commit()
    return True


async def refresh(core: Core, fetch: Fetch, account: AccountId, start: int) -> None:
    """Take what the relay knows of a pinned account from `start` on, if it holds. Raises LinkEnded."""
    await take(core, await fetch_news(core, fetch, account, start))


async def take_own_log(core: Core, client: RelayClient) -> None:
    """Take what the relay has of our own log now, which another device of ours has continued."""
    own = await core.own_log()

    async def fetch(account: AccountId, start: int) -> Sequence[bytes]:
        return await fetch_log(client, account, start)

    await refresh(core, fetch, own.account, own.state.length)


class _Asking:
    """Asks one relay for one log, and keeps what it shows of it."""

    def __init__(self, client: RelayClient, held: AccountLog) -> None:
        self._client = client
        self._held = held
        self._shown: list[tuple[int, Sequence[bytes]]] = []

    def look(self, start: int, statements: Sequence[bytes]) -> None:
        """Keep what is shown, which is to be compared when all of it is there."""
        self._shown.append((start, statements))

    def is_other(self, pinned: AccountLog) -> bool:
        """Whether anything that was shown is another history than the one that is pinned.

        `pinned` is the log as it stands now. The owner's own mail may have brought it while the relay was
        asked: what is in it is no other history, nor is what was in the log held when the asking began.
        """
        return any(
            (statement,) not in {log.statements[index : index + 1] for log in (self._held, pinned)}
            for start, statements in self._shown
            for index, statement in enumerate(statements, start)
        )

    async def fetch(self, account: AccountId, start: int) -> Sequence[bytes]:
        """As `Fetch`."""
        statements = await fetch_log(self._client, account, start)
        self.look(start, statements)
        return statements


def _is_overtaken(held: AccountLog, start: int, statements: Sequence[bytes]) -> bool:
    """Whether these statements stand on a branch that its owner's recovery, which is pinned, has put out."""
    if not statements or start > held.state.length:
        return False
    if tuple(statements) == held.statements[start : start + len(statements)]:
        return False
    try:
        return compare(held, continued(held, start, statements)) is LogRelation.LOSES
    except RemoteProtocolError:
        return False


async def take_own_news(core: Core, client: RelayClient) -> None:
    """Take what the relay has of our own log beyond what we have: another device of ours signed it."""
    own, theirs = await core.own_log(), client.ready.log
    if theirs.length <= own.state.length and own.contains(theirs):
        return
    asking = _Asking(client, own)
    start = own.state.length if theirs.length > own.state.length else 0
    if await take(core, await fetch_news(core, asking.fetch, own.account, start)):
        return
    async with core.lock:
        if asking.is_other(await core.own_log()):
            draft = Draft(core)
            await raise_alarm(draft, OTHER_HISTORY)
            await draft.commit()


async def take_news(core: Core, client: RelayClient, account: AccountId, refusal: Refusal) -> bool:
    """Take the statements that a refusal brings, or fetch them. False: what is shown is not believed.

    Raises LinkEnded.
    """
    held = await core.logs.get(account)
    if held is None:
        return False
    asking = _Asking(client, held)
    start = refusal.detail.start or 0
    statements: Sequence[bytes] = refusal.detail.statements or ()
    if _is_overtaken(held, start, statements):
        # The relay may have refused before the recovery reached it: what counts is what it has now.
        statements = await asking.fetch(account, start) or statements
    asking.look(start, statements)
    news = await judge(core, account, start, statements)
    if news is None:
        news = await fetch_news(core, asking.fetch, account, held.state.length)
    if await take(core, news):
        return True
    async with core.lock:
        if not asking.is_other(await core.logs.get(account) or held):
            return True
        draft = Draft(core)
        await mark_changed(draft, account, held.state.name, What.OTHER_HISTORY)
        await raise_alarm(draft, other_history(held.state.name))
        await draft.commit()
    return False
