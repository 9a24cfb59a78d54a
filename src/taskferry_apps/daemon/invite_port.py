"""What callers may ask about invites and the links that lead to them; part of `port.DaemonService`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import attrs

from taskferry_protocol.ids import AccountId, Instant
from taskferry_protocol.setup_links import SetupLink

if TYPE_CHECKING:
    from .port import Caller, GrantChange
    from .views import ConnectionView

__all__ = [
    "HeldLink",
    "InviteService",
    "InviteView",
    "LinkProblem",
    "LinkService",
    "LinkView",
    "MadeInvite",
    "NewInvite",
]


@attrs.frozen
class NewInvite:
    """An invite to be made.

    With `accepts`, a request through it is accepted at once, and the peer may send what `permissions` say.
    """

    agent: str
    uses: int
    expires_at: Instant
    permissions: GrantChange
    note: str = ""
    accepts: bool = False


@attrs.frozen
class InviteView:
    """An invite as its owner sees it, without its secret. `state` is open, used_up, over or withdrawn."""

    id: bytes
    agent: str
    note: str
    state: str
    uses: int
    used: int
    accepts: bool
    expires_at: Instant
    created_at: Instant


@attrs.frozen
class MadeInvite:
    """A fresh invite with what is told once: `link`, whose holder may use it.

    `page` is the address of the relay's page about it, without the secret; `published` says whether the relay
    has it by now.
    """

    link: str = attrs.field(repr=False)
    page: str
    invite: InviteView
    published: bool


class InviteService(Protocol):
    """The owner's invites. Every method raises `DaemonRefusal`; for an agent's credential, always."""

    async def create(self, caller: Caller, invite: NewInvite) -> MadeInvite:
        """Make an invite and publish it."""

    async def list(self, caller: Caller) -> tuple[InviteView, ...]:
        """All invites, newest first."""

    async def revoke(self, caller: Caller, invite: str) -> InviteView:
        """Withdraw an invite, by its id or the beginning of it; here at once, at the relay when it hears."""


@attrs.frozen
class LinkProblem:
    """Why a link leads nowhere: a code, a sentence and the next step."""

    code: str
    message: str
    next_step: str


@attrs.frozen
class HeldLink:
    """A link that was handed in, under the id by which it is spoken of. Its secret stays with the daemon.

    `kind` is invite, device, or "" where there is a problem. `code` is what `taskferry device approve` takes,
    of a link that a new machine shows; else "".
    """

    id: str
    kind: str
    relay: str
    code: str
    problem: LinkProblem | None


@attrs.frozen
class LinkView:
    """Where a link leads, found and checked: nothing of this is believed of a relay alone.

    `relay` is the link's, which is this daemon's. `trust` is empty for an account that is new here.
    `agents` are the owner's, each with the state of its connection with the peer, or an empty text.
    """

    id: str
    relay: str
    peer: str
    account: AccountId
    fingerprint: str
    trust: str
    display_name: str
    tagline: str
    expires_at: Instant
    agents: tuple[tuple[str, str], ...]


class LinkService(Protocol):
    """Links that the owner opens. Nothing is asked of a peer before `connect`."""

    async def hold(self, caller: Caller, text: str) -> HeldLink:
        """Keep a link for ten minutes. What is wrong with it at first sight is said in the answer."""

    def held(self, caller: Caller, link: str) -> HeldLink:
        """What `hold` said of it. Raises DaemonRefusal: not-found, and what is wrong with it."""

    def ticket(self, caller: Caller, link: str) -> SetupLink:
        """The ticket for a new account that a link holds. Raises DaemonRefusal: not-found, bad-link."""

    async def look(self, caller: Caller, link: str) -> LinkView:
        """Whom an invite leads to. Raises DaemonRefusal: what is wrong, and loudly where somebody lies."""

    async def connect(self, caller: Caller, link: str, mine: str, note: str) -> ConnectionView:
        """Ask that peer, as `mine`; the link is then done with."""

    async def drop(self, caller: Caller, link: str) -> None:
        """Forget it."""
