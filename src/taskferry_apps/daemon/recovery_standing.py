"""How it stands with the recovery phrase: whether it was replaced, and whether its owner surely has it."""

from __future__ import annotations

import json
from typing import Final

from taskferry_protocol.accounts import AccountLog
from taskferry_protocol.ids import Instant
from taskferry_protocol.records import PutSetting
from taskferry_stores.port import DaemonStore

from .recovery_port import RecoveryStanding

__all__ = ["WRITTEN_SETTING", "standing_of", "written_down"]

WRITTEN_SETTING: Final = "recovery-written"


def written_down(recovery: bytes, now: Instant) -> PutSetting:
    """The note that the owner has shown to have the phrase of this recovery key."""
    return PutSetting(WRITTEN_SETTING, json.dumps({"key": recovery.hex(), "at": now}).encode())


async def standing_of(store: DaemonStore, log: AccountLog) -> RecoveryStanding:
    """Of the phrase in force. A note about an earlier one says nothing of it."""
    raw = (await store.settings((WRITTEN_SETTING,))).get(WRITTEN_SETTING)
    note = json.loads(raw) if raw is not None else {}
    is_of_this = note.get("key") == log.state.recovery.hex()
    first = log.state_at(1)
    return RecoveryStanding(
        is_replaced=first.recovery != log.state.recovery,
        written_at=Instant(int(note["at"])) if is_of_this else None,
    )
