"""Where the owner's wakes are kept: one setting of the daemon's."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Final

import attrs

from taskferry_protocol.records import PutSetting

from .core import Core
from .draft import Draft
from .wake_calls import HookRecord

__all__ = ["drop_wakes", "load_wakes", "save_wakes"]

_SETTING: Final = "wake-hooks"


async def load_wakes(core: Core) -> tuple[HookRecord, ...]:
    """All of them, the oldest first."""
    return _read((await core.store.settings((_SETTING,))).get(_SETTING))


def _read(raw: bytes | None) -> tuple[HookRecord, ...]:
    if raw is None:
        return ()
    return tuple(HookRecord(**{**one, "command": tuple(one["command"])}) for one in json.loads(raw))


def _put(hooks: Sequence[HookRecord]) -> PutSetting:
    return PutSetting(_SETTING, json.dumps([attrs.asdict(hook) for hook in hooks]).encode())


async def save_wakes(core: Core, hooks: Sequence[HookRecord]) -> None:
    """Keep these in place of what was kept; hold the core's lock from loading to here."""
    await core.commit((_put(hooks),))


async def drop_wakes(draft: Draft, agents: Collection[str]) -> None:
    """Forget, in this draft, those of these agents."""
    hooks = _read(await draft.setting(_SETTING))
    left = [hook for hook in hooks if hook.agent not in agents]
    if len(left) < len(hooks):
        draft.add(_put(left))
