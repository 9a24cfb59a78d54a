"""The owner's devices: which there are, putting one out, naming one, fresh keys, and linking another."""

from __future__ import annotations

import json
from typing import Final

from taskferry_protocol import accounts
from taskferry_protocol.accounts import AccountLog, DeviceStatus
from taskferry_protocol.audit import AuditKind
from taskferry_protocol.errors import LocalProtocolError, RemoteProtocolError
from taskferry_protocol.ids import DeviceId
from taskferry_protocol.shape import has_controls

from .cards import sign_again
from .core import Core
from .device_views import DevicesView, DeviceView, LinkingView, ProgressView
from .draft import Draft, refusal_of
from .labels import label_of, labels_of, put_label
from .linking import Linking
from .names import LEAST_PREFIX, not_found, require_owner
from .owner import Owner
from .port import Caller, DaemonRefusal
from .served import settle_served
from .share_arrivals import PROGRESS
from .shares import share
from .sharing import History, Sharing
from .statement_times import claimed_at

__all__ = ["Devices"]

LABEL_BYTES: Final = 64


class Devices:
    """As `device_port.DeviceService`."""

    def __init__(self, core: Core, owner: Owner, linking: Linking, sharing: Sharing) -> None:
        self._core = core
        self._owner = owner
        self._linking = linking
        self._sharing = sharing

    async def overview(self, caller: Caller) -> DevicesView:
        """As promised."""
        require_owner(caller)
        core = self._core
        log = await core.own_log()
        views = tuple([await self._view(log, device) for device in log.state.devices])
        held = (await core.store.accounts((core.own,)))[core.own].record.held
        raw = (await core.store.settings((PROGRESS,))).get(PROGRESS)
        progress = json.loads(raw) if raw is not None else {"done": 0, "total": 0}
        sharing = tuple(
            ProgressView(job.device, job.phase, job.done, max(job.done, job.total))
            for job in await self._sharing.jobs()
            if job.device in log.state.devices
        )
        return DevicesView(
            views, held, core.suspended, sharing, int(progress["done"]), int(progress["total"])
        )

    async def _view(self, log: AccountLog, device: DeviceId) -> DeviceView:
        state = log.state.devices[device]
        serves = tuple(sorted(name for name, ids in log.state.agents.items() if device in ids))
        return DeviceView(
            id=device,
            label=await label_of(self._core.store, log, device),
            status=state.status.value,
            is_here=device == self._core.device,
            manages=state.record.manage is not None,
            agents=serves,
            rotations=len(state.former),
            since=claimed_at(log, state.since),
            heard_at=self._core.devices_heard.get(device),
        )

    async def link(self, caller: Caller, relay: str, label: str) -> LinkingView:
        """As promised."""
        return await self._linking.begin(caller, relay, label)

    async def approve(self, caller: Caller, place: str, history: str, manage: bool) -> LinkingView:
        """As promised."""
        return await self._linking.approve(caller, place, History(history), manage=manage)

    async def confirm(self, caller: Caller, words: str) -> LinkingView:
        """As promised."""
        return await self._linking.confirm(caller, words)

    async def cancel(self, caller: Caller) -> LinkingView:
        """As promised."""
        return await self._linking.cancel(caller)

    async def linking(self, caller: Caller, phase: str, wait_s: float) -> LinkingView:
        """As promised."""
        return await self._linking.wait(caller, phase, wait_s)

    async def rename(self, caller: Caller, device: str, label: str) -> DeviceView:
        """As promised. What the record in the log says stays: it is signed, and others have it."""
        require_owner(caller)
        text = label.strip()
        if not text or len(text.encode()) > LABEL_BYTES or has_controls(text):
            raise DaemonRefusal(
                "bad-value",
                f"A name is 1 to {LABEL_BYTES} bytes of text.",
                "Choose another one.",
                detail={"field": "label"},
            )
        core = self._core
        async with core.lock:
            draft = Draft(core)
            log = await draft.own_log()
            found = await self._find(log, device)
            item = await put_label(draft, found, text)
            draft.audit(AuditKind.DEVICE_RENAMED, text, device=found.hex())
            await share(draft, (item,))
            await draft.commit()
        core.outgoing.ring()
        return await self._view(log, found)

    async def revoke(self, caller: Caller, device: str, reason: str, lose: bool) -> DeviceView:
        """As promised."""
        require_owner(caller)
        core = self._core
        async with core.undivided():
            draft = Draft(core)
            before = await draft.own_log()
            found = await self._find(before, device)
            if not lose:
                _check_nothing_is_lost(before, found)
            try:
                statement = accounts.revoke_device(before.state, found, reason, at=draft.now, by=core.manage)
            except (RemoteProtocolError, LocalProtocolError) as error:
                raise refusal_of(error) from error
            log = await self._owner.extend(draft, statement)
            await settle_served(draft, before, log)
            if found != core.device:
                await sign_again(draft, log)
            draft.tell("device", "", state="revoked", id=found.hex())
            await draft.commit()
        core.outgoing.ring()
        return await self._view(log, found)

    async def rotate(self, caller: Caller) -> DeviceView:
        """As promised."""
        await self._owner.rotate_now(caller)
        return await self._view(await self._core.own_log(), self._core.device)

    async def _find(self, log: AccountLog, text: str) -> DeviceId:
        """The device of an id, its beginning, or a name."""
        lowered = text.lower()
        found = [
            id for id in log.state.devices if len(lowered) >= LEAST_PREFIX and id.hex().startswith(lowered)
        ]
        if not found:
            given = await labels_of(self._core.store)
            found = [
                id
                for id, device in log.state.devices.items()
                if device.status is DeviceStatus.ACTIVE and given.get(id, device.record.label) == text
            ]
        if not found:
            raise not_found("device")
        if len(found) > 1:
            raise DaemonRefusal(
                "ambiguous",
                "Several devices are called so.",
                "Give the id: taskferry device list",
                status=409,
            )
        return found[0]


def _check_nothing_is_lost(log: AccountLog, device: DeviceId) -> None:
    """Nothing if the rest can go on without it. DaemonRefusal(last-device) that names what could not."""
    if log.state.devices[device].status is not DeviceStatus.ACTIVE:
        return
    alone = sorted(name for name, ids in log.state.agents.items() if ids == (device,))
    rest = [other for other in log.state.active_devices() if other.id != device]
    what = [f"no device would serve {', '.join(alone)} any more, so it would be withdrawn"] if alone else []
    if all(other.record.manage is None for other in rest):
        what.append("no device could sign for the account any more, and only the recovery key would be left")
    if what:
        raise DaemonRefusal(
            "last-device",
            f"Without that device {'; and '.join(what)}.",
            "Link another device first, or say that you mean it: taskferry device revoke ID --lose-agents",
            status=409,
            detail={"agents": alone},
        )
