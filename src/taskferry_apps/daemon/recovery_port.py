"""The owner's recovery phrase as callers see it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import attrs

from taskferry_protocol.ids import AccountId, DeviceId, Instant

if TYPE_CHECKING:
    from .port import Caller

__all__ = ["NewRecovery", "Recovered", "RecoveryService", "RecoveryStanding"]


@attrs.frozen
class NewRecovery:
    """What an owner asks for. Of `owner` and `account` (hexadecimal) one is enough; neither where a backup
    was restored, which names both, and the relay.

    `keep` are devices that stay, by label or the beginning of their id; `kept` how many of the log's
    statements stay, all by default.
    """

    phrase: str = attrs.field(repr=False)
    owner: str = ""
    account: str = ""
    relay: str = ""
    label: str = ""
    keep: tuple[str, ...] = ()
    kept: int | None = None


@attrs.frozen
class Recovered:
    """What came of it."""

    owner: str
    account: AccountId
    device: DeviceId
    agents: tuple[str, ...]
    revoked: tuple[str, ...]
    """Labels of the devices that were put out."""
    connections: int
    """Connections that are known here: of a backup that was restored, or by what the relay shows."""
    closed: int = 0
    """Those of them whose peers may send nothing until the owner says what."""


@attrs.frozen
class RecoveryStanding:
    """Of the phrase in force: whether it is the account's first, and when its owner last showed to have it.

    `written_at` is None where that never happened on this machine.
    """

    is_replaced: bool
    written_at: Instant | None


class RecoveryService(Protocol):
    """The owner's recovery phrase. Every method raises DaemonRefusal; all are the owner's alone."""

    async def recover(self, caller: Caller, wanted: NewRecovery) -> Recovered:
        """Take the account back."""

    async def check(self, caller: Caller, phrase: str) -> None:
        """Nothing if the phrase is this account's; backups can be made for it from then on."""

    async def standing(self, caller: Caller) -> RecoveryStanding:
        """How it stands with the phrase."""

    async def note_written(self, caller: Caller) -> None:
        """The owner has just shown to have written the phrase in force down."""

    async def renew(self, caller: Caller, phrase: str, new: str) -> None:
        """Put another phrase in force, by the one that is."""
