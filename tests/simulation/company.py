"""What goes in company: how many at a time, and what was wrong with one among them.

Programs take messages, parcels and receipts by the run where nothing keeps them from it. What is counted here
shows that a world came by such runs, and by what ends one in its midst.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from taskferry_apps.daemon import intake
from taskferry_protocol.frame_items import Mail, Notice, Outcome, Refusal
from taskferry_protocol.inbound import Apply
from taskferry_protocol.lanes import Lane
from taskferry_protocol.records import Direction, RecordSeen, StoreEnvelope, StoreMessage

__all__ = ["EXPECTED", "company_counted", "of_commit", "of_delivery", "of_result", "of_sending"]

#: From how many on something is called by which size.
_SIZES = ((65, "65 and more"), (9, "9 to 64"), (2, "2 to 8"))
EXPECTED = frozenset(
    {
        *(f"{what} {size}" for what in ("parcels", "mail", "stored") for _, size in _SIZES),
        *(f"{what} {size}" for what in ("posted", "taken") for _, size in _SIZES[1:]),
        "refused in the midst",
        "lane: alike",
        "lane: another way",
        "lane: carried",
        "lane: refused",
        "run: ended by a decision",
        "run: ended by a fault",
    }
)
"""What worlds should come by. A daemon posts and takes at most 64 in a commit, shared history aside."""


def of_sending(parcels: Sequence[object]) -> Iterator[str]:
    """A frame of parcels."""
    yield from _sized("parcels", len(parcels))


def of_delivery(entries: Sequence[object]) -> Iterator[str]:
    """A frame of mail."""
    yield from _sized("mail", sum(isinstance(entry, Mail | Notice) for entry in entries))


def of_result(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """The answer to a frame of parcels: whether one was refused between two that were taken."""
    refused = [isinstance(outcome, Refusal) for outcome in outcomes]
    taken = [at for at, one in enumerate(refused) if not one]
    if taken and any(refused[taken[0] : taken[-1]]):
        yield "refused in the midst"


def of_commit(changes: Sequence[object]) -> Iterator[str]:
    """A commit of a daemon or a relay."""
    yield from _sized("taken", sum(isinstance(one, RecordSeen) for one in changes))
    yield from _sized("stored", sum(isinstance(one, StoreEnvelope) for one in changes))
    posted = [one for one in changes if isinstance(one, StoreMessage)]
    yield from _sized("posted", sum(one.message.direction is Direction.OUT for one in posted))


def _sized(what: str, count: int) -> Iterator[str]:
    for least, size in _SIZES:
        if count >= least:
            yield f"{what} {size}"
            return


@contextmanager
def company_counted() -> Iterator[Counter[str]]:
    """How runs of mail end meanwhile, and what comes of envelopes that follow one like them."""
    seen: Counter[str] = Counter()
    admit, carry = Lane.admit, Lane.carry
    receive, apply = vars(intake)["receive"], vars(intake)["apply"]

    def admitted(lane: Lane, *arguments: Any) -> Any:
        admission = admit(lane, *arguments)
        refused = isinstance(admission, Refusal)
        seen["lane: another way" if admission is None else "lane: refused" if refused else "lane: alike"] += 1
        return admission

    def carried(lane: Lane, *arguments: Any) -> Any:
        decided, rate = carry(lane, *arguments)
        refused = sum(isinstance(one, Refusal) for one in decided)
        seen["lane: carried"] += len(decided) - refused
        seen["lane: refused"] += refused
        return decided, rate

    def received(*arguments: Any, **named: Any) -> Any:
        decision = receive(*arguments, **named)
        seen["run: ended by a decision"] += not isinstance(decision, Apply)
        return decision

    async def applied(*arguments: Any) -> None:
        try:
            await apply(*arguments)
        except Exception:
            seen["run: ended by a fault"] += 1
            raise

    with ExitStack() as patches:
        patches.enter_context(patch.object(Lane, "admit", admitted))
        patches.enter_context(patch.object(Lane, "carry", carried))
        patches.enter_context(patch.object(intake, "receive", received))
        patches.enter_context(patch.object(intake, "apply", applied))
        yield seen
