"""Writing down what others can repeat at will, within bounds: the same once an hour, and then how often."""

from __future__ import annotations

import json
from typing import Final

from taskferry_protocol.audit import AuditKind, Fact
from taskferry_protocol.limits import MINUTE_MS
from taskferry_protocol.records import PutSetting

from .core import Core
from .draft import Draft

__all__ = ["DISTINCT", "audit_often", "audit_sign_in", "close_hour"]

HOUR_MS: Final = 60 * MINUTE_MS
#: Different things of one kind written down within an hour; what goes beyond is only counted.
DISTINCT: Final = 16
_OTHERS: Final = "others"
_SETTING: Final = "audit-often"


class _Hour:
    """What was written down within an hour, and how often it came again since."""

    def __init__(self, raw: bytes | None) -> None:
        self.number = 0
        self.again: dict[str, dict[str, int]] = {}
        if raw is not None:
            held = json.loads(raw)
            self.number, self.again = int(held["hour"]), held["again"]

    @property
    def is_empty(self) -> bool:
        """Whether nothing stands in it."""
        return not self.again

    def save(self) -> PutSetting:
        """It as a setting."""
        return PutSetting(_SETTING, json.dumps({"hour": self.number, "again": self.again}).encode())


async def audit_often(draft: Draft, kind: AuditKind, subject: str, **facts: Fact) -> None:
    """Write down what somebody else may repeat as often as they please: the same once an hour.

    How often it came again is written down when the hour is over, so that a flood cannot fill the disk.
    """
    hour = _Hour(await draft.setting(_SETTING))
    number = draft.now // HOUR_MS
    if hour.number != number:
        _write_again(draft, hour)
        hour.number, hour.again = number, {}
    of_kind = hour.again.setdefault(kind.value, {})
    key = json.dumps([subject, facts], sort_keys=True)
    if key not in of_kind and len(of_kind) >= DISTINCT:
        subject, facts, key = _OTHERS, {}, _OTHERS
    if key in of_kind:
        of_kind[key] += 1
    else:
        of_kind[key] = 0
        draft.audit(kind, subject, **facts)
    draft.add(hour.save())


async def audit_sign_in(core: Core, origin: str, transport: str) -> None:
    """Write down that this device has a session with a relay."""
    async with core.lock:
        draft = Draft(core)
        device = core.device.hex()[:16]
        await audit_often(draft, AuditKind.SIGN_IN, origin, device=device, transport=transport)
        await draft.commit()


async def close_hour(draft: Draft) -> None:
    """Write down what came again in an hour that is over."""
    hour = _Hour(await draft.setting(_SETTING))
    number = draft.now // HOUR_MS
    if hour.number != number and not hour.is_empty:
        _write_again(draft, hour)
        hour.number, hour.again = number, {}
        draft.add(hour.save())


def _write_again(draft: Draft, hour: _Hour) -> None:
    for kind, of_kind in hour.again.items():
        for key, times in of_kind.items():
            if times:
                subject, facts = (_OTHERS, {}) if key == _OTHERS else json.loads(key)
                draft.audit(AuditKind(kind), subject, **{**facts, "again": times})
