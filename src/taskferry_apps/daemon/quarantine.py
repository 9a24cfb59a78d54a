"""Setting aside what has no effect, within bounds: nobody fills the disk with what is refused."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection
from typing import Final

import attrs

from taskferry_protocol.audit import AuditKind, Fact
from taskferry_protocol.errors import RejectCode
from taskferry_protocol.ids import AgentRef, Hash
from taskferry_protocol.records import (
    DropQuarantine,
    PutQuarantine,
    PutSetting,
    QuarantineLine,
    QuarantineRecord,
)

from .alarms import raise_alarm
from .audit_hours import audit_often
from .barred import barred_by
from .bounds import BOUNDS
from .draft import Draft
from .names import handle_of

__all__ = ["MOST_BYTES", "MOST_ITEMS", "audit_refusal", "dropped", "set_aside"]

MOST_ITEMS: Final = BOUNDS.quarantine_items
MOST_BYTES: Final = BOUNDS.quarantine_bytes
FIRST_BYTES: Final = BOUNDS.unsigned_bytes
#: How often each code was dropped, as JSON.
_DROPPED: Final = "quarantine-dropped"


def dropped(raw: bytes | None) -> Counter[str]:
    """How many items of each code are no more there, from the setting that counts them."""
    return Counter(json.loads(raw)) if raw is not None else Counter()


async def set_aside(draft: Draft, item: QuarantineRecord) -> None:
    """Keep an item, and drop the oldest beyond the bounds: those first that no signature stands behind, and
    those last that may come to count.

    Of what nobody has signed the first bytes are kept, of what is dropped its code is counted. The owner is
    told when that begins, and in the feed how many it has come to.
    """
    if item.device is None:
        item = attrs.evolve(item, envelope=item.envelope[:FIRST_BYTES], sealed=b"")
    # What is taken out in this very commit is put back for what is wrong with it now.
    taken_out = {change.hash for change in draft.changes if isinstance(change, DropQuarantine)}
    lines = [line for line in await draft.core.store.quarantine_lines() if line.hash not in taken_out]
    facts: dict[str, object] = {"code": item.code}
    if item.hash not in {line.hash for line in lines}:
        new = QuarantineLine(
            item.hash, item.code, len(item.envelope) + len(item.sealed), item.device is not None
        )
        victims = await _beyond(draft, (*lines, new))
        draft.add(PutQuarantine(item), *(DropQuarantine(line.hash) for line in victims))
        if victims:
            facts["dropped"] = await _count(draft, victims)
        await audit_refusal(draft, item.code, item.peer, item.mine, item.cls)
    draft.tell("quarantine", "", (item.hash,), **facts)


async def audit_refusal(
    draft: Draft, code: str, peer: AgentRef | None, mine: AgentRef | None, cls: str
) -> None:
    """Write down what was refused of whom; a relay's noise names nobody."""
    facts: dict[str, Fact] = {"code": code}
    subject = "unknown sender"
    if peer is not None and mine is not None:
        subject = await handle_of(draft.core, peer)
        facts |= {"mine": mine.name, "class": cls}
    await audit_often(draft, AuditKind.REFUSAL, subject, **facts)


async def _beyond(draft: Draft, lines: tuple[QuarantineLine, ...]) -> tuple[QuarantineLine, ...]:
    count, size = len(lines), sum(line.size for line in lines)
    if count <= MOST_ITEMS and size <= MOST_BYTES:
        return ()
    barred = await barred_by(draft)
    victims: list[QuarantineLine] = []
    for line in sorted(lines, key=lambda line: _worth(line, barred)):
        if count <= MOST_ITEMS and size <= MOST_BYTES:
            break
        victims.append(line)
        count, size = count - 1, size - line.size
    return tuple(victims)


def _worth(line: QuarantineLine, barred: Collection[Hash]) -> tuple[bool, bool, bool]:
    # What a revoked device signed counts once the other side turns out to have taken it (`named_events`), and
    # what is barred once the owner allows it: of that a peer can make more.
    gone = line.code == RejectCode.DEVICE_GONE
    return line.proven, gone or line.hash in barred, gone


async def _count(draft: Draft, victims: tuple[QuarantineLine, ...]) -> int:
    counts = dropped(await draft.setting(_DROPPED))
    if not counts:
        text = "The quarantine is full: of the oldest items only the number is kept now."
        await raise_alarm(draft, text)
    counts.update(line.code for line in victims)
    draft.add(PutSetting(_DROPPED, json.dumps(counts, sort_keys=True).encode()))
    return counts.total()
