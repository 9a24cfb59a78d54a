"""Barred events: words in a task that were refused for want of permission alone, and may be let in later.

All later words of their author wait for them, here as at the author's, for they stand in its chain whatever
is made of them. What stands in no task is refused for good: its sender has been told so, and may have said it
again. So is what came while the owner had blocked the sender, or with no connection to it (spec/tasks.md 1).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import attrs

from .errors import RejectCode
from .ids import Hash
from .inbound import Apply, Decision, Duplicate, NeedLog, Quarantine, Relation
from .records import Seen, SeenRecord

__all__ = ["Again", "again", "forget_decision", "is_barred"]

_BY_GRANT: Final = frozenset({RejectCode.NOT_PERMITTED, RejectCode.RATE_LIMITED})


class Again(StrEnum):
    """What a second look at a barred event comes to."""

    TAKE = "take"
    """It is let in."""
    LATER = "later"
    """Time may mend what stands in its way; those behind it wait, too."""
    BARRED = "barred"
    """The permission still leaves it out."""
    REFUSED = "refused"
    """Something else is wrong with it by now: that is for good."""
    DONE = "done"
    """It has had its effect already."""


def is_barred(item: Quarantine, relation: Relation) -> bool:
    """Whether only the permission stood in the way of something in a task."""
    if relation is not Relation.CONNECTED or item.code not in _BY_GRANT or item.opened is None:
        return False
    return item.opened.content.link is not None


def forget_decision(seen: Seen, hash: Hash) -> Seen:
    """What was seen, as if this envelope had not been set aside: it is decided on once more."""

    def others(row: SeenRecord | None) -> SeenRecord | None:
        return None if row is not None and row.hash == hash and row.outcome == "quarantined" else row

    return attrs.evolve(seen, by_id=others(seen.by_id), by_seq=others(seen.by_seq))


def again(decision: Decision, relation: Relation) -> Again:
    """What is to be done after a barred event was decided on by the facts of now, its rate counted apart."""
    match decision:
        case Apply():
            return Again.TAKE
        case Duplicate():
            return Again.DONE
        case NeedLog():
            return Again.LATER
        case Quarantine():
            if decision.code is RejectCode.RATE_LIMITED or not decision.lasts:
                return Again.LATER
            return Again.BARRED if is_barred(decision, relation) else Again.REFUSED
