"""What the owner calls the devices, where it is not what their records say, which nobody can change."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

import attrs

from taskferry_protocol.accounts import AccountLog
from taskferry_protocol.ids import DeviceId, Instant
from taskferry_protocol.limits import DAY_MS
from taskferry_protocol.messages import SharedLabel
from taskferry_protocol.records import PutSetting
from taskferry_stores.port import DaemonStore

from .draft import Draft

__all__ = ["label_items", "label_of", "labels_of", "put_label", "take_label"]

_KEY: Final = "device labels"
#: By how much another machine's clock may be ahead: what is later counts as of now, not above all later ones.
_AHEAD_MS: Final = DAY_MS


@attrs.frozen(order=True)
class _Given:
    """A name and since when; of two, the greater counts on every machine, in whichever order they come."""

    at: Instant
    text: str


def _read(raw: bytes | None) -> dict[DeviceId, _Given]:
    rows = json.loads(raw) if raw is not None else {}
    # Without a time: from before names had one.
    given = {id: row if isinstance(row, list) else [0, row] for id, row in rows.items()}
    return {DeviceId(bytes.fromhex(id)): _Given(Instant(at), text) for id, (at, text) in given.items()}


async def _held(store: DaemonStore) -> dict[DeviceId, _Given]:
    return _read((await store.settings((_KEY,))).get(_KEY))


async def labels_of(store: DaemonStore) -> Mapping[DeviceId, str]:
    """The names given by the owner."""
    return {device: given.text for device, given in (await _held(store)).items()}


async def label_items(store: DaemonStore) -> list[SharedLabel]:
    """The same, as a new machine is told of them."""
    return [
        SharedLabel(device, given.text, given.at) for device, given in sorted((await _held(store)).items())
    ]


async def label_of(store: DaemonStore, log: AccountLog, device: DeviceId) -> str:
    """What a device of ours is called: as the owner says, else as its record does."""
    given = (await labels_of(store)).get(device)
    known = log.state.devices.get(device)
    return given or (known.record.label if known is not None else device.hex()[:8])


async def put_label(draft: Draft, device: DeviceId, label: str) -> SharedLabel:
    """Call a device so from now on, whatever it was called before; what the other machines are to be told."""
    labels = _read(await draft.setting(_KEY))
    # Whoever called it something else may have had a clock that was ahead.
    at = Instant(max(draft.now, labels[device].at + 1)) if device in labels else draft.now
    _write(draft, labels | {device: _Given(at, label)})
    return SharedLabel(device, label, at)


async def take_label(draft: Draft, item: SharedLabel) -> None:
    """Call a device as another machine says, unless its owner has said something later."""
    labels = _read(await draft.setting(_KEY))
    given = _Given(item.at if item.at <= draft.now + _AHEAD_MS else draft.now, item.label)
    if item.device not in labels or given > labels[item.device]:
        _write(draft, labels | {item.device: given})


def _write(draft: Draft, labels: Mapping[DeviceId, _Given]) -> None:
    rows = {device.hex(): [given.at, given.text] for device, given in sorted(labels.items())}
    draft.add(PutSetting(_KEY, json.dumps(rows, ensure_ascii=False).encode()))
