"""What the owner must know: said in the feed, and shown in the status until somebody looks into it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from taskferry_protocol.audit import AuditKind
from taskferry_protocol.ids import Hash
from taskferry_protocol.records import PutSetting
from taskferry_stores.port import DaemonStore

from .audit_hours import audit_often
from .bounds import BOUNDS
from .draft import Draft

__all__ = ["alarms", "clear_alarm", "raise_alarm"]

_KEY: Final = "alarms"
_KEPT: Final = BOUNDS.alarms


async def alarms(store: DaemonStore) -> tuple[str, ...]:
    """The standing alarms, oldest first."""
    return _read((await store.settings((_KEY,))).get(_KEY))


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
