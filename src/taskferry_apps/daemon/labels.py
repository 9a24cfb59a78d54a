"""What the owner calls the devices, where it is not what their records say, which nobody can change."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from taskferry_protocol.accounts import AccountLog
from taskferry_protocol.ids import DeviceId
from taskferry_protocol.records import PutSetting
from taskferry_stores.port import DaemonStore

from .draft import Draft

__all__ = ["label_of", "labels_of", "put_label"]

_KEY: Final = "device labels"


def _read(raw: bytes | None) -> dict[DeviceId, str]:
    rows = json.loads(raw) if raw is not None else {}
    return {DeviceId(bytes.fromhex(id)): str(label) for id, label in rows.items()}


async def labels_of(store: DaemonStore) -> Mapping[DeviceId, str]:
    """The names given by the owner."""
    return _read((await store.settings((_KEY,))).get(_KEY))


async def label_of(store: DaemonStore, log: AccountLog, device: DeviceId) -> str:
    """What a device of ours is called: as the owner says, else as its record does."""
    given = (await labels_of(store)).get(device)
    known = log.state.devices.get(device)
    return given or (known.record.label if known is not None else device.hex()[:8])


async def put_label(draft: Draft, device: DeviceId, label: str) -> None:
    """Call a device so, on this machine."""
    labels = _read(await draft.setting(_KEY)) | {device: label}
    rows = {id.hex(): text for id, text in sorted(labels.items())}
    draft.add(PutSetting(_KEY, json.dumps(rows, ensure_ascii=False).encode()))
