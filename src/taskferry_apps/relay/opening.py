"""What a proven device has to show before its session opens: an account with it in it, and a true cursor."""

from __future__ import annotations

from contextlib import nullcontext

from taskferry_protocol.accounts import AccountLog, DeviceStatus
from taskferry_protocol.errors import RejectCode, RemoteProtocolError
from taskferry_protocol.frames import HelloFrame
from taskferry_protocol.ids import DeviceId
from taskferry_protocol.records import Generation, MailboxUsage
from taskferry_protocol.sessions import AuthRequested

from .accounts import Accounts
from .reading import Reader

__all__ = ["account_of", "check_active", "cursor_of"]


def cursor_of(hello: HelloFrame, usage: MailboxUsage, generation: Generation) -> int:
    """The offset that `hello` acknowledges by its cursor, 0 if none of this generation.

    Raises RemoteProtocolError(bad-value) for one beyond what was ever delivered.
    """
    if hello.cursor is None or hello.cursor.generation != generation:
        return 0
    if hello.cursor.offset > usage.last:
        raise RemoteProtocolError(
            RejectCode.BAD_VALUE, "beyond what was ever delivered", field="hello.cursor"
        )
    return hello.cursor.offset


async def account_of(accounts: Accounts, event: AuthRequested, peer: str) -> AccountLog:
    """The log with what the daemon brought, its device active in it.

    Raises RemoteProtocolError with the codes of spec/session.md section 3.
    """
    account, device = event.hello.account, event.hello.device
    place = await accounts.recognise(account, device, event.start, event.statements, event.ticket, peer)
    reader = Reader(account, device)
    with place or nullcontext():
        log = await accounts.extend(reader, event.start, event.statements, event.ticket, place)
    check_active(accounts, log, device)
    return log


def check_active(accounts: Accounts, log: AccountLog, device: DeviceId) -> None:
    """Nothing if the log has the device, active, and its account is not suspended.

    Raises RemoteProtocolError: unknown-device, device-gone, suspended.
    """
    state = log.state.devices.get(device)
    if state is None:
        raise RemoteProtocolError(RejectCode.UNKNOWN_DEVICE, "not a device of this account")
    if state.status is not DeviceStatus.ACTIVE:
        raise RemoteProtocolError(RejectCode.DEVICE_GONE, f"was {state.status.value}")
    accounts.suspensions.check(log.account)
