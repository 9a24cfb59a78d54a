"""The passphrase before the manage key, as callers see it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from taskferry_protocol.ids import Instant

if TYPE_CHECKING:
    from .port import Caller

__all__ = ["LONGEST_MINUTES", "ManageService"]

LONGEST_MINUTES: Final = 720
"""For so long a manage key may be unlocked at most."""


class ManageService(Protocol):
    """The key that signs for the account, and its passphrase; all of it the owner's alone."""

    @property
    def state(self) -> str:
        """`none`, `open`, `locked` or `unlocked`."""

    async def set_passphrase(self, caller: Caller, new: str, old: str) -> None:
        """Put a passphrase before the key, or another one; with `new` empty, take it away."""

    async def unlock(self, caller: Caller, passphrase: str, minutes: int) -> Instant:
        """Let the key sign for a while; until when."""

    async def lock(self, caller: Caller) -> None:
        """Forget the key that was unlocked."""
