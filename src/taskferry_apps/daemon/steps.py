"""What a request under an idempotency key has sent so far, kept in the very commits that send it.

The answer to a request is kept after its effect. A daemon that is killed between the two finds here, when the
request comes again, which messages it has sent already, and sends none of them twice.
"""

from __future__ import annotations

import hmac
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context
from typing import Final

import attrs

from taskferry_protocol.ids import Hash, Instant
from taskferry_protocol.limits import DAY_MS
from taskferry_protocol.messages import ActionRequest, decode_content
from taskferry_protocol.records import (
    DaemonChange,
    Direction,
    IdempotencyRecord,
    KeepSealed,
    PutAnswer,
    StoreMessage,
)

from .core import Core
from .port import Caller, DaemonRefusal

__all__ = [
    "KEPT_MS",
    "check_same",
    "context_of_each",
    "done_before",
    "done_before_each",
    "record_of",
    "scope_of",
    "under_key",
]

#: How long a request may come again under its key.
KEPT_MS: Final = DAY_MS


@attrs.define
class _Steps:
    """The request under way. `due` says that its next message is still to be committed."""

    scope: str
    key: str
    digest: bytes
    number: int = 0
    due: bool = False

    @property
    def name(self) -> str:
        """The key of the step under way: no caller's key has a space."""
        return f"{self.key} {self.number}" if self.number else self.key


_UNDER_WAY: ContextVar[_Steps | None] = ContextVar("taskferry request under way", default=None)


def scope_of(caller: Caller) -> str:
    """Whose keys a caller's are: those of all who may act as the same agents."""
    return "owner" if caller.agents is None else "agents:" + ",".join(sorted(caller.agents))


def check_same(kept: IdempotencyRecord, digest: bytes) -> None:
    """Nothing if a key was used for this request. Raises DaemonRefusal(conflict)."""
    if not hmac.compare_digest(kept.digest, digest):
        raise DaemonRefusal(
            "conflict",
            "Another request was made under this Idempotency-Key.",
            "Use a fresh key for a fresh request.",
            status=409,
        )


@contextmanager
def under_key(caller: Caller, key: str, digest: bytes) -> Iterator[None]:
    """Whatever is sent in this block is sent for a request under a key."""
    token = _UNDER_WAY.set(_Steps(scope_of(caller), key, digest))
    try:
        yield
    finally:
        _UNDER_WAY.reset(token)


async def done_before(core: Core) -> Hash | None:
    """Begin the request's next step: what it has sent already, if it came so far. Raises DaemonRefusal."""
    steps = _UNDER_WAY.get()
    if steps is None:
        return None
    steps.number += 1
    kept = (await core.store.answers(steps.scope, (steps.name,))).get(steps.name)
    steps.due = kept is None
    if kept is None:
        return None
    check_same(kept, steps.digest)
    return Hash(kept.response)


async def done_before_each(
    core: Core, caller: Caller, keys: Collection[str]
) -> Mapping[str, IdempotencyRecord]:
    """What was sent before under keys that messages of many have each for itself."""
    scope = scope_of(caller)
    found = await core.store.answers(scope, [_each(key) for key in keys])
    return {key: found[_each(key)] for key in keys if _each(key) in found}


def context_of_each(caller: Caller, key: str, digest: bytes) -> Context:
    """In which one of many messages is recorded that was not sent yet under its own key; "" for none."""
    context = copy_context()
    steps = _Steps(scope_of(caller), _each(key), digest, due=True) if key else None
    context.run(_UNDER_WAY.set, steps)
    return context


def _each(key: str) -> str:
    # No step of a request is called so, nor any request's key.
    return f"{key} each"


def record_of(changes: Sequence[DaemonChange], now: Instant) -> tuple[PutAnswer, ...]:
    """What a commit has to hold beside these changes, if they send what the step under way was to send."""
    steps = _UNDER_WAY.get()
    if steps is None or not steps.due:
        return ()
    hash = next(filter(None, map(_sent_by, changes)), None)
    if hash is None:
        return ()
    steps.due = False
    until = Instant(now + KEPT_MS)
    return (PutAnswer(IdempotencyRecord(steps.scope, steps.name, steps.digest, hash, until)),)


def _sent_by(change: DaemonChange) -> Hash | None:
    """The message that a change sends: to a peer, or to ask another device of ours to."""
    match change:
        case StoreMessage(message=message) if message.direction is Direction.OUT:
            return message.hash
        case KeepSealed(sealed=sealed):
            asks = isinstance(decode_content(sealed.content).body, ActionRequest)
            return sealed.hash if asks else None
        case _:
            return None
