"""Idempotency keys: the same request under the same key takes effect once and has one answer."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable
from typing import Final

import trio

from taskferry_apps.logs import get_logger
from taskferry_stores.errors import StoreError

from ..port import Caller, DaemonService
from ..steps import under_key
from .body import Json, canonical
from .errors import refusal
from .holds import FENCE, RUNTIME

__all__ = ["Repeats", "digest_of", "read_key"]

#: What names the program that asks.
_WHO: Final = frozenset({RUNTIME.name, FENCE.name})
_KEY: Final = re.compile("[!-~]{1,128}", re.ASCII)


def read_key(header: str | None) -> str | None:
    """The key in an Idempotency-Key header. Raises DaemonRefusal(bad-value)."""
    if header is None:
        return None
    if not _KEY.fullmatch(header):
        raise refusal(
            "bad-value",
            "An idempotency key is 1 to 128 printable ASCII characters without spaces.",
            "Use a UUID.",
            field="Idempotency-Key",
        )
    return header


def digest_of(method: str, path: str, body: Json) -> bytes:
    """What makes two requests the same: method, path, and the value of the body, however it is spaced.

    Under which lease a program asks says who it is, and not what it asks for: bound again, it has another.
    """
    if isinstance(body, dict):
        body = {name: value for name, value in body.items() if name not in _WHO}
    return hashlib.sha256(b"\n".join((method.encode(), path.encode(), canonical(body)))).digest()


class _Turn:
    """Those who came with one key: one acts, the others wait."""

    def __init__(self) -> None:
        self.lock = trio.Lock()
        self.users = 0


class Repeats:
    """Acts once a key. Only answers are kept, never refusals: those may be mended and tried again."""

    def __init__(self, daemon: DaemonService) -> None:
        self._daemon = daemon
        self._turns: dict[tuple[frozenset[str] | None, str], _Turn] = {}

    async def once(
        self, caller: Caller, key: str, digest: bytes, act: Callable[[], Awaitable[bytes]]
    ) -> bytes:
        """The answer under the key, acting for it if there is none.

        Raises what `act` raises, and DaemonRefusal(conflict).
        """
        name = (caller.agents, key)
        turn = self._turns.setdefault(name, _Turn())
        turn.users += 1
        try:
            async with turn.lock:
                # Whoever goes away between the effect and the keeping of its answer will ask again for it.
                with trio.CancelScope(shield=True):
                    kept = await self._daemon.recall(caller, key, digest)
                    if kept is not None:
                        return kept
                    # Should the daemon be killed between these two: what was sent is found again.
                    with under_key(caller, key, digest):
                        answer = await act()
                    await self._keep(caller, key, digest, answer)
            return answer
        finally:
            turn.users -= 1
            if not turn.users:
                del self._turns[name]

    async def _keep(self, caller: Caller, key: str, digest: bytes, answer: bytes) -> None:
        try:
            await self._daemon.remember(caller, key, digest, answer)
        except StoreError as error:
            # What was asked for is done and stored: to say now that it is not, or may not be, would be false.
            get_logger().warning("an answer could not be kept", kind=type(error).__name__)
