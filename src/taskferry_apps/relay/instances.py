"""Which installation of a device counts: one at a time, never an older copy (spec/session.md section 10)."""

from __future__ import annotations

from typing import Final

from taskferry_protocol.errors import EnvelopeRejected, RejectCode, RemoteProtocolError
from taskferry_protocol.frames import HelloFrame
from taskferry_protocol.limits import DEAD_AFTER_MS
from taskferry_protocol.records import PutSetting
from taskferry_stores.port import RelayStore

from .presence import Presence

__all__ = ["check_alone", "remember_instance"]

#: When a daemon may come again whose former session may be dead without our knowing.
RETRY_MS: Final = DEAD_AFTER_MS // 5


async def remember_instance(store: RelayStore, presence: Presence, hello: HelloFrame, acked: int) -> None:
    """Nothing if this instance may open a session; it is remembered as the last then.

    Only for a device that the account's log names, for each takes a row for ever.
    Raises RemoteProtocolError(other-instance), with `retry_after` where the other's session may be dead.
    """
    instance = hello.instance
    if instance is None:
        return
    _check_memory(hello, store, acked)
    check_alone(presence, hello)
    key = f"instance/{hello.device.hex()}"
    kept = (await store.settings((key,))).get(key, b"")
    last = kept.removeprefix(store.generation) if kept.startswith(store.generation) else b""
    if last and not instance.take_over and last not in (instance.id, instance.prev):
        raise RemoteProtocolError(
            RejectCode.OTHER_INSTANCE, "another copy of this device was here in the meantime"
        )
    if last != instance.id:
        await store.commit((PutSetting(key, bytes(store.generation) + instance.id),))


def _check_memory(hello: HelloFrame, store: RelayStore, acked: int) -> None:
    cursor = hello.cursor
    if cursor is not None and cursor.generation != store.generation:
        return
    if acked > (cursor.offset if cursor is not None else 0):
        raise RemoteProtocolError(
            RejectCode.OTHER_INSTANCE, "this device has taken more mail than this store knows: an older copy"
        )


def check_alone(presence: Presence, hello: HelloFrame) -> None:
    """Nothing if no other process has a session of this device. Raises as `remember_instance`."""
    instance, run = hello.instance, presence.run_of(hello.device)
    if instance is not None and not instance.take_over and run and run != instance.run:
        raise EnvelopeRejected(
            RejectCode.OTHER_INSTANCE,
            "this device has a session from another process",
            detail={"retry_after": RETRY_MS},
        )
