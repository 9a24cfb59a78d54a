"""Dictionaries with an undo log, and what both stores keep alike."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TypeVar

import attrs

from taskferry_protocol.ids import AccountId, AgentRef, Hash
from taskferry_protocol.records import (
    AccountRecord,
    AppendStatements,
    CardRecord,
    EvidenceRecord,
    Flow,
    GrantRecord,
    HoldAccount,
    Page,
    Place,
    PutCard,
    RateRecord,
    ReleaseName,
)

from ..rules import EVIDENCE_OF_ONE, appended, card_to_store, require_name, require_position, unknown

K = TypeVar("K")
V = TypeVar("V")


class Journal:
    """Writes to dictionaries, remembered so that a commit that fails half-way leaves nothing behind."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], object]] = []

    def put(self, table: dict[K, V], key: K, value: V) -> None:
        """Set `table[key]`."""
        if key in table:
            old = table[key]
            self._undo.append(lambda: table.__setitem__(key, old))
        else:
            self._undo.append(lambda: table.pop(key))
        table[key] = value

    def drop(self, table: dict[K, V], key: K) -> bool:
        """Remove `table[key]`; says whether it was there."""
        if key not in table:
            return False
        old = table.pop(key)
        self._undo.append(lambda: table.__setitem__(key, old))
        return True

    def count(self, table: dict[K, int], key: K) -> int:
        """Raise the counter under `key` by one, and give its new value."""
        value = table.get(key, 0) + 1
        self.put(table, key, value)
        return value

    def commit(self, apply: Callable[[K], V], changes: Iterable[K]) -> tuple[V, ...]:
        """What becomes of each change, in order. When one of them raises, none of them was made."""
        try:
            results = tuple([apply(change) for change in changes])
        except BaseException:
            while self._undo:
                self._undo.pop()()
            raise
        self._undo.clear()
        return results


def pick(table: Mapping[K, V], keys: Iterable[K]) -> dict[K, V]:
    """The entries of `table` under those of the keys that are there."""
    return {key: table[key] for key in keys if key in table}


def page(rows: Iterable[tuple[Place, V]], limit: int) -> Page[V]:
    """The first `limit` rows, which come in order, as a page."""
    taken: list[tuple[Place, V]] = []
    for row in rows:
        if len(taken) == limit:
            return Page(tuple(value for _, value in taken), taken[-1][0])
        taken.append(row)
    return Page(tuple(value for _, value in taken), None)


class Ledger:
    """Account logs, names, cards, grants, rates, evidence and settings."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.accounts: dict[AccountId, AccountRecord] = {}
        self.names: dict[str, AccountId] = {}
        self.cards: dict[AgentRef, CardRecord] = {}
        self.grants: dict[Hash, tuple[GrantRecord, ...]] = {}
        self.rates: dict[Flow, RateRecord] = {}
        self.evidence: dict[Place, EvidenceRecord] = {}
        self.settings: dict[str, bytes] = {}

    def append(self, change: AppendStatements) -> None:
        """Extend or begin a log."""
        held = self.accounts.get(change.account)
        require_position(held.position if held else None, change)
        require_name(self.names.get(change.name), change)
        self.journal.put(self.names, change.name, change.account)
        self.journal.put(self.accounts, change.account, appended(held, change))

    def release(self, change: ReleaseName) -> None:
        """Free a name, and call the account that had it otherwise."""
        if self.names.get(change.name) != change.account:
            raise unknown("name of that account", change.name)
        self.journal.drop(self.names, change.name)
        held = self.accounts[change.account]
        record = AccountRecord(held.account, change.shown_as, held.position, held.statements, held.held)
        self.journal.put(self.accounts, change.account, record)

    def hold(self, change: HoldAccount) -> None:
        """Set or lift an account's hold."""
        held = self.accounts.get(change.account)
        if held is None:
            raise unknown("account", change.account)
        record = AccountRecord(held.account, held.name, held.position, held.statements, change.reason)
        self.journal.put(self.accounts, change.account, record)

    def put_card(self, change: PutCard) -> None:
        """Store a card."""
        agent = change.card.agent
        self.journal.put(self.cards, agent, card_to_store(self.cards.get(agent), change))

    def put_evidence(self, evidence: EvidenceRecord) -> None:
        """Keep evidence, once."""
        place = Place(max(self.evidence, default=0) + 1)
        pair = (evidence.kind, evidence.subject, evidence.first, evidence.second)
        same = [e for e in self.evidence.values() if e.subject == evidence.subject]
        if len(same) < EVIDENCE_OF_ONE and pair not in [(e.kind, e.subject, e.first, e.second) for e in same]:
            kept = EvidenceRecord(*pair, evidence.at, place)
            self.journal.put(self.evidence, place, kept)

    def by_id(self, ids: Collection[AccountId], longest: int | None) -> dict[AccountId, AccountRecord]:
        """Accounts by id; of those with more than `longest` statements, none of their statements."""
        return {
            id: record
            if longest is None or record.position.length <= longest
            else attrs.evolve(record, statements=())
            for id, record in pick(self.accounts, ids).items()
        }

    def by_name(self, names: Collection[str]) -> dict[str, AccountRecord]:
        """Accounts by the names that they have ever claimed."""
        return {name: self.accounts[self.names[name]] for name in names if name in self.names}

    def evidence_page(self, after: Place, limit: int) -> Page[EvidenceRecord]:
        """Evidence by place."""
        return page(((p, e) for p, e in sorted(self.evidence.items()) if p > after), limit)


def grouped(rows: Iterable[tuple[K, V]], keys: Collection[K]) -> dict[K, tuple[V, ...]]:
    """The rows under each of the keys, in their order."""
    found: dict[K, tuple[V, ...]] = {}
    for key, row in rows:
        if key in keys:
            found[key] = (*found.get(key, ()), row)
    return found
