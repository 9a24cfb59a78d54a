"""Who may speak to the daemon at all: programs of this machine that show a credential, and no web page.

A page that the owner visits reaches 127.0.0.1 too. It gives itself away by Host (a name of its own that
resolves to this machine), Origin or Sec-Fetch-Site, and it cannot send the credential.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import attrs
from werkzeug.datastructures import Headers

from ..port import Caller, DaemonRefusal, DaemonService
from .errors import refusal

__all__ = ["SECURITY_HEADERS", "Guard", "bearer_secret", "identify", "owner_only", "unauthorized"]

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
_UNSPECIFIC: Final = frozenset({"0.0.0.0", "::", ""})  # noqa: S104 - never bound here, only never believed
_HOST: Final = re.compile(r"(\[[0-9a-f:.]{2,45}\]|[a-z0-9.-]{1,253})(?::([0-9]{1,5}))?", re.ASCII)
_HTTP_PORT: Final = 80
#: Longer than any credential that anybody makes.
_SECRET_CHARS: Final = 512

#: On every answer. There is no CORS header among them, and nowhere else.
SECURITY_HEADERS: Final[Mapping[str, str]] = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


@attrs.frozen
class Guard:
    """`hosts` are the names under which the daemon may be addressed."""

    hosts: frozenset[str]

    @classmethod
    def listening_at(cls, host: str) -> Guard:
        """For a daemon bound to `host`: the names of loopback, and that address if it is a certain one."""
        own = f"[{host}]" if ":" in host else host.lower()
        return cls(_LOOPBACK if host in _UNSPECIFIC else _LOOPBACK | {own})

    def check_source(self, headers: Headers, port: int) -> None:
        """Refuse what a web page sent, or was addressed to another name. Raises DaemonRefusal(bad-origin).

        `port` is the one that the request came in by.
        """
        host = headers.get("Host", "").lower()
        match = _HOST.fullmatch(host)
        if match is None or match[1] not in self.hosts or int(match[2] or _HTTP_PORT) != port:
            raise _bad_origin("The Host header names another machine.")
        origin = headers.get("Origin")
        if origin is not None and origin.lower() != f"http://{host}":
            raise _bad_origin("Another origin's page sent this.")
        if headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
            raise _bad_origin("Another site's page sent this.")


def _bad_origin(message: str) -> DaemonRefusal:
    return refusal(
        "bad-origin",
        message,
        "Only programs on this machine may call, by 127.0.0.1 or localhost and the daemon's port.",
        status=403,
    )


def bearer_secret(header: str | None) -> str | None:
    """The secret in an Authorization header, None if it holds none (RFC 6750 section 2.1)."""
    scheme, _, secret = (header or "").partition(" ")
    secret = secret.strip(" ")
    return secret if scheme.lower() == "bearer" and 0 < len(secret) <= _SECRET_CHARS else None


async def identify(daemon: DaemonService, secret: str) -> Caller:
    """Whose credential it is. Raises DaemonRefusal(unauthorized)."""
    try:
        # Header bytes arrive as Latin-1; a credential that somebody chose may be any text.
        meant = secret.encode("latin-1").decode("utf-8")
    except UnicodeError:
        raise unauthorized("That credential is not known here.") from None
    caller = await daemon.caller_for(meant)
    if caller is None:
        raise unauthorized("That credential is not known here, or was revoked.")
    return caller


def unauthorized(message: str) -> DaemonRefusal:
    """No credential, or none that counts."""
    return refusal(
        "unauthorized",
        message,
        "Send Authorization: Bearer TOKEN; make one with: taskferry token create",
        status=401,
    )


async def owner_only(
    daemon: DaemonService,
    caller: Caller,
    asked: str,
    next_step: str,
    *,
    message: str = "Only the owner may do that.",
    field: str = "",
) -> DaemonRefusal:
    """What a caller is told that is not the owner; that it asked is written down for the owner."""
    await daemon.audit.note_refused(caller, asked, "owner-only")
    return refusal("owner-only", message, next_step, status=403, field=field)
