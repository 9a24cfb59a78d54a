"""A program that shares its agent with others: bound under an id, heard of, and told what it has no more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import attrs

from .errors import Conflict, NotFound, TakenOver, TaskFerryError
from .plans import Doing, Plan, Step
from .requests import Answer, Request, as_object, path_of, post, value_of
from .results import Lease, Program

__all__ = ["Binding", "beat", "beaten", "bind", "held", "release", "take", "unbind", "under"]

T = TypeVar("T")

_UNKNOWN: Final = "unknown-runtime"
#: After a heartbeat that failed: a daemon that starts again is to hear soon who is there.
_SOON_S: Final = 5.0


@attrs.frozen
class _Bound:
    runtime: Program
    heartbeat_s: int


@attrs.define(eq=False)
class Binding:
    """A program as its daemon knows it. `key` is its own word for what stays when it starts again."""

    agent: str
    program: str
    key: str = ""
    id: str = ""
    name: str = ""
    """What the daemon calls it, such as worker-2."""
    is_busy: bool = False
    times: int = 0
    """How often it was bound: what was in hand before the last time is to be asked for again."""
    heartbeat_s: float = 30.0
    lease_s: int | None = None
    """How long it keeps what it has without a sign of life; None for the usual time."""


def bind(binding: Binding) -> Plan[None]:
    """Bind it, or bind it again. Raises Conflict where too many are bound."""
    body = {
        "agent": binding.agent,
        "program": binding.program,
        "key": binding.key,
        "lease_s": binding.lease_s,
    }
    bound: _Bound = yield from post("/runtimes", value_of(_Bound), body)
    binding.id, binding.name = bound.runtime.id, bound.runtime.name
    binding.heartbeat_s = bound.heartbeat_s
    binding.times += 1


def beat(binding: Binding) -> Plan[None]:
    """A heartbeat, which also says whether it is busy."""
    yield from under(binding, lambda: _heartbeat(binding))


def beaten(binding: Binding) -> Plan[float]:
    """A heartbeat that may fail; seconds until the next. What it is refused, the program's calls are, too."""
    try:
        yield from beat(binding)
    except TaskFerryError:
        return min(_SOON_S, binding.heartbeat_s)
    return binding.heartbeat_s


def _heartbeat(binding: Binding) -> Request[None]:
    status = "busy" if binding.is_busy else "idle"
    return post(path_of("runtimes", binding.id, "heartbeat"), _done, {"status": status})


def unbind(binding: Binding, *, forget: bool = False) -> Plan[None]:
    """End the binding: others may have at once what it had. Nothing to do where it has ended.

    With `forget`, its key and name are forgotten, too.
    """
    query = {"forget": "true"} if forget else {}
    try:
        yield from Request("DELETE", path_of("runtimes", binding.id), _done, query)
    except NotFound:
        pass


def take(binding: Binding, id: str, *, only_left: bool = False) -> Plan[Lease]:
    """Have an item, or a task by its id, alone from now on; again is the same.

    With `only_left`, only what some program has had before. Raises TakenOver, Conflict, NotFound.
    """

    def asked() -> Request[Lease]:
        body = {"message": id, "only_left": only_left or None}
        return post(path_of("runtimes", binding.id, "take"), value_of(Lease, "lease"), body)

    return (yield from under(binding, asked))


def release(id: str, lease: Lease | None) -> Plan[None]:
    """Give an item back, and the task that it belongs to, unprocessed: it comes to another program.

    To this one it comes no more until it is bound anew. Raises TakenOver; Conflict without a lease.
    """
    if lease is None:
        raise Conflict(
            409,
            "conflict",
            "This came to no program alone, so there is nothing to give back.",
            "Work as a bound program: work(runtime=…), inbox(runtime=…).",
            {},
        )
    try:
        body = {"message": id, "fence": lease.fence}
        yield from post(path_of("runtimes", lease.runtime, "release"), _done, body)
    except NotFound as error:
        raise (_lost(error) if error.code == _UNKNOWN else error) from None


def under(binding: Binding, build: Callable[[], Doing[T]]) -> Plan[T]:
    """What `build` describes; once more under a new binding where the daemon does not know this one."""
    times = binding.times
    try:
        return (yield from build())
    except NotFound as error:
        if error.code != _UNKNOWN:
            raise
    if binding.times == times:
        yield from bind(binding)
    return (yield from build())


def held(doing: Doing[T], lease: Lease | None) -> Plan[T]:
    """The same, done as the program that has it in hand, or not at all. Raises TakenOver."""
    if lease is None:
        return (yield from doing)
    inner = iter(doing)
    try:
        step = next(inner)
        while True:
            try:
                came = yield _named(step, lease)
            except NotFound as error:
                step = inner.throw(_lost(error) if error.code == _UNKNOWN else error)
            except TaskFerryError as error:
                step = inner.throw(error)
            else:
                step = inner.send(came)
    except StopIteration as ended:
        outcome: T = ended.value
        return outcome
    finally:
        inner.close()


def _named(step: Request[Any] | Step, lease: Lease) -> Request[Any] | Step:
    if not isinstance(step, Request) or step.method != "POST":
        return step
    return attrs.evolve(step, body={**(step.body or {}), "runtime": lease.runtime, "fence": lease.fence})


def _lost(error: NotFound) -> TakenOver:
    return TakenOver(
        409,
        "taken-over",
        "This program was unbound meanwhile, so others may have what it had in hand.",
        "Leave it, and look into the inbox again for what is yours now.",
        error.detail,
    )


def _done(answer: Answer) -> None:
    as_object(answer)
