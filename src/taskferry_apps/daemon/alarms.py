"""What the owner must know: said in the feed, and shown in the status until somebody looks into it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from taskferry_protocol.audit import AuditKind
from taskferry_protocol.ids import Hash
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
    "alarms",
    "alarms_now",
    "clear_alarm",
    "of_machine",
    "raise_alarm",
]

_KEY: Final = "alarms"
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
    "This machine's clock was more than 5 minutes off the relay's when the two connected: others refuse what "
    "is signed here. Set it, and start the daemon again; how far it was off says: taskferry doctor"
)
_OF_MACHINE: Final = frozenset({RUNS_TWICE, PUT_OUT, OTHER_HISTORY, CLOCK_OFF})


def of_machine(alarms: Sequence[str]) -> tuple[str, ...]:
    """Those that are about the machine as a whole, and not about peers or other agents' tasks."""
    return tuple([alarm for alarm in alarms if alarm in _OF_MACHINE])


async def alarms(store: DaemonStore) -> tuple[str, ...]:
    """The standing alarms, oldest first."""
    return _read((await store.settings((_KEY,))).get(_KEY))


async def alarms_now(store: DaemonStore, clock_ahead_ms: int | None) -> tuple[str, ...]:
    """The standing alarms; before them that the clock is wrong, by what the link has found."""
    is_off = clock_ahead_ms is not None and abs(clock_ahead_ms) >= SKEW_MS
    return (*((CLOCK_OFF,) if is_off else ()), *await alarms(store))


def _read(raw: bytes | None) -> tuple[str, ...]:
    return tuple(map(str, json.loads(raw))) if raw is not None else ()


async def raise_alarm(draft: Draft, text: str, refs: Sequence[Hash] = ()) -> None:
    """Say it loudly, once."""
    standing = _read(await draft.setting(_KEY))
    if text not in standing:
        kept = [*standing, text][-_KEPT:]
        draft.add(PutSetting(_KEY, json.dumps(kept).encode()))
    await audit_often(draft, AuditKind.ALARM, text)
    draft.tell("alarm", "", refs, text=text)


async def clear_alarm(draft: Draft, text: str) -> None:
    """Its cause is gone: it stands no longer."""
    standing = _read(await draft.setting(_KEY))
    if text in standing:
        draft.add(PutSetting(_KEY, json.dumps([other for other in standing if other != text]).encode()))
