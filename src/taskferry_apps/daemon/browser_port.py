"""The owner's browser as the daemon sees it: one-time ways in, and sessions; part of `port.DaemonService`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import attrs
import trio

from taskferry_protocol.ids import Instant

if TYPE_CHECKING:
    from .port import Caller

__all__ = ["BrowserService", "BrowserSession"]


@attrs.frozen
class BrowserSession:
    """A browser that the owner let in. `form_token` stands in every form of its pages."""

    form_token: str = attrs.field(repr=False)
    ends_at: Instant


class BrowserService(Protocol):
    """Lets the owner's browser in. Nothing of it outlives the daemon."""

    def invite_browser(self, caller: Caller, to: str) -> tuple[str, Instant]:
        """A secret that lets one browser in, once and soon, to the page `to`; and until when.

        Raises DaemonRefusal: owner-only, bad-value.
        """

    async def let_in(self, ticket: str) -> tuple[str, str] | None:
        """For a fresh ticket, which is then used: the session's secret, and the page to go to."""

    def session(self, secret: str) -> BrowserSession | None:
        """The session of this secret, if it is neither idle for too long nor too old nor signed out."""

    def sign_out(self, secret: str) -> None:
        """End a session."""

    def sign_out_everywhere(self, caller: Caller) -> int:
        """End all sessions and tickets; how many sessions there were. Raises DaemonRefusal(owner-only)."""

    # --- what signed-in pages need ---
    def leave_notice(self, secret: str, notice: str) -> None:
        """Keep a line for the next page of a session: what the button before it has done."""

    def take_notice(self, secret: str) -> str:
        """That line, once; "" for none."""

    @property
    def news(self) -> trio.Event:
        """Set as soon as anything changes that a page may show. Take it before looking."""

    @property
    def changes(self) -> int:
        """How often anything has changed that a page may show, since this daemon began."""
