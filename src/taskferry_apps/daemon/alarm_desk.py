"""The owner looks at the alarms, and dismisses what has been looked into."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from taskferry_protocol.audit import AuditKind

from .alarm_port import AlarmView
from .alarms import CLOCK_OFF, PUT_OUT, Alarm, clear_alarm, clock_alarm, standing_alarms
from .core import Core
from .draft import Draft
from .identity_changes import other_history, quoted_history, second_claim, undecided
from .log_news import held_text
from .names import match_prefix, parse_prefix, require_owner
from .port import Caller, DaemonRefusal

__all__ = ["AlarmDesk"]

_NAMES: Final = re.compile("@([a-z0-9][a-z0-9_-]{0,31})", re.ASCII)


class AlarmDesk:
    """As `alarm_port.AlarmService` promises it."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def alarms(self, caller: Caller) -> tuple[AlarmView, ...]:
        """Those that stand, oldest first; before them that the clock is wrong."""
        require_owner(caller)
        off = [Alarm(text, None, 1) for text in clock_alarm(self._core.clock.ahead_ms)]
        standing = (*off, *await standing_alarms(self._core.store))
        if not standing:
            return ()
        causes = await self._causes([alarm.text for alarm in standing])
        return tuple(
            AlarmView(alarm.id, alarm.text, alarm.at, alarm.times, _until(alarm.text, causes))
            for alarm in standing
        )

    async def dismiss(self, caller: Caller, alarm: str) -> AlarmView:
        """Let an alarm stand no longer."""
        require_owner(caller)
        wanted = parse_prefix(alarm, "alarm")
        prefix = wanted if isinstance(wanted, str) else wanted.hex()
        async with self._core.lock:
            held = {one.id: one for one in await self.alarms(caller)}
            found = held[match_prefix(prefix, held, "alarm")]
            if found.until:
                raise DaemonRefusal(
                    "conflict", "The cause of this alarm is still there.", found.until, status=409
                )
            draft = Draft(self._core)
            await clear_alarm(draft, found.text)
            draft.audit(AuditKind.ALARM, found.text, dismissed="yes")
            await draft.commit()
        return found

    async def _causes(self, texts: list[str]) -> Mapping[str, str]:
        """How alarms begin that are said once, when something begins that goes on; what ends it."""
        core = self._core
        found = {
            PUT_OUT: "It stands as long as this device is none of the account's.",
            CLOCK_OFF: "It stands until the clock is right.",
        }
        if core.suspended:
            found[core.suspended] = "It stands until this is the only instance at work."
        for pinned in await undecided(core.store, {name for text in texts for name in _NAMES.findall(text)}):
            account, name = pinned.record.account, pinned.record.name
            until = (
                "It stands until the recovery phrase has settled it: taskferry recover"
                if account == core.account
                else f"It stands until you have decided: taskferry peer show @{name}"
            )
            beginnings = (
                *(quoted_history(account), second_claim(name), other_history(name)),
                held_text(name),
            )
            found |= dict.fromkeys(beginnings, until)
        return found


def _until(text: str, causes: Mapping[str, str]) -> str:
    return next((until for beginning, until in causes.items() if text.startswith(beginning)), "")
