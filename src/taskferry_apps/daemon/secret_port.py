"""Where a data directory's secrets are kept, as their users see it."""

from __future__ import annotations

from typing import Final, Protocol

__all__ = ["DEVICE", "NAMES", "OWNER", "SET_UP", "SecretStore", "SecretsUnavailable"]

DEVICE: Final = "device"
"""The device's private keys."""
SET_UP: Final = "set-up"
"""A set-up that was not finished, with the recovery key."""
OWNER: Final = "owner"
"""The owner's credential for the local API."""
NAMES: Final = (DEVICE, SET_UP, OWNER)


class SecretsUnavailable(Exception):
    """The system's secret store is locked, gone or silent; the text says so, and quotes no secret."""


class SecretStore(Protocol):
    """Keeps secrets by name; all calls block. `write` and `erase` are durable when they return."""

    @property
    def kind(self) -> str:
        """`files` or `keyring`."""

    def where(self, name: str) -> str:
        """Where a secret is, in words for its owner."""

    def read(self, name: str) -> bytes | None:
        """A secret, None if there is none."""

    def write(self, name: str, content: bytes) -> None:
        """Keep a secret; it is ASCII."""

    def erase(self, name: str) -> None:
        """Forget a secret; none is no error."""
