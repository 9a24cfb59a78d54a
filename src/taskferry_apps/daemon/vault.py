"""The daemon's keys in a secret store."""

from __future__ import annotations

import trio

from .beginning import Beginning, decode_beginning, encode_beginning
from .keys import KeyRing, decode_keys, encode_keys
from .secret_port import DEVICE, SET_UP, SecretStore

__all__ = ["SecretVault"]


class SecretVault:
    """A `Vault` over a secret store. Raises DamagedKeys, and what the store raises."""

    def __init__(self, secrets: SecretStore) -> None:
        self._secrets = secrets

    @property
    def kind(self) -> str:
        """Where the secrets are."""
        return self._secrets.kind

    async def load(self) -> KeyRing | None:
        """The keys."""
        raw = await trio.to_thread.run_sync(self._secrets.read, DEVICE)
        return None if raw is None else decode_keys(raw, self._secrets.where(DEVICE))

    async def save(self, ring: KeyRing) -> None:
        """Keep the keys durably."""
        await trio.to_thread.run_sync(self._secrets.write, DEVICE, encode_keys(ring))

    async def load_beginning(self) -> Beginning | None:
        """What an interrupted set-up goes on from."""
        raw = await trio.to_thread.run_sync(self._secrets.read, SET_UP)
        return None if raw is None else decode_beginning(raw, self._secrets.where(SET_UP))

    async def save_beginning(self, beginning: Beginning | None) -> None:
        """Keep or forget it."""
        if beginning is None:
            await trio.to_thread.run_sync(self._secrets.erase, SET_UP)
        else:
            await trio.to_thread.run_sync(self._secrets.write, SET_UP, encode_beginning(beginning))
