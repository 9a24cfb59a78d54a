"""The manage key behind its owner's passphrase: locked at rest, unlocked in memory for some minutes.

While it is locked everything works that the device's own keys do: mail, tasks, the weekly change of keys.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

import attrs
import trio

from taskferry_protocol.audit import AuditKind
from taskferry_protocol.crypto import SigningKey
from taskferry_protocol.errors import LocalProtocolError
from taskferry_protocol.ids import Instant
from taskferry_protocol.limits import MINUTE_MS
from taskferry_protocol.passphrases import Effort

from .core import Core
from .draft import Draft
from .keys import LockedManage
from .names import require_owner
from .port import Caller, DaemonRefusal

__all__ = ["Manage"]

T = TypeVar("T")

LEAST_CHARS: Final = 10


class Manage:
    """Locks and unlocks; one passphrase is tried at a time."""

    def __init__(self, core: Core, effort: Effort | None = None) -> None:
        self._core = core
        self._effort = effort or Effort()
        self._one = trio.CapacityLimiter(1)

    @property
    def state(self) -> str:
        """`none`, `open`, `locked` or `unlocked`."""
        core = self._core
        if core.ring is None:
            return "none"
        if core.ring.device.manage is not None:
            return "open"
        if core.ring.locked_manage is None:
            return "none"
        core.forget_unlocked()
        return "unlocked" if core.unlocked is not None else "locked"

    async def set_passphrase(self, caller: Caller, new: str, old: str) -> None:
        """Put a passphrase before the key, change it, or with an empty `new` take it away.

        Raises DaemonRefusal: bad-value, wrong-passphrase, not-authorized where this device has no such key.
        """
        require_owner(caller)
        if new and len(new) < LEAST_CHARS:
            raise DaemonRefusal(
                "bad-value",
                f"A passphrase has {LEAST_CHARS} characters or more.",
                "Choose a longer one: several words are good.",
                detail={"field": "new_passphrase"},
            )
        core = self._core
        async with core.lock:
            ring = core.keys
            key = ring.device.manage
            if ring.locked_manage is not None:
                key = await self._open(ring.locked_manage, old)
            if key is None:
                raise _no_key()
            if new:
                locked = await self._stretch(LockedManage.lock, key, new, self._effort, core.entropy)
                ring = attrs.evolve(ring, device=attrs.evolve(ring.device, manage=None), locked_manage=locked)
            else:
                ring = attrs.evolve(ring, device=attrs.evolve(ring.device, manage=key), locked_manage=None)
            await core.save_keys(ring)
            core.ring, core.unlocked = ring, None
            await self._tell("passphrase_set" if new else "passphrase_removed")

    async def unlock(self, caller: Caller, passphrase: str, minutes: int) -> Instant:
        """Let the key sign for so many minutes. Raises DaemonRefusal: wrong-passphrase, not-locked."""
        require_owner(caller)
        core = self._core
        async with core.lock:
            if core.keys.locked_manage is None:
                raise DaemonRefusal(
                    "not-locked",
                    "No passphrase stands before the key that signs for the account.",
                    "To set one: taskferry manage passphrase",
                    status=409,
                )
            key = await self._open(core.keys.locked_manage, passphrase)
            until = Instant(core.now() + minutes * MINUTE_MS)
            # A key that signs while no entry says so would be worse than an entry too many.
            await self._tell("unlocked")
            core.unlocked = (key, until)
        return until

    async def lock(self, caller: Caller) -> None:
        """Forget the key that was unlocked; it is no error if none was."""
        require_owner(caller)
        self._core.unlocked = None

    async def _open(self, locked: LockedManage, passphrase: str) -> SigningKey:
        key = await self._stretch(locked.open, passphrase)
        if key is None:
            raise DaemonRefusal(
                "wrong-passphrase",
                "That is not the passphrase.",
                "Try again; without it, the recovery phrase takes the account back.",
                status=403,
            )
        return key

    async def _stretch(self, work: Callable[..., T], *arguments: object) -> T:
        try:
            return await trio.to_thread.run_sync(work, *arguments, limiter=self._one)
        except LocalProtocolError as error:
            raise DaemonRefusal("not-possible", f"{error}.", "Free some memory.", status=503) from error

    async def _tell(self, state: str) -> None:
        draft = Draft(self._core)
        draft.tell("manage", "", state=state)
        draft.audit(AuditKind.MANAGE_KEY, "account key", what=state)
        await draft.commit()


def _no_key() -> DaemonRefusal:
    return DaemonRefusal(
        "not-authorized",
        "This device has no key that signs for the account.",
        "Do this on the device that manages it.",
        status=403,
    )
