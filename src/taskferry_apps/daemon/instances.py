"""What a daemon does when another copy of it is at work: it signs nothing, and says so."""

from __future__ import annotations

from typing import Final

import trio

from taskferry_protocol.errors import RejectCode

from .alarms import PUT_OUT, RUNS_TWICE, alarms, clear_alarm, raise_alarm
from .core import Core
from .draft import Draft

__all__ = ["note_other_instance", "stand_alone"]

_CODES: Final = frozenset({RejectCode.OTHER_INSTANCE, RejectCode.REPLACED})


async def note_other_instance(core: Core, code: RejectCode | None) -> None:
    """Stop signing if a session ended, or was not taken, because another instance of this device counts.

    That it was put out is said likewise.
    """
    if code is RejectCode.DEVICE_GONE:
        async with core.lock:
            draft = Draft(core)
            if PUT_OUT not in await alarms(core.store):
                await raise_alarm(draft, PUT_OUT)
            await draft.commit()
    if code not in _CODES or core.instance is None or core.suspended == RUNS_TWICE:
        return
    core.suspended = RUNS_TWICE
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
            await raise_alarm(draft, RUNS_TWICE)
        else:
            await clear_alarm(draft, RUNS_TWICE)
        await draft.commit()
