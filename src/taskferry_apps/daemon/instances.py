"""What a daemon does when another copy of it is at work: it signs nothing, and says so."""

from __future__ import annotations

from typing import Final

import trio

from taskferry_protocol.errors import RejectCode

from .alarms import alarms, clear_alarm, raise_alarm
from .core import Core
from .draft import Draft

__all__ = ["note_other_instance", "stand_alone"]

OTHER: Final = (
    "This device runs twice: a copy of this data directory is at work with the same keys, or this one is an "
    "older copy. Nothing is sent or signed here."
)
GONE: Final = (
    "This device is one of the account's no more: it was revoked, or left. It keeps what it has, and sends "
    "and receives nothing. To use this machine again, link it as a new device from an empty data directory."
)
_CODES: Final = frozenset({RejectCode.OTHER_INSTANCE, RejectCode.REPLACED})


async def note_other_instance(core: Core, code: RejectCode | None) -> None:
    """Stop signing if a session ended, or was not taken, because another instance of this device counts.

    That it was put out is said likewise.
    """
    if code is RejectCode.DEVICE_GONE:
        async with core.lock:
            draft = Draft(core)
            if GONE not in await alarms(core.store):
                await raise_alarm(draft, GONE)
            await draft.commit()
    if code not in _CODES or core.instance is None or core.suspended == OTHER:
        return
    core.suspended = OTHER
    await _say(core)


async def stand_alone(core: Core) -> None:
    """The relay has taken this instance as the only one: what was held back may go on."""
    mark = core.instance
    if mark is None:
        return
    await trio.to_thread.run_sync(mark.confirm)
    if core.suspended:
        core.suspended = ""
        await _say(core)


async def _say(core: Core) -> None:
    async with core.lock:
        draft = Draft(core)
        if core.suspended:
            await raise_alarm(draft, OTHER)
        else:
            await clear_alarm(draft, OTHER)
        await draft.commit()
