"""What may be sent between two agents: grants as stored, with their terms, and the next ones to sign."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache, reduce
from typing import Final

import attrs

from taskferry_protocol.accounts import AccountLog
from taskferry_protocol.connections import ConnectionRequest
from taskferry_protocol.crypto import SigningKey
from taskferry_protocol.errors import RejectCode, RemoteProtocolError
from taskferry_protocol.ids import AgentRef, Entropy, Instant, sha256
from taskferry_protocol.limits import ENVELOPE_BYTES, UINT_LIMIT
from taskferry_protocol.messages import MessageClass
from taskferry_protocol.permissions import (
    GRANTABLE,
    Grant,
    Terms,
    check_grant_for,
    encode_terms,
    newer_grant,
    read_grant,
    read_terms,
    recall_grant,
    sign_grant,
    stricter_terms,
)
from taskferry_protocol.records import GrantRecord

from .port import DaemonRefusal, GrantChange

__all__ = [
    "Allowance",
    "answering",
    "both",
    "held_allowance",
    "next_allowance",
    "next_wish",
    "read_allowance",
    "welcome",
]

DEFAULT_RATE: Final = 60
DEFAULT_LARGEST: Final = ENVELOPE_BYTES
#: Tasks that a peer may have open here at once, unless the owner says otherwise.
DEFAULT_TASKS: Final = 20
SALT_BYTES: Final = 16
#: The highest version that a grant can have.
LAST_VERSION: Final = UINT_LIMIT - 1
#: What is allowed between as many pairs is not read again from the bytes that say it.
_ALLOWANCES_HELD: Final = 1_024


@attrs.frozen
class Allowance:
    """A grant and its terms; no terms are held for one whose terms never came, which means the least."""

    grant: Grant
    terms: Terms | None


@attrs.frozen
class Wish:
    """What an owner wants to allow."""

    classes: frozenset[MessageClass] = GRANTABLE
    rate: int = DEFAULT_RATE
    largest: int = DEFAULT_LARGEST
    until: Instant | None = None
    auto_trigger: bool = False
    human_gate: bool = True
    task_budget: int = DEFAULT_TASKS
    largest_artifact: int = ENVELOPE_BYTES


def answering() -> Wish:
    """What goes with a request: the peer may answer, and start no task of its own."""
    return Wish(task_budget=0)


def welcome() -> Wish:
    """What an owner allows who accepts a request and says no more."""
    return Wish()


def held_allowance(records: Iterable[GrantRecord], grantor: AgentRef) -> Allowance | None:
    """What `grantor` allows by the grants stored of a connection; of rivals, what all of them allow."""
    return _allowed(tuple((one.raw, one.terms) for one in records if one.grantor == grantor))


@lru_cache(maxsize=_ALLOWANCES_HELD)
def _allowed(grants: tuple[tuple[bytes, bytes], ...]) -> Allowance | None:
    # What these bytes say, and nothing else: another grant is other bytes.
    grant: Grant | None = None
    known: dict[bytes, bytes] = {}
    for raw, terms in grants:
        grant = newer_grant(grant, recall_grant(raw))
        if terms:
            known[sha256(terms)] = terms
    if grant is None:
        return None
    read = [read_terms(known[hash], hash) for hash in grant.all_terms if hash in known]
    complete = len(read) == len(grant.all_terms)
    return Allowance(grant, reduce(stricter_terms, read) if complete else None)


def read_allowance(
    raw: bytes,
    terms: bytes,
    log: AccountLog,
    request: ConnectionRequest,
    grantor: AgentRef,
    held: Iterable[GrantRecord] = (),
) -> GrantRecord:
    """A peer's grant as it came, ready to be stored.

    Raises RemoteProtocolError: the codes of `read_grant`, `check_grant_for`, `read_terms`, `newer_grant`;
    bad-grant where another agent than `grantor` signed it.
    """
    grant = read_grant(raw, log)
    check_grant_for(grant, request)
    if grant.grantor != grantor:
        raise RemoteProtocolError(RejectCode.BAD_GRANT, "signed for the other direction", field="from")
    read_terms(terms, grant.terms)
    before = held_allowance(held, grantor)
    newer_grant(before.grant if before is not None else None, grant)
    return GrantRecord(request.hash, grantor, grant.version, raw, terms)


def next_allowance(
    request: ConnectionRequest,
    grantor: AgentRef,
    wish: Wish,
    *,
    before: Allowance | None,
    log: AccountLog,
    by: SigningKey,
    at: Instant,
    entropy: Entropy,
) -> GrantRecord:
    """The next grant that the owner signs, with its terms. DaemonRefusal(conflict) where there is no next."""
    if before is not None and before.grant.version >= LAST_VERSION:
        raise DaemonRefusal(
            "conflict",
            "One of your devices has signed the permission of connection "
            f"{request.hash.hex()[:8]} with the last version that there is.",
            "Only one in a thief's hands does that. Find it: taskferry device list; put it out: "
            "taskferry device revoke ID; then end the connection and ask for a new one.",
            status=409,
        )
    terms = encode_terms(
        Terms(
            entropy(SALT_BYTES),
            auto_trigger=wish.auto_trigger,
            human_gate=wish.human_gate,
            task_budget=wish.task_budget,
            largest_artifact=wish.largest_artifact,
        )
    )
    raw = sign_grant(
        request,
        grantor,
        before=before.grant if before is not None else None,
        at=at,
        until=wish.until,
        classes=wish.classes,
        rate=wish.rate,
        largest=wish.largest,
        terms=sha256(terms),
        log=log.position,
        by=by,
    )
    return GrantRecord(request.hash, grantor, recall_grant(raw).version, raw, terms)


def wish_of(held: Allowance | None) -> Wish:
    """What is allowed now, as the base of a change."""
    if held is None:
        return welcome()
    grant, terms = held.grant, held.terms or Terms(bytes(SALT_BYTES))
    return Wish(
        grant.classes,
        grant.rate,
        grant.largest,
        grant.until,
        terms.auto_trigger,
        terms.human_gate,
        terms.task_budget,
        terms.largest_artifact,
    )


def within(wish: Wish, said: Allowance | None, decided_at: Instant) -> Wish:
    """What a decision of then allows to somebody whom the owner has let send less, or something else, since.

    `said` is what was allowed last in an earlier connection of the two.
    """
    if said is None or decided_at > said.grant.at:
        return wish
    return both(wish, wish_of(said))


def both(one: Wish, other: Wish) -> Wish:
    """What two words allow alike."""
    ends = [until for until in (one.until, other.until) if until is not None]
    return Wish(
        one.classes & other.classes,
        min(one.rate, other.rate),
        min(one.largest, other.largest),
        min(ends, default=None),
        auto_trigger=one.auto_trigger and other.auto_trigger,
        human_gate=one.human_gate or other.human_gate,
        task_budget=min(one.task_budget, other.task_budget),
        largest_artifact=min(one.largest_artifact, other.largest_artifact),
    )


def next_wish(held: Allowance | None, change: GrantChange) -> Wish:
    """What is allowed now, with the change. DaemonRefusal(conflict) if that is of another version."""
    version = held.grant.version if held is not None else 0
    if change.version is not None and change.version != version:
        raise DaemonRefusal(
            "conflict",
            "What the peer may send was changed meanwhile.",
            "Look at it again, then change it.",
            status=409,
            detail={"field": "version"},
        )
    return changed(wish_of(held), change)


def changed(wish: Wish, change: GrantChange) -> Wish:
    """The wish with what the owner wants otherwise. Raises DaemonRefusal(bad-value) with the field."""
    classes = wish.classes
    if change.classes is not None:
        known = {cls.value: cls for cls in GRANTABLE}
        unknown = [name for name in change.classes if name not in known]
        if unknown:
            raise _bad("classes", "Classes are artifact, message and task.")
        classes = frozenset(known[name] for name in change.classes)
    numbers = {
        "rate_per_minute": change.rate_per_minute,
        "largest_bytes": change.largest_bytes,
        "task_budget": change.task_budget,
        "largest_artifact": change.largest_artifact,
        "until": change.until,
    }
    for field, number in numbers.items():
        if number is not None and not 0 <= number < UINT_LIMIT // 2**11:
            raise _bad(field, "A whole number from 0 on.")
    return attrs.evolve(
        wish,
        classes=classes,
        rate=_or(change.rate_per_minute, wish.rate),
        largest=_or(change.largest_bytes, wish.largest),
        until=None if change.endless else change.until if change.until is not None else wish.until,
        auto_trigger=wish.auto_trigger if change.auto_trigger is None else change.auto_trigger,
        human_gate=wish.human_gate if change.human_gate is None else change.human_gate,
        task_budget=_or(change.task_budget, wish.task_budget),
        largest_artifact=_or(change.largest_artifact, wish.largest_artifact),
    )


def _or(value: int | None, otherwise: int) -> int:
    return otherwise if value is None else value


def _bad(field: str, text: str) -> DaemonRefusal:
    return DaemonRefusal("bad-value", text, "Mend that value and try again.", detail={"field": field})
