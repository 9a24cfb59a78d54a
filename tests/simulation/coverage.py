"""What a run came by: message types, task states, transitions, faults, refusals; and what it never met."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from unittest.mock import patch

import attrs

from taskferry_apps.daemon import effects
from taskferry_apps.daemon.arrival import Arrival
from taskferry_protocol.messages import Outcome
from taskferry_protocol.messages.codec import BODIES
from taskferry_protocol.task_table import TRANSITIONS
from taskferry_protocol.tasks import Effect, TaskState

from .auditor import Books
from .company import EXPECTED
from .plan import Deed, Kind
from .town import Town
from .workload import LIES

__all__ = ["Coverage", "effects_counted"]

_EXPECTED: Mapping[str, frozenset[str]] = {
    "message types": frozenset(BODIES),
    "task states": frozenset(state.value for state in TaskState),
    "transitions": frozenset(
        f"{state.value} {kind.value}" for kind, row in TRANSITIONS.items() for state in row
    ),
    "company": EXPECTED,
    "deeds": frozenset(deed.value for deed in Deed),
    "faults": frozenset(
        {kind.value for kind in Kind if kind is not Kind.LIE} | {f"lie: {lie}" for lie in LIES}
    ),
}


@attrs.define
class Coverage:
    """Counts by subject and name, added up over worlds."""

    counts: dict[str, Counter[str]] = attrs.field(factory=dict)

    def add(self, subject: str, names: Iterable[str]) -> None:
        """Each of these came up once more."""
        self.counts.setdefault(subject, Counter()).update(names)

    def take(self, other: Coverage) -> None:
        """Add another's counts."""
        for subject, counts in other.counts.items():
            self.counts.setdefault(subject, Counter()).update(counts)

    @classmethod
    def of(cls, town: Town, books: Mapping[str, Books]) -> Coverage:
        """What one world came by."""
        seen = cls()
        ledger = town.ledger
        seen.counts |= {"deeds": ledger.done, "faults": ledger.befell, "refusals": ledger.refused}
        seen.add("company", town.observer.together.elements())
        for machine in (town.relay, *town.machines.values()):
            seen.add("company", machine.meter.together.elements())
        for book in books.values():
            seen.add("rungs", (f"{row.rung.value} {row.code}".strip() for row in book.messages if row.rung))
            seen.add("quarantine", book.quarantined.values())
            for held in book.tasks.values():
                before: TaskState | None = None
                for line in held.view.taken:
                    seen.add("task states", (line.state.value,))
                    if before is not None and line.effect in (Effect.EFFECTIVE, Effect.KEPT):
                        seen.add("transitions", (f"{before.value} {line.event.type.value}",))
                    elif line.effect is Effect.SUPERSEDED and line.reason is not None:
                        seen.add("superseded", (line.reason.value,))
                    before = line.state
        return seen

    def table(self) -> list[str]:
        """For a terminal of 80 columns: each subject, how much of it came up, and what did not."""
        lines = []
        for subject, counts in sorted(self.counts.items()):
            expected = _EXPECTED.get(subject)
            share = f"{len(counts.keys() & expected)} of {len(expected)}" if expected else str(len(counts))
            lines.append(f"{subject}: {share}")
            lines += _wrapped(f"{name} {count}" for name, count in sorted(counts.items()))
            missing = sorted((expected or frozenset()) - counts.keys())
            if missing:
                lines += _wrapped(missing, "  never: ")
        return lines


@contextmanager
def effects_counted() -> Iterator[Counter[str]]:
    """The types of all messages that take effect at a recipient meanwhile."""
    seen: Counter[str] = Counter()
    effect = effects._effect

    async def counted(arrival: Arrival) -> tuple[Outcome, str]:
        seen[arrival.content.body.type_name] += 1
        return await effect(arrival)

    with patch.object(effects, "_effect", counted):
        yield seen


def _wrapped(items: Iterable[str], head: str = "  ") -> list[str]:
    lines, line = [], head
    for item in items:
        if len(line) + len(item) > 78 and line.strip():
            lines.append(line.rstrip())
            line = "  "
        line += f"{item}, "
    return [*lines, line.rstrip(", ")] if line.strip() else lines
