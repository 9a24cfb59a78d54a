"""Other owners as they are known here: what is pinned, how it came, and what the owner decides about it."""

from __future__ import annotations

from typing import Protocol

import attrs

from taskferry_protocol.ids import AccountId, DeviceId, Hash, Instant
from taskferry_protocol.safety import SafetyCode

from .port import Caller

__all__ = ["ChangeView", "PeerDevice", "PeerLine", "PeerService", "PeerView"]


@attrs.frozen
class PeerDevice:
    """A device in a peer's log; `since` is when the log says that it came, a claim."""

    id: DeviceId
    label: str
    status: str
    since: Instant


@attrs.frozen
class ChangeView:
    """What has put an identity in question; `other` is the account that claims its name, if one does."""

    what: str
    text: str
    at: Instant
    other: AccountId | None
    other_fingerprint: str


@attrs.frozen
class PeerView:
    """A pinned account. `trust` is verified, pinned, unverified or changed; `code` is the safety code."""

    owner: str
    account: AccountId
    fingerprint: str
    trust: str
    since: Instant
    code: SafetyCode
    length: int
    head: Hash
    agents: tuple[str, ...]
    devices: tuple[PeerDevice, ...]
    change: ChangeView | None


@attrs.frozen
class PeerLine:
    """A pinned account in a list; `trust` as in `PeerView`."""

    owner: str
    account: AccountId
    fingerprint: str
    trust: str
    since: Instant


class PeerService(Protocol):
    """All of it is the owner's alone. A peer is `@owner`, `@owner/agent`, or an account id's beginning.

    Each raises DaemonRefusal: bad-value, unknown-account, ambiguous.
    """

    async def peers(self, caller: Caller) -> tuple[PeerView, ...]:
        """Every account that is pinned, but the owner's own."""

    async def peer_page(self, caller: Caller, cursor: str, limit: int) -> tuple[tuple[PeerLine, ...], str]:
        """Some of them in short, by account id, and where to go on; "" at the end."""

    async def peer(self, caller: Caller, named: str) -> PeerView:
        """One of them."""

    async def verify(self, caller: Caller, named: str, code: str) -> PeerView:
        """The other owner reads the same safety code, in words or digits: verified.

        Another code: DaemonRefusal(wrong-code). No whole code, or a word that is in none: bad-value.
        """

    async def trust(self, caller: Caller, named: str) -> PeerView:
        """Pinned, without a comparison."""

    async def unverify(self, caller: Caller, named: str) -> PeerView:
        """Unverified again."""

    async def keep(self, caller: Caller, named: str, shown: Instant | None = None) -> PeerView:
        """Of an identity in question: the pinned one stands, and what waits is sent.

        With `shown`, when what was shown put it in question: refusal `conflict` if something else has by now.
        """

    async def accept_change(self, caller: Caller, named: str, other: AccountId | None = None) -> PeerView:
        """The name is the other account's from now on; nothing more is sent to the one that had it.

        With `other`, the account that was shown: refusal `conflict` if by now another one claims the name.
        """
