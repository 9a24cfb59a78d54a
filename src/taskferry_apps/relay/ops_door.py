"""Who may see the operator's pages and numbers, decided from what a request says of where it comes from.

The pages: on this machine by a loopback name, or at the one origin that the operator configured; and in
either case only with a session that a one-time link began. The numbers: with the operator's token, or, where
there is none, for programs of this machine, as far as those can be told from a reverse proxy.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Callable
from typing import Final

import attrs

from taskferry_protocol.audit import RelayAuditKind
from taskferry_protocol.ids import Entropy, Hash, Instant, sha256
from taskferry_protocol.limits import MINUTE_MS
from taskferry_protocol.records import Counted
from taskferry_protocol.records.operations import PutSignIn, TakeSignIn
from taskferry_stores.port import RelayStore
from taskferry_transports.loopback import is_loopback

from ..lasting_until import goes_on
from .audit import RelayAudit
from .limits import USUAL

__all__ = ["Approach", "OpsDoor", "OpsPolicy", "OpsSession", "Standpoint", "make_sign_in", "standpoint_of"]

SECRET_BYTES: Final = 32
#: From the command that makes a link to the browser that opens.
SIGN_IN_MS: Final = 2 * MINUTE_MS
SIGN_INS: Final = USUAL.operator_links
IDLE_MS: Final = USUAL.operator_idle_ms
LIFE_MS: Final = USUAL.operator_life_ms
SESSIONS: Final = USUAL.operator_sessions
_SECRET: Final = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
_HOST: Final = re.compile(r"(\[[0-9a-f:.]{2,45}\]|[a-z0-9.-]{1,253})(?::([0-9]{1,5}))?", re.ASCII)


@attrs.frozen
class OpsPolicy:
    """What the operator decided.

    `origin` is where the pages are shown beside this machine's own names, such as https://relay.example.
    `token` is SHA-256 of what reads the numbers. `neighbours`: without a token, programs of this machine do;
    false where a reverse proxy's requests could not be told from theirs.
    """

    origin: str | None = None
    token: Hash | None = None
    neighbours: bool = True


@attrs.frozen
class Approach:
    """What a request says: its `Host`, `Origin` and `Sec-Fetch-Site`, and the address that it comes from."""

    host: str
    peer: str
    origin: str | None = None
    site: str | None = None


@attrs.frozen
class Standpoint:
    """From where the pages are looked at: their origin there, and how the browser keeps the session."""

    origin: str
    cookie: str
    secure: bool


def standpoint_of(approach: Approach, policy: OpsPolicy) -> Standpoint | None:
    """Where the request stands; None where there are no pages of the operator's for it.

    A name of an attacker's that leads to this machine is none of loopback's, and a stranger's address is
    never this machine's.
    """
    host = approach.host.lower()
    match = _HOST.fullmatch(host)
    if match is None:
        return None
    if policy.origin is not None and host == policy.origin.partition("://")[2]:
        secure = policy.origin.startswith("https:")
        # A cookie with this prefix is taken from no other host and no plain connection.
        return Standpoint(policy.origin, "__Host-taskferry_ops" if secure else "taskferry_ops", secure)
    if is_loopback(match[1].strip("[]")) and is_loopback(approach.peer):
        # Any port: it may lead here through a tunnel. Browsers share cookies between ports.
        return Standpoint(f"http://{host}", f"taskferry_ops_{match[2] or 80}", secure=False)
    return None


def is_own_button(approach: Approach, standpoint: Standpoint) -> bool:
    """Whether a button of these pages themselves sent the request."""
    return approach.origin == standpoint.origin and approach.site in (None, "same-origin")


@attrs.define
class OpsSession:
    """A browser that came in by a link; `form_token` stands in each form."""

    form_token: str = attrs.field(repr=False)
    ends_at: Instant
    used_at: Instant


def _new_secret(entropy: Entropy) -> str:
    return base64.urlsafe_b64encode(entropy(SECRET_BYTES)).rstrip(b"=").decode()


def _digest(secret: str) -> Hash:
    return sha256(secret.encode("utf-8", "surrogatepass"))


async def make_sign_in(store: RelayStore, now: Instant, entropy: Entropy) -> tuple[str, Instant]:
    """A one-time link's secret, and until when it is good. For whoever can write to the relay's database."""
    secret, until = _new_secret(entropy), Instant(now + SIGN_IN_MS)
    await store.commit([PutSignIn(_digest(secret), until, now, SIGN_INS)])
    return secret, until


class OpsDoor:
    """Lets browsers in. Sessions are in memory, by hashes: a relay that starts anew knows none."""

    def __init__(
        self,
        policy: OpsPolicy,
        store: RelayStore,
        audit: RelayAudit,
        now: Callable[[], Instant],
        entropy: Entropy,
    ) -> None:
        self.policy = policy
        """What the operator decided; another one holds from the next request on."""
        self._store = store
        self._audit = audit
        self._now = now
        self._entropy = entropy
        self._sessions: dict[Hash, OpsSession] = {}

    async def let_in(self, secret: str) -> str | None:
        """Use a link up: the new session's secret; None if the link is none, or over."""
        if not _SECRET.fullmatch(secret):
            return None
        digest, now = _digest(secret), self._now()
        # Asked before anything is written: whoever guesses costs no synchronised write.
        if not await self._store.has_sign_in(digest, now):
            return None
        (taken,) = await self._store.commit([TakeSignIn(digest, now)])
        if not isinstance(taken, Counted) or not taken.count:
            return None
        self._forget_old(now)
        while len(self._sessions) >= SESSIONS:
            del self._sessions[next(iter(self._sessions))]
        session = _new_secret(self._entropy)
        self._sessions[_digest(session)] = OpsSession(_new_secret(self._entropy), Instant(now + LIFE_MS), now)
        self._audit.note(RelayAuditKind.OPERATOR_SIGN_IN, "browser")
        return session

    def session(self, secret: str) -> OpsSession | None:
        """The session, which was used just now."""
        now = self._now()
        self._forget_old(now)
        found = self._sessions.get(_digest(secret)) if secret else None
        if found is not None:
            found.used_at = now
        return found

    def sign_out(self, secret: str) -> None:
        """End one."""
        self._sessions.pop(_digest(secret), None)

    def _forget_old(self, now: Instant) -> None:
        self._sessions = {
            digest: kept
            for digest, kept in self._sessions.items()
            if goes_on(kept.ends_at, now, LIFE_MS) and goes_on(kept.used_at + IDLE_MS, now, IDLE_MS)
        }

    def may_read_numbers(self, approach: Approach, bearer: str | None) -> bool:
        """Whether a program may read the metrics and the operator's status."""
        if self.policy.token is not None:
            return bearer is not None and hmac.compare_digest(_digest(bearer), self.policy.token)
        standpoint = standpoint_of(approach, OpsPolicy())
        own = approach.origin is None and approach.site in (None, "none", "same-origin")
        return self.policy.neighbours and standpoint is not None and own
