"""A program that shares its agent with others: bound under an id, heard of, and told what it has no more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import attrs

from .errors import NotFound, TakenOver, TaskFerryError
from .plans import Doing, Plan, Step
from .requests import Answer, Request, as_object, path_of, post, value_of
from .results import Lease, Program

__all__ = ["Binding", "beat", "beaten", "bind", "held", "unbind", "under"]

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


def bind(binding: Binding) -> Plan[None]:
    """Bind it, or bind it again. Raises Conflict where too many are bound."""
    body = {"agent": binding.agent, "program": binding.program, "key": binding.key}
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


def unbind(binding: Binding) -> Plan[None]:
    """End the binding: others may have at once what it had. Nothing to do where it has ended."""
    try:
        yield from Request("DELETE", path_of("runtimes", binding.id), _done)
    except NotFound:
        pass


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
