"""Where the owner's wakes are kept: one setting of the daemon's."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

import attrs

from taskferry_protocol.records import PutSetting

from .core import Core
from .wake_calls import HookRecord

__all__ = ["load_wakes", "save_wakes"]

_SETTING: Final = "wake-hooks"


async def load_wakes(core: Core) -> tuple[HookRecord, ...]:
    """All of them, the oldest first."""
    raw = (await core.store.settings((_SETTING,))).get(_SETTING)
    if raw is None:
        return ()
    return tuple(HookRecord(**{**one, "command": tuple(one["command"])}) for one in json.loads(raw))


async def save_wakes(core: Core, hooks: Sequence[HookRecord]) -> None:
    """Keep these in place of what was kept; hold the core's lock from loading to here."""
    text = json.dumps([attrs.asdict(hook) for hook in hooks])
    await core.commit((PutSetting(_SETTING, text.encode()),))
