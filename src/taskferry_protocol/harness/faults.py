"""What may go wrong in a world, how often, and the errors by which its caller hears of it."""

from __future__ import annotations

from enum import StrEnum

import attrs

from ..errors import LocalProtocolError, RejectCode
from ..links import EventType
from ..task_table import TaskState

__all__ = ["Crash", "DeviceDown", "Lies", "Network", "NotPossible", "Stalled"]


def _probability(instance: object, attribute: attrs.Attribute[float], value: float) -> None:
    if not 0 <= value < 1:
        raise LocalProtocolError(f"{attribute.name} is a probability: from 0 up to, and without, 1")


def _bounds(instance: object, attribute: attrs.Attribute[tuple[int, int]], value: tuple[int, int]) -> None:
    low, high = value
    if not 0 <= low <= high:
        raise LocalProtocolError(f"{attribute.name} is a pair (least, most), neither below 0")


@attrs.frozen
class Network:
    """How frames travel between devices and the relay, and how often a machine fails.

    `delay_ms` bounds how long a frame takes. For each frame there is a probability that it comes twice
    (`duplicate`: the session notices and is begun again), and that the connection breaks with all that is
    under way (`cut`). Within a connection frames keep their order, as every transport promises; so it is for
    each parcel that there is a probability that later ones overtake it (`reorder`). For each commit that the
    network causes there is one that the machine, a device or the relay, loses power just before or just after
    it (`crash`); it is back within `restart_ms`.
    """

    delay_ms: tuple[int, int] = attrs.field(default=(1, 40), validator=_bounds)
    duplicate: float = attrs.field(default=0.0, validator=_probability)
    reorder: float = attrs.field(default=0.0, validator=_probability)
    cut: float = attrs.field(default=0.0, validator=_probability)
    crash: float = attrs.field(default=0.0, validator=_probability)
    restart_ms: tuple[int, int] = attrs.field(default=(50, 2_000), validator=_bounds)


@attrs.frozen
class Lies:
    """How often a lying relay wrongs an entry of a mailbox. It says "accepted" whatever it does.

    `drop`: the entry is never put there. `replay`: it is put there twice. `reorder`: it changes places with
    one that came before. `substitute`: something else stands in its place, with a flipped bit, the wrapped
    key of another message, or all of another one.
    """

    drop: float = attrs.field(default=0.0, validator=_probability)
    replay: float = attrs.field(default=0.0, validator=_probability)
    reorder: float = attrs.field(default=0.0, validator=_probability)
    substitute: float = attrs.field(default=0.0, validator=_probability)


class Crash(StrEnum):
    """When a machine fails: before what it was about to store is stored, or after, having told nobody."""

    BEFORE = "before"
    AFTER = "after"


class DeviceDown(LocalProtocolError):
    """The device is down, or went down within this very call: whether it was stored, ask after a restart."""


class Stalled(LocalProtocolError):
    """What was waited for did not come about within the simulated time."""


class NotPossible(LocalProtocolError):
    """The task does not allow this now: `code` says why, `state` how it stands, `actions` what it allows."""

    def __init__(self, code: RejectCode, state: TaskState | None, actions: tuple[EventType, ...]) -> None:
        names = ", ".join(actions) or "nothing"
        super().__init__(f"{code.value}: the task is {state}, possible now: {names}")
        self.code = code
        self.state = state
        self.actions = actions
