"""The operator's audit log: who came, what was refused and held. No payload, nobody's words.

What the store takes with an account's statements is written in the same commit. What anybody can repeat at
will is counted in memory and written down soon: the first of its kind within an hour, and then how many.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import trio

from taskferry_protocol.accounts import STEP_BYTES, AccountLog, Steps
from taskferry_protocol.audit import AuditNote, Fact, RelayAuditKind, audit_note
from taskferry_protocol.ids import DeviceId, Instant
from taskferry_protocol.limits import DEVICES, MINUTE_MS
from taskferry_protocol.records import AppendAudit, PruneAudit, RelayChange
from taskferry_stores.port import RelayStore, StoreFull

from ..audit_logs import own_changes
from .hourly import HourlyBudget
from .limits import USUAL
from .meter import Meter

__all__ = ["DISTINCT", "RelayAudit", "ticket_audit"]

HOUR_MS: Final = 60 * MINUTE_MS
DISTINCT: Final = USUAL.audit_distinct
WAITING: Final = USUAL.audit_waiting
FLUSH_S: Final = 1.0
KEPT_MS: Final = USUAL.audit_ms
KEPT: Final = USUAL.audit_entries
PRUNED: Final = 512
#: What may be written down in an hour of one account's statements, and of its sign-ins; beyond it they are
#: counted. Whoever links 32 devices has enough, and nobody drives everybody else out of the log.
CHANGES_OF_ONE: Final = 64
SIGN_INS_OF_ONE: Final = DEVICES
_OTHERS: Final = ("others", ())
#: Of what statements say, this much concerns an operator.
_OF_LOGS: Final = frozenset(
    {
        RelayAuditKind.DEVICE_ADDED.value,
        RelayAuditKind.DEVICE_REVOKED.value,
        RelayAuditKind.RECOVERY_CHANGED.value,
        RelayAuditKind.RECOVERED.value,
    }
)


def ticket_audit(kind: RelayAuditKind, digest: bytes, name: str, by: str, now: Instant) -> AppendAudit:
    """What becomes of a ticket, by the beginning of its digest; `name` is what it is for, if for one name."""
    facts: dict[str, Fact] = {"ticket": digest.hex()[:16], "by": by}
    return AppendAudit(audit_note(kind, f"@{name}" if name else "any name", facts, now))


_Key = tuple[str, tuple[tuple[str, Fact], ...]]


class RelayAudit:
    """Gathers what happens; `run` writes it down."""

    def __init__(self, store: RelayStore, now: Callable[[], Instant], meter: Meter | None = None) -> None:
        self._store = store
        self._meter = meter or Meter(now())
        self._now = now
        self._waiting: list[AuditNote] = []
        self._changes = HourlyBudget(CHANGES_OF_ONE)
        self._sign_ins = HourlyBudget(SIGN_INS_OF_ONE)
        self._hour = 0
        self._again: dict[RelayAuditKind, dict[_Key, int]] = {}
        self._prune_at = 0
        self._flushing: trio.Event | None = None

    def taken(self, log: AccountLog, kept: int, before: str = "") -> Steps[list[RelayChange]]:
        """What to store with an account's statements from index `kept` on, `before` which it was so named."""
        notes: list[AuditNote] = []
        name, now = f"@{log.state.name}", self._now()
        about: dict[str, Fact] = {"account": log.account.hex()}
        if not kept:
            notes.append(audit_note(RelayAuditKind.ACCOUNT_TAKEN, name, about, now))
        elif before != log.state.name:
            notes.append(audit_note(RelayAuditKind.NAME_CLAIMED, name, about, now))
        size, changes = 0, own_changes(log, kept)
        for raw in log.after(kept):
            size += len(raw)
            if size > STEP_BYTES:
                yield
                size = len(raw)
            change = next(changes)
            if change.kind.value in _OF_LOGS and not self._changes.spend(log.account.hex(), now):
                self.count(RelayAuditKind(change.kind.value), name, **about)
            elif change.kind.value in _OF_LOGS:
                facts = {key: value for key, value in change.facts.items() if key != "statement"}
                notes.append(audit_note(change.kind.value, name, {**about, **facts}, now))
        return [AppendAudit(note) for note in notes]

    def held(self, log: AccountLog, kind: RelayAuditKind) -> AppendAudit:
        """An account is held, or let go."""
        facts: dict[str, Fact] = {"account": log.account.hex()}
        return AppendAudit(audit_note(kind, f"@{log.state.name}", facts, self._now()))

    def note(self, kind: RelayAuditKind, subject: str, **facts: Fact) -> None:
        """Write this down soon. For what nobody can repeat at will."""
        if len(self._waiting) < WAITING:
            self._waiting.append(audit_note(kind, subject, facts, self._now()))

    def signed_in(self, log: AccountLog, device: DeviceId) -> None:
        """A device has come in: written down once an hour, and then how often."""
        self._count(RelayAuditKind.SIGN_IN, f"@{log.state.name}", {"device": device.hex()}, log.account.hex())

    def count(self, kind: RelayAuditKind, subject: str, **facts: Fact) -> None:
        """Write this down once an hour, and then how often it came again."""
        self._count(kind, subject, facts)

    def _count(self, kind: RelayAuditKind, subject: str, facts: dict[str, Fact], account: str = "") -> None:
        if kind is RelayAuditKind.REFUSAL:
            self._meter.refusals[subject, str(facts["code"])] += 1
        elif kind is RelayAuditKind.SIGN_IN:
            self._meter.sessions += 1
        now = self._now()
        if now // HOUR_MS != self._hour:
            self._close_hour()
            self._hour = now // HOUR_MS
        of_kind = self._again.setdefault(kind, {})
        key: _Key = (subject, tuple(sorted(facts.items())))
        if key not in of_kind and (
            len(of_kind) >= DISTINCT or (account and not self._sign_ins.spend(account, now))
        ):
            key = _OTHERS
        if key in of_kind:
            of_kind[key] += 1
        else:
            of_kind[key] = 0
            self.note(kind, key[0], **dict(key[1]))

    def _close_hour(self) -> None:
        for kind, of_kind in self._again.items():
            for (subject, facts), times in of_kind.items():
                if times:
                    self.note(kind, subject, **{**dict(facts), "again": times})
        self._again = {}

    async def run(self) -> None:
        """Write down what was gathered until cancelled. Raises the store's errors, but for a full disk."""
        while True:
            await self.flush()
            await trio.sleep(FLUSH_S)

    async def flush(self) -> None:
        """Write down what was gathered, and take away what is too old."""
        while self._flushing is not None:
            await self._flushing.wait()
        self._flushing = ended = trio.Event()
        try:
            await self._flush()
        finally:
            self._flushing = None
            ended.set()

    async def _flush(self) -> None:
        now = self._now()
        if now // HOUR_MS != self._hour:
            self._close_hour()
        changes: list[RelayChange] = [AppendAudit(note) for note in self._waiting]
        # Later than an hour was put down by a clock that was ahead.
        if not now < self._prune_at <= now + HOUR_MS:
            changes.append(PruneAudit(Instant(max(0, now - KEPT_MS)), KEPT, PRUNED))
            self._prune_at = now + HOUR_MS
        if not changes:
            return
        written = len(self._waiting)
        try:
            await self._store.commit(changes)
        except StoreFull:
            return
        del self._waiting[:written]
