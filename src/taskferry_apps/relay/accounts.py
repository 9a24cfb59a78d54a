"""Account logs at the relay: taken by compare-and-swap, names bound for ever, forks held as evidence."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final

from taskferry_protocol.accounts import (
    AccountLog,
    AccountState,
    LogRelation,
    compare,
    fold_in_steps,
    refold_in_steps,
)
from taskferry_protocol.audit import RelayAuditKind
from taskferry_protocol.crypto import parse_signed, verify_signed
from taskferry_protocol.errors import EnvelopeRejected, RejectCode, RemoteProtocolError
from taskferry_protocol.frame_items import statement_page
from taskferry_protocol.ids import AccountId, DeviceId, Instant, sha256
from taskferry_protocol.limits import BATCH, STATEMENTS
from taskferry_protocol.records import (
    AppendStatements,
    EvidenceRecord,
    HoldAccount,
    LogPage,
    NameKeys,
    PutEvidence,
    RedeemTicket,
    RelayChange,
    RequireUnreserved,
)
from taskferry_protocol.statements import Statement, open_statement
from taskferry_stores.port import ConflictKind, RelayStore, StoreConflict

from ..logs import get_logger
from .account_places import AccountPlace
from .audit import RelayAudit, ticket_audit
from .entrance import Entrance
from .facts import Facts
from .folding import VERIFIED, price
from .presence import Presence
from .reading import RECOVERY, Reader
from .suspensions import Suspensions
from .view import Account

__all__ = ["Accounts"]

#: Another device of the owner may append at the same time; it has few.
TRIES: Final = 8
#: Statements that are looked at before all that a stranger says to know of a log.
LIKE: Final = 8

_LOG = get_logger()


Judgement = tuple[AccountLog, list[RelayChange], str]
"""The log to hold, the changes that make it so, and why the account is held then."""
Judge = Callable[[Reader, Account | None, int, Sequence[bytes]], Awaitable[Judgement]]


class Accounts:
    """Takes statements into the store, and tells caches and sessions of it."""

    def __init__(
        self,
        store: RelayStore,
        facts: Facts,
        presence: Presence,
        entrance: Entrance,
        now: Callable[[], Instant],
        audit: RelayAudit,
        suspensions: Suspensions,
    ) -> None:
        self._audit = audit
        self.suspensions: Final = suspensions
        """Accounts that the operator has stopped."""
        self._store = store
        self._facts = facts
        self._presence = presence
        self._entrance = entrance
        self._now = now

    async def get(self, account: AccountId, reader: Reader) -> Account | None:
        """The account as the relay holds it, for a reader who pays for what has to be read.

        Raises RemoteProtocolError(rate-limited).
        """
        return await self._facts.account(account, reader)

    async def visit(self, key: bytes, who: AccountId | str, start: int) -> LogPage:
        """A page of an account's log, for whoever holds its recovery key and nothing else of it any more.

        To anybody else there is no such account, and no log is read for them.
        Raises RemoteProtocolError: unknown-account, rate-limited.
        """
        if isinstance(who, str):
            page = await self._store.statements_named(who, start, BATCH)
        else:
            page = await self._store.statements(who, start, BATCH)
        if page is not None and await self._store.named_keys([(page.account, key)]):
            held = await self._facts.account(page.account, Reader(page.account, DeviceId(key)))
            if held is not None and held.log.state.recovery == key:
                return page
        raise RemoteProtocolError(
            RejectCode.UNKNOWN_ACCOUNT, "no account of that name or id has this recovery key"
        )

    async def recognise(
        self,
        account: AccountId,
        device: DeviceId,
        start: int,
        statements: Sequence[bytes],
        ticket: str,
        peer: str,
    ) -> AccountPlace | None:
        """Turn away, for the price of a few rows, whoever has no part in an account that is held here.

        A device that the log has named passes; so does whoever brings, as the first statement that is new,
        one that was signed by a key that the log has named. An account that is not held may begin if the
        entrance lets it, and has a place then, to be entered at once. What passes is judged in full by
        `extend`.
        Raises RemoteProtocolError: unknown-device, not-an-extension, not-authorized, a statement's codes, or
        the entrance's.
        """
        if self._facts.knows_device(account, device):
            return None
        before = min(start, 1)
        page = await self._page(account, start, before, statements)
        if page is None:
            return await self._entrance.admit(ticket, peer, self._now())
        if await self._store.named_keys([(account, device)]):
            return None
        if start > page.position.length:
            raise RemoteProtocolError(
                RejectCode.NOT_AN_EXTENSION, "the log held here is shorter", field="from"
            )
        shared = _shared(page.statements[before:], statements)
        if shared == len(statements):
            raise RemoteProtocolError(RejectCode.UNKNOWN_DEVICE, "not a device of this account")
        statement = open_statement(statements[shared], verify_signed)
        _check_follows(statement, page, start - before, start + shared)
        if not await self._store.named_keys([(account, statement.signed.key)]):
            raise RemoteProtocolError(RejectCode.NOT_AUTHORIZED, "signed by no key of this account")
        return None

    async def _page(
        self, account: AccountId, start: int, before: int, statements: Sequence[bytes]
    ) -> LogPage | None:
        """What is held where these would stand; of much that a stranger brings, no more than is like it."""
        page = await self._store.statements(account, start - before, min(len(statements), LIKE) + before)
        if page is None or _shared(page.statements[before:], statements) < LIKE:
            return page
        return await self._store.statements(account, start - before, len(statements) + before)

    async def extend(
        self,
        reader: Reader,
        start: int,
        statements: Sequence[bytes],
        ticket: str = "",
        place: AccountPlace | None = None,
    ) -> AccountLog:
        """Take statements of the reader's account from index `start` on; the log held afterwards.

        It may be the one held before. A new account takes the `ticket` that it shows in the same commit, and
        its `place`.
        Raises RemoteProtocolError: not-an-extension, name-taken, too-many (names), signup-refused, a ticket's
        code, forked, rate-limited, or a fold's code.
        """
        return await self._take(reader, start, statements, partial(self._judge, ticket=ticket), place)

    async def offer(self, reader: Reader, start: int, statements: Sequence[bytes]) -> AccountLog:
        """As `extend`, of statements that nobody has kept: two devices which sign at once are no fork.

        Where the log goes on otherwise, they are as good as never signed.
        """
        return await self._take(reader, start, statements, self._judge_offer)

    async def _take(
        self,
        reader: Reader,
        start: int,
        statements: Sequence[bytes],
        judge: Judge,
        place: AccountPlace | None = None,
    ) -> AccountLog:
        account = reader.account
        for _ in range(TRIES):
            held = await self._facts.account(account, reader)
            log, changes, reason = await judge(reader, held, start, statements)
            if not changes:
                return log
            try:
                await self._store.commit(changes)
            except StoreConflict as conflict:
                if conflict.kind is ConflictKind.NAME_TAKEN:
                    raise RemoteProtocolError(
                        RejectCode.NAME_TAKEN, "another account has claimed this name here", field="name"
                    ) from conflict
                if conflict.kind is ConflictKind.TOO_MANY:
                    raise RemoteProtocolError(
                        RejectCode.TOO_MANY, "this account has claimed too many names here", field="name"
                    ) from conflict
                refusal = self._entrance.refusal(conflict)
                if refusal is not None:
                    raise refusal from conflict
                self._facts.forget_account(account)
                continue
            if held is None and place is not None:
                place.stored()
            if reason == RejectCode.FORKED:
                self._facts.forget_account(account)
                _LOG.warning("an account has forked, its traffic is held")
                raise RemoteProtocolError(RejectCode.FORKED, "another branch of this log is held")
            self._facts.account_changed(account, log, reason)
            self._presence.account_changed(log)
            return log
        raise RemoteProtocolError(RejectCode.NOT_AN_EXTENSION, "the log keeps moving")

    async def _judge_offer(
        self, reader: Reader, held: Account | None, start: int, statements: Sequence[bytes]
    ) -> Judgement:
        if held is not None and start <= held.log.position.length:
            at = start + _shared(held.log.statements[start:], statements)
            if at < min(held.log.position.length, start + len(statements)):
                raise _missing(held.log, at)
        return await self._judge(reader, held, start, statements)

    async def _judge(
        self,
        reader: Reader,
        held: Account | None,
        start: int,
        statements: Sequence[bytes],
        ticket: str = "",
    ) -> Judgement:
        """What to do with statements. Nothing is waited for where they are known already."""
        if held is None:
            return await self._first(reader.account, start, statements, ticket)
        log = held.log
        if start > log.position.length:
            raise _missing(log, log.position.length)
        shared = _shared(log.statements[start:], statements)
        if shared == len(statements):
            return log, [], held.held
        at, new = start + shared, statements[shared:]
        cost = VERIFIED * price(new)
        if at < log.position.length:
            # Whatever is offered, the log is folded anew up to there.
            cost += price(log.statements[:at])
        payer = _payer(log, new[0], reader)
        self._facts.reads.check(payer)
        self._facts.reads.spend(payer, cost)
        work = self._facts.turns.work
        if at == log.position.length:
            grown = await work(log.extend_in_steps(new))
            return await self._grow(held, grown, at, log.state)
        if not at:
            # Another first statement is another account.
            await work(fold_in_steps(statements))
            raise RemoteProtocolError(RejectCode.PINNED_OTHERWISE, "a log of another account")
        before = await work(refold_in_steps(log.statements[:at]))
        offered = await work(before.extend_in_steps(new))
        match compare(log, offered, shared=before.state):
            case LogRelation.WINS:
                return await self._grow(held, offered, at, before.state)
            case LogRelation.FORKED:
                return log, self._hold(held, new[0], at), RejectCode.FORKED.value
            case LogRelation.SAME | LogRelation.BEHIND | LogRelation.EXTENSION | LogRelation.LOSES:
                raise _missing(log, start)

    async def _first(
        self, account: AccountId, start: int, statements: Sequence[bytes], ticket: str
    ) -> Judgement:
        self._entrance.require_open()
        if start:
            raise EnvelopeRejected(
                RejectCode.NOT_AN_EXTENSION,
                "this relay holds nothing of the account yet",
                field="from",
                detail={"from": 0, "statements": ()},
            )
        log = await self._facts.turns.work(fold_in_steps(statements))
        if log.account != account:
            raise RemoteProtocolError(RejectCode.WRONG_ACCOUNT, "statements of another account")
        name = log.state.name
        redeemed = self._entrance.taken_by(ticket, account, name, self._now())
        changes: list[RelayChange] = [
            AppendStatements(account, name, None, 0, log.statements, log.position),
            NameKeys(account, keys_of(log.state)),
            redeemed,
            *await self._facts.turns.work(self._audit.taken(log, 0)),
        ]
        if isinstance(redeemed, RedeemTicket):
            kind = RelayAuditKind.TICKET_USED
            changes.append(ticket_audit(kind, redeemed.digest, name, account.hex(), self._now()))
        return log, changes, ""

    async def _grow(self, held: Account, log: AccountLog, keep: int, kept: AccountState) -> Judgement:
        """The log grows from index `keep` on, where `kept` was its state."""
        account = log.account
        changes: list[RelayChange] = [
            AppendStatements(
                account, log.state.name, held.log.position, keep, log.statements[keep:], log.position
            )
        ]
        if named := keys_of(log.state) - keys_of(held.log.state):
            changes.append(NameKeys(account, named))
        if log.state.name != held.log.state.name:
            changes.append(RequireUnreserved(log.state.name, self._now()))
        reason = held.held
        if reason and _recovered(kept, log):
            reason = ""
            changes.append(HoldAccount(account, ""))
            changes.append(self._audit.held(log, RelayAuditKind.HOLD_LIFTED))
        changes.extend(await self._facts.turns.work(self._audit.taken(log, keep, kept.name)))
        return log, changes, reason

    def _hold(self, held: Account, other: bytes, at: int) -> list[RelayChange]:
        evidence = EvidenceRecord(
            RejectCode.FORKED.value, held.log.account, held.log.statements[at], other, self._now()
        )
        if held.held:
            # One fork is held as evidence; more of them change nothing and would only fill the disk.
            raise RemoteProtocolError(RejectCode.FORKED, "this account has forked already")
        return [
            PutEvidence(evidence),
            HoldAccount(held.log.account, RejectCode.FORKED.value),
            self._audit.held(held.log, RelayAuditKind.ACCOUNT_HELD),
        ]


def keys_of(state: AccountState) -> frozenset[bytes]:
    """Every key that may have a say in the account, or had one."""
    keys: set[bytes] = {state.recovery}
    for id, device in state.devices.items():
        keys.add(id)
        if device.record.manage is not None:
            keys.add(device.record.manage)
    return frozenset(keys)


def _check_follows(statement: Statement, page: LogPage, first: int, at: int) -> None:
    """Nothing if a statement can stand at index `at` of the log of which `page` begins at `first`."""
    if statement.account != page.account:
        raise RemoteProtocolError(RejectCode.WRONG_ACCOUNT, "a statement of another account", field="account")
    if statement.seq != at:
        raise RemoteProtocolError(RejectCode.BAD_SEQUENCE, f"must be {at}, is {statement.seq}", field="seq")
    if statement.prev != sha256(page.statements[at - 1 - first]):
        raise RemoteProtocolError(
            RejectCode.BROKEN_CHAIN, "does not follow the statement before", field="prev"
        )


def _shared(held: Sequence[bytes], offered: Sequence[bytes]) -> int:
    """How many of the first statements are the same."""
    count = 0
    for ours, theirs in zip(held, offered, strict=False):
        if ours != theirs:
            break
        count += 1
    return count


def _recovered(kept: AccountState, after: AccountLog) -> bool:
    """Whether one of the new statements was signed by the recovery key that was in force at the branch."""
    return any(parse_signed(raw).key == kept.recovery for raw in after.after(kept.length))


def _payer(log: AccountLog, first: bytes, reader: Reader) -> Reader:
    """Who pays for folding what is new: nobody's reading holds up a recovery."""
    try:
        signed = open_statement(first, verify_signed).signed
    except RemoteProtocolError:
        # Found again at its place by whoever folds it.
        return reader
    return Reader(reader.account, RECOVERY) if signed.key == log.state.recovery else reader


def _missing(log: AccountLog, start: int) -> EnvelopeRejected:
    """Not-an-extension, with the statements that whoever appends has not seen."""
    start = min(start, STATEMENTS)
    return EnvelopeRejected(
        RejectCode.NOT_AN_EXTENSION,
        "the log held here goes on otherwise",
        field="from",
        detail={"from": start, "statements": statement_page(log.after(start))},
    )
