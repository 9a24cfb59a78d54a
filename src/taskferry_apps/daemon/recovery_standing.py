"""How it stands with the recovery phrase: whether it was replaced, written down, and what opens backups."""

from __future__ import annotations

import json
from typing import Final

from taskferry_protocol.accounts import AccountLog
from taskferry_protocol.backups import backup_key
from taskferry_protocol.crypto import KEY_BYTES, SigningKey
from taskferry_protocol.ids import Instant
from taskferry_protocol.records import PutSetting
from taskferry_stores.port import DaemonStore

from .recovery_port import RecoveryStanding

__all__ = ["WRITTEN_SETTING", "backups_for", "sealed_for", "standing_of", "written_down"]

WRITTEN_SETTING: Final = "recovery-written"
_BACKUP_SETTING: Final = "backup-key"


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


def backups_for(recovery: SigningKey) -> PutSetting:
    """The note that backups are sealed for this recovery key: making one needs no phrase."""
    return PutSetting(_BACKUP_SETTING, backup_key(recovery.seed).public + recovery.public)


async def sealed_for(store: DaemonStore, log: AccountLog) -> bytes | None:
    """The public half of what opens backups; None where it is not known for the phrase in force.

    Another device may have put another phrase in force, and the owner may have destroyed the one before.
    """
    noted = (await store.settings((_BACKUP_SETTING,))).get(_BACKUP_SETTING)
    if noted is None:
        return None
    to, recovery = noted[:KEY_BYTES], noted[KEY_BYTES:]
    # Earlier versions did not note for which phrase it is: where there was ever one, it is that one's.
    return to if (recovery or log.state_at(1).recovery) == log.state.recovery else None
