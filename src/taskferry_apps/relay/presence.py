"""Who has a session now: one for each device, found by device and by account.

It outlives no process and proves nothing; a mailbox is served whether or not anybody was told of new mail.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from taskferry_protocol.accounts import AccountLog, DeviceStatus
from taskferry_protocol.errors import RejectCode, RemoteProtocolError
from taskferry_protocol.frame_items import Entry
from taskferry_protocol.ids import AccountId, DeviceId

__all__ = ["Presence", "Present"]


class Present(Protocol):
    """An open session."""

    @property
    def account(self) -> AccountId:
        """The account that it belongs to."""

    @property
    def device(self) -> DeviceId:
        """The device that proved itself."""

    @property
    def run_id(self) -> bytes:
        """The daemon's process, as it says; empty where it says nothing."""

    @property
    def began(self) -> float:
        """When it was dialled, by trio's clock."""

    def deliver(self, entries: Sequence[Entry]) -> None:
        """Put entries that were committed just now before the device. Never blocks, never raises."""

    def end(self, code: RejectCode, text: str, retry_after: int | None = None) -> None:
        """Say goaway and hang up soon. Never blocks, never raises. `retry_after` is in ms."""


class Presence:
    """The open sessions of one relay."""

    def __init__(self) -> None:
        self._by_device: dict[DeviceId, Present] = {}
        self._by_account: dict[AccountId, set[DeviceId]] = {}

    def __len__(self) -> int:
        return len(self._by_device)

    def __iter__(self) -> Iterator[Present]:
        return iter(tuple(self._by_device.values()))

    def check_latest(self, device: DeviceId, began: float) -> None:
        """Nothing if the device has no session that it dialled later than one which began then.

        Its link may have broken long ago. Raises RemoteProtocolError(replaced).
        """
        session = self._by_device.get(device)
        if session is not None and session.began > began:
            raise RemoteProtocolError(RejectCode.REPLACED, "this device has dialled again since")

    def enter(self, session: Present) -> None:
        """A session opened; one that the same device had before ends."""
        before = self._by_device.get(session.device)
        self._by_device[session.device] = session
        self._by_account.setdefault(session.account, set()).add(session.device)
        if before is not None:
            before.end(RejectCode.REPLACED, "this device opened another session")

    def leave(self, session: Present) -> None:
        """A session ended, unless another has taken its place already."""
        if self._by_device.get(session.device) is session:
            del self._by_device[session.device]
            devices = self._by_account[session.account]
            devices.discard(session.device)
            if not devices:
                del self._by_account[session.account]

    def deliver(self, device: DeviceId, entries: Sequence[Entry]) -> None:
        """Hand entries to the device's session, if it has one."""
        session = self._by_device.get(device)
        if session is not None:
            session.deliver(entries)

    def run_of(self, device: DeviceId) -> bytes:
        """The process that holds the device's session; empty where there is none, or it says nothing."""
        session = self._by_device.get(device)
        return session.run_id if session is not None else b""

    def is_online(self, device: DeviceId) -> bool:
        """Whether the device has a session."""
        return device in self._by_device

    def end_account(self, account: AccountId, code: RejectCode, text: str, retry_after: int) -> None:
        """End all sessions of an account."""
        for device in tuple(self._by_account.get(account, ())):
            self._by_device[device].end(code, text, retry_after)

    def account_changed(self, log: AccountLog) -> None:
        """End the sessions of devices that are active no more."""
        for device in tuple(self._by_account.get(log.account, ())):
            state = log.state.devices.get(device)
            if state is None or state.status is not DeviceStatus.ACTIVE:
                self._by_device[device].end(RejectCode.DEVICE_GONE, "this device is active no more")
