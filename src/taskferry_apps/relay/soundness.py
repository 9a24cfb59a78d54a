"""Whether a relay's database is sound: its file and rows, whatever was signed, and its audit log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final

import attrs

from taskferry_protocol.accounts import fold
from taskferry_protocol.audit import AuditChain, ChainBroken, follow
from taskferry_protocol.crypto import Kind, verify
from taskferry_protocol.errors import RemoteProtocolError
from taskferry_protocol.records import AccountRecord, Order, Place
from taskferry_stores.sqlite import PeekedStore

from .accounts import keys_of

__all__ = ["Soundness", "look_at"]

_PAGE: Final = 256
_ROWS: Final = 1_000
#: Accounts at fault that are named; there is no use in more.
_NAMED: Final = 8


@attrs.frozen
class Soundness:
    """What was looked at, and what is wrong, in a few words each. `entries` are those of the audit log."""

    schema: int
    size: int
    accounts: int
    entries: int
    faults: tuple[str, ...]


def look_at(store: PeekedStore, progress: Callable[[int], None]) -> Soundness:
    """Read everything; `progress` hears of each page of accounts. Blocks.

    Every statement's signature is verified, some 0.1 ms each. Raises the store's errors.
    """
    report = store.report()
    faults = list(store.faults())
    if faults:
        return Soundness(report.version, report.size, 0, 0, tuple(faults))
    count, wrong = 0, []
    after = 0
    while True:
        after, records = store.account_logs(after, _PAGE)
        count += len(records)
        wrong += [words for record in records if (words := _fault_of(record, store))]
        progress(len(records))
        if not after:
            break
    faults += wrong[:_NAMED]
    if len(wrong) > _NAMED:
        faults.append(f"{len(wrong) - _NAMED} further account logs do not hold")
    faults += _altered(store)
    chain = store.audit_chain()
    try:
        for _ in follow(chain, _rows(store, chain), still=True):
            pass
    except ChainBroken as broken:
        faults.append(f"the audit log does not hold: {broken}")
    return Soundness(report.version, report.size, count, chain.head.n, tuple(faults))


def _fault_of(record: AccountRecord, store: PeekedStore) -> str:
    about = f"the log of account {record.account.hex()[:16]} does not hold"
    try:
        log = fold(record.statements)
    except RemoteProtocolError as error:
        return f"{about}: {error.code.value} at {error.field}"
    if (log.account, log.position, log.state.name) != (record.account, record.position, record.name):
        return f"{about}: it ends otherwise than is noted"
    if not keys_of(log.state) <= store.keys_named(record.account):
        return f"{about}: keys that it names are not noted"
    return ""


def _altered(store: PeekedStore) -> list[str]:
    """Nothing else in the file tells whether a bit of what lies there was changed."""
    found: Counter[str] = Counter()
    for row in store.signed():
        try:
            signed = verify(row.raw, Kind(row.kind))
        except RemoteProtocolError:
            found[row.kind] += 1
        else:
            found[row.kind] += row.hash not in {None, signed.hash}
    return [f"{count} of kind {kind} are not what was signed" for kind, count in found.items() if count]


def _rows(store: PeekedStore, chain: AuditChain) -> Iterator[tuple[bytes, str, int]]:
    after: Place | None = Place(chain.base.n)
    while after is not None:
        page = store.audit_rows(None, after, _ROWS, Order.OLDEST_FIRST)
        for row in page.items:
            yield row.raw, row.kind, row.place
        after = page.next
