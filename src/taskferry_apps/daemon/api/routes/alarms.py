"""What the owner must know: read and dismissed."""

from __future__ import annotations

from typing import Final

from ...alarm_port import AlarmView
from ...port import DaemonService
from ..answers import Object, maybe_time
from ..fields import Form, required
from ..kinds import ID
from ..schemas import OK, many, record, ref
from ..table import Access, Call, Repeat, Route

__all__ = ["ROUTES"]

_ALARM: Final = required("id", ID, "The alarm's id, or the beginning of it.")


def _object(alarm: AlarmView) -> Object:
    return {
        "id": alarm.id.hex(),
        "text": alarm.text,
        "raised_at": maybe_time(alarm.at),
        "times": alarm.times,
        "until": alarm.until,
    }


async def _list(daemon: DaemonService, call: Call) -> Object:
    return {"alarms": [_object(alarm) for alarm in await daemon.alarms.alarms(call.known_caller)]}


async def _dismiss(daemon: DaemonService, call: Call) -> Object:
    alarm = await daemon.alarms.dismiss(call.known_caller, call.body[_ALARM].lower())
    return {"ok": True, "alarm": _object(alarm)}


ROUTES: Final = (
    Route(
        method="GET",
        path="/alarms",
        name="list_alarms",
        about="The alarms that stand, oldest first; `until` is empty for one that can be dismissed.",
        handler=_list,
        answer=record(alarms=many(ref("Alarm"))),
        access=Access.OWNER,
    ),
    Route(
        method="POST",
        path="/alarms/dismiss",
        name="dismiss_alarm",
        about="Let an alarm stand no longer. Raised again it stands again, and under another id.",
        handler=_dismiss,
        answer=record(ok=OK, alarm=ref("Alarm")),
        access=Access.OWNER,
        body=Form.of(_ALARM),
        repeat=Repeat.ONCE,
    ),
)
