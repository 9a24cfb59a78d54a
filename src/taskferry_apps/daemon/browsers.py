"""One-time tickets that let the owner's browser in, and the sessions of those that came in.

All of it is in memory, by hashes: a daemon that starts anew knows no browser.
"""

from __future__ import annotations

import base64
import re
from typing import Final

import attrs
import trio

from taskferry_protocol.audit import AuditKind
from taskferry_protocol.ids import Instant, sha256
from taskferry_protocol.limits import MINUTE_MS

from ..lasting_until import goes_on
from .bounds import BOUNDS
from .browser_port import BrowserSession
from .core import Core
from .draft import Draft
from .names import require_owner
from .port import Caller, DaemonRefusal

__all__ = ["Browsers"]

SECRET_BYTES: Final = 32
#: From the command that makes a ticket to the browser that opens.
TICKET_MS: Final = 2 * MINUTE_MS
IDLE_MS: Final = BOUNDS.browser_idle_ms
LIFE_MS: Final = BOUNDS.browser_life_ms
TICKETS: Final = BOUNDS.browser_links
SESSIONS: Final = BOUNDS.browsers
#: Pages of this daemon alone: no scheme, no host, no way up, no second slash at the beginning.
_PAGE: Final = re.compile(r"/(?:[a-z0-9][a-z0-9_-]{0,63}/){0,7}[a-z0-9][a-z0-9_-]{0,63}", re.ASCII)


@attrs.frozen
class _Ticket:
    to: str
    until: Instant


@attrs.define
class _Session:
    form_token: str
    ends_at: Instant
    used_at: Instant
    notice: str = ""


class Browsers:
    """As `browser_port.BrowserService` promises."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._now = core.now
        self._entropy = core.entropy
        self._tickets: dict[bytes, _Ticket] = {}
        self._sessions: dict[bytes, _Session] = {}
        self._closings = 0
        """How often all browsers were put out."""

    def _secret(self) -> str:
        return base64.urlsafe_b64encode(self._entropy(SECRET_BYTES)).rstrip(b"=").decode()

    def invite_browser(self, caller: Caller, to: str) -> tuple[str, Instant]:
        """A ticket for one browser."""
        require_owner(caller)
        if not _PAGE.fullmatch(to):
            raise DaemonRefusal(
                "bad-value",
                "That is no page of this daemon.",
                "Pages look like /dashboard/tasks.",
                detail={"field": "to"},
            )
        now, ticket = self._now(), self._secret()
        self._tickets = {
            digest: kept for digest, kept in self._tickets.items() if goes_on(kept.until, now, TICKET_MS)
        }
        _make_room(self._tickets, TICKETS)
        until = Instant(now + TICKET_MS)
        self._tickets[_digest(ticket)] = _Ticket(to, until)
        return ticket, until

    async def let_in(self, ticket: str) -> tuple[str, str] | None:
        """Use a ticket up, and write down that a browser came in."""
        # Looked up by its hash: how long that takes says nothing of the secret.
        kept, now = self._tickets.pop(_digest(ticket), None), self._now()
        if kept is None or not goes_on(kept.until, now, TICKET_MS):
            return None
        secret, closings = self._secret(), self._closings
        async with self._core.lock:
            draft = Draft(self._core)
            draft.audit(AuditKind.SIGN_IN, "browser", page=kept.to)
            await draft.commit()
        # All browsers may have been put out while it was written down, and this one is one of them.
        if closings != self._closings:
            return None
        self._forget_old(now)
        _make_room(self._sessions, SESSIONS)
        self._sessions[_digest(secret)] = _Session(self._secret(), Instant(now + LIFE_MS), now)
        return secret, kept.to

    def session(self, secret: str) -> BrowserSession | None:
        """The session, which was used just now."""
        now = self._now()
        self._forget_old(now)
        found = self._sessions.get(_digest(secret))
        if found is None:
            return None
        found.used_at = now
        return BrowserSession(found.form_token, found.ends_at)

    def sign_out(self, secret: str) -> None:
        """End one."""
        self._sessions.pop(_digest(secret), None)

    def sign_out_everywhere(self, caller: Caller) -> int:
        """End all."""
        require_owner(caller)
        self._forget_old(self._now())
        count = len(self._sessions)
        self._closings += 1
        self._tickets.clear()
        self._sessions.clear()
        return count

    def leave_notice(self, secret: str, notice: str) -> None:
        """Keep a line for the next page."""
        found = self._sessions.get(_digest(secret))
        if found is not None:
            found.notice = notice

    def take_notice(self, secret: str) -> str:
        """That line, once."""
        found = self._sessions.get(_digest(secret))
        if found is None:
            return ""
        notice, found.notice = found.notice, ""
        return notice

    @property
    def news(self) -> trio.Event:
        """Set by the next change."""
        return self._core.shown.next

    @property
    def changes(self) -> int:
        """How many there were."""
        return self._core.shown.rings

    def _forget_old(self, now: Instant) -> None:
        self._sessions = {
            digest: kept
            for digest, kept in self._sessions.items()
            if goes_on(kept.ends_at, now, LIFE_MS) and goes_on(kept.used_at + IDLE_MS, now, IDLE_MS)
        }


def _make_room(kept: dict[bytes, _Ticket] | dict[bytes, _Session], most: int) -> None:
    """Let the oldest go."""
    while len(kept) >= most:
        del kept[next(iter(kept))]


def _digest(secret: str) -> bytes:
    return sha256(secret.encode("utf-8", "surrogatepass"))
