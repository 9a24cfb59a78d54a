"""What the owner must know: said in the feed, and shown in the status until somebody looks into it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

import attrs

from taskferry_protocol.audit import AuditKind
from taskferry_protocol.ids import Hash, Instant, sha256
from taskferry_protocol.limits import SKEW_MS
from taskferry_protocol.records import PutSetting
from taskferry_stores.port import DaemonStore

from .audit_hours import audit_often
from .bounds import BOUNDS
from .draft import Draft

__all__ = [
    "CLOCK_OFF",
    "OTHER_HISTORY",
    "PUT_OUT",
    "RUNS_TWICE",
    "Alarm",
    "alarms",
    "clear_alarm",
    "clock_alarm",
    "of_machine",
    "raise_alarm",
    "standing_alarms",
]

_KEY: Final = "alarms"
#: When each was raised last, and how often since it stands.
_RAISED: Final = "alarms-raised"
_KEPT: Final = BOUNDS.alarms


#: Alarms about the machine as a whole, which its agents' programs are told of as well.
RUNS_TWICE: Final = (
    "This device runs twice: a copy of this data directory is at work with the same keys, or this one is an "
    "older copy. Nothing is sent or signed here."
)
PUT_OUT: Final = (
    "This device is one of the account's no more: it was revoked, or left. It keeps what it has, and sends "
    "and receives nothing. To use this machine again, link it as a new device from an empty data directory."
)
OTHER_HISTORY: Final = "The relay shows another history of this account than the one held here."
CLOCK_OFF: Final = (
    "This machine's clock is more than 5 minutes off the relay's: while it is ahead, or behind by a month, "
    "nothing is signed, sent or taken here; else newer mail waits. Set it, or if it is right, tell who runs "
    "the relay; how far it is off says: taskferry doctor"
)
_OF_MACHINE: Final = frozenset({RUNS_TWICE, PUT_OUT, OTHER_HISTORY, CLOCK_OFF})


@attrs.frozen
class Alarm:
    """One that stands. `at` is when it was raised last, None for one from before that was kept."""

    text: str
    at: Instant | None
    times: int

    @property
    def id(self) -> Hash:
        """Of what was raised so far: raised once more, it is another."""
        return sha256(f"{self.at} {self.times} {self.text}".encode())


def of_machine(alarms: Sequence[str]) -> tuple[str, ...]:
    """Those that are about the machine as a whole, and not about peers or other agents' tasks."""
    return tuple([alarm for alarm in alarms if alarm in _OF_MACHINE])


async def alarms(store: DaemonStore) -> tuple[str, ...]:
    """The standing alarms, oldest first."""
    return _read((await store.settings((_KEY,))).get(_KEY))


async def standing_alarms(store: DaemonStore) -> tuple[Alarm, ...]:
    """The same, each with when it was raised."""
    held = await store.settings((_KEY, _RAISED))
    raised = _read_raised(held.get(_RAISED))
    return tuple(Alarm(text, *raised.get(text, (None, 1))) for text in _read(held.get(_KEY)))


def _read_raised(raw: bytes | None) -> dict[str, tuple[Instant, int]]:
    held = json.loads(raw) if raw is not None else {}
    return {str(text): (Instant(int(at)), int(times)) for text, (at, times) in held.items()}


def clock_alarm(clock_ahead_ms: int | None) -> tuple[str, ...]:
    """That the clock is wrong, by what the link has found: it stands with that, and is kept nowhere."""
    return (CLOCK_OFF,) if clock_ahead_ms is not None and abs(clock_ahead_ms) >= SKEW_MS else ()


def _read(raw: bytes | None) -> tuple[str, ...]:
    return tuple(map(str, json.loads(raw))) if raw is not None else ()


async def raise_alarm(draft: Draft, text: str, refs: Sequence[Hash] = ()) -> None:
    """Say it loudly, once."""
    standing = _read(await draft.setting(_KEY))
    kept = standing
    if text not in standing:
        kept = (*standing, text)[-_KEPT:]
        draft.add(PutSetting(_KEY, json.dumps(kept).encode()))
    raised = _read_raised(await draft.setting(_RAISED))
    times = raised.get(text, (None, 1))[1] + 1 if text in standing else 1
    raised[text] = (draft.now, times)
    only = {each: raised[each] for each in kept if each in raised}
    draft.add(PutSetting(_RAISED, json.dumps(only).encode()))
    await audit_often(draft, AuditKind.ALARM, text)
    draft.tell("alarm", "", refs, text=text)


async def clear_alarm(draft: Draft, text: str) -> None:
    """Its cause is gone: it stands no longer."""
    standing = _read(await draft.setting(_KEY))
    if text in standing:
        draft.add(PutSetting(_KEY, json.dumps([other for other in standing if other != text]).encode()))
