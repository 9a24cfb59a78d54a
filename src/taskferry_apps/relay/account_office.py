"""What an operator does with accounts, on the relay's store: find, look, suspend, release.

It works whether or not the relay runs; a relay that does follows by itself.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import Final

import attrs

from taskferry_protocol.accounts import AccountLog, refold_in_steps
from taskferry_protocol.audit import RelayAuditKind, audit_note
from taskferry_protocol.ids import AccountId, Instant, is_name
from taskferry_protocol.records import AccountRecord, AppendAudit
from taskferry_protocol.records.operations import (
    AccountLine,
    AccountQuery,
    MailboxLine,
    ReleaseAccount,
    SuspendAccount,
    Suspension,
)
from taskferry_stores.port import RelayStore

from .folding import Turns

__all__ = ["REASON_CHARS", "AccountFound", "AccountOffice", "NoAccount", "reason_of"]

#: A reason is shown to the account's owner, in one line of a goaway.
REASON_CHARS: Final = 200
_ID: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)


class NoAccount(Exception):
    """There is no such account here."""


@attrs.frozen
class AccountFound:
    """One account: its line, its log folded, and the mailboxes that its devices have."""

    line: AccountLine
    log: AccountLog
    mailboxes: tuple[MailboxLine, ...]


def reason_of(text: str) -> str:
    """A reason in one line of visible characters. Raises ValueError with what would do, in words."""
    line = " ".join(text.split())
    if not line or len(line) > REASON_CHARS:
        raise ValueError(f"1 to {REASON_CHARS} characters that say why; the account's owner reads them")
    if any(unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co") for character in line):
        raise ValueError("text without control characters or marks that turn it around")
    return line


class AccountOffice:
    """An operator's hands on accounts. `by` says in the audit log through what: `command line`, `page`."""

    def __init__(self, store: RelayStore, now: Callable[[], Instant], by: str) -> None:
        self._store = store
        self._now = now
        self._by = by
        self._turns = Turns()

    async def listed(self, query: AccountQuery, after: str, limit: int) -> Sequence[AccountLine]:
        """Accounts by rising name, after one."""
        return await self._store.account_lines(query, after, limit)

    async def find(self, who: str) -> AccountFound:
        """An account by name, with or without `@`, or by its whole id in hex. Raises NoAccount."""
        record = await self._record(who)
        lines = await self._store.account_lines(AccountQuery(record.name), "", 1)
        if not lines or lines[0].account != record.account:
            raise NoAccount(who)
        log = await self._turns.work(refold_in_steps(record.statements))
        return AccountFound(lines[0], log, await self._store.mailbox_lines(tuple(log.state.devices)))

    async def suspend(self, who: str, reason: str) -> Suspension:
        """Suspend an account, or replace the reason. Raises NoAccount; ValueError for a bad reason."""
        said = reason_of(reason)
        record = await self._record(who)
        suspension = Suspension(record.account, said, self._now())
        await self._store.commit(
            [SuspendAccount(suspension), self._note(RelayAuditKind.SUSPENDED, record, said)]
        )
        return suspension

    async def release(self, who: str) -> bool:
        """Lift a suspension; whether there was one. Raises NoAccount."""
        found = await self.find(who)
        if found.line.suspension is None:
            return False
        record = await self._record(who)
        note = self._note(RelayAuditKind.RELEASED, record, "")
        await self._store.commit([ReleaseAccount(record.account), note])
        return True

    async def _record(self, who: str) -> AccountRecord:
        name = who.removeprefix("@")
        if _ID.fullmatch(name):
            account = AccountId(bytes.fromhex(name))
            found = (await self._store.accounts([account])).get(account)
        elif is_name(name):
            found = (await self._store.accounts_named([name])).get(name)
        else:
            found = None
        if found is None:
            raise NoAccount(who)
        return found

    def _note(self, kind: RelayAuditKind, record: AccountRecord, reason: str) -> AppendAudit:
        facts: dict[str, str | int] = {"account": record.account.hex(), "by": self._by}
        if reason:
            facts["reason"] = reason
        return AppendAudit(audit_note(kind, f"@{record.name}", facts, self._now()))
