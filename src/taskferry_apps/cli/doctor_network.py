"""The relay as this machine reaches it: whether it answers, its certificate, and how far clocks differ."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from taskferry_transports.loopback import is_loopback
from taskferry_transports.reasons import reason_of

from ..amounts import counted
from .doctor_checks import Look

__all__ = ["certificate", "is_proxied", "relay_from_here"]

PATIENCE_S: Final = 5.0
#: A certificate that is renewed in time is never as old as this.
SOON_DAYS: Final = 14
_SET_PROXY: Final = "Check HTTPS_PROXY, or ALL_PROXY, and your network; or spare the relay in NO_PROXY."
_OFF_S: Final = (30, 300)
"""How far off a clock is worth a word, and wrong. The answer's time is in whole seconds."""


def relay_from_here(url: str, *, clock: bool, authorities: Path | None = None) -> Iterator[Look]:
    """How the relay at a URL is reached; with `clock`, how far this clock is off by its answer.

    It proves itself by these `authorities`, as to the daemon; None: by the system's.
    """
    parts = urlsplit(url)
    secure = parts.scheme in {"https", "wss"}
    try:
        context = ssl.create_default_context(cafile=authorities)
    except OSError as error:
        text = f"The certificates in {authorities} cannot be used: {error.strerror or 'they are no PEM'}."
        yield Look("TLS", "fail", text, "Name a PEM file in TASKFERRY_RELAY_CA.")
        return
    base = f"{'https' if secure else 'http'}://{parts.netloc}{parts.path.rstrip('/')}"
    proxied = is_proxied(base)
    if not (secure and proxied):
        look = _protection(url, context)
        yield look
        if look.level == "fail":
            return
    import httpx

    from taskferry_transports.port import ProxyUnusable
    from taskferry_transports.proxies import proxy_for

    from .asking import look_at, why

    began = time.time()
    try:
        seen = look_at(f"{base}/health", context)
    except ProxyUnusable as error:
        text = f"{error.reason[0].upper()}{error.reason[1:]}."
        remedy = "Where no WebSocket gets through, daemons need it: set another, or spare the relay."
        yield Look("proxy", "warn", text, remedy)
        return
    except httpx.HTTPError as error:
        text, remedy = (
            (f"{base} does not answer through the proxy that is set for it", _SET_PROXY)
            if proxied
            else (f"{base} does not answer", "Check its address, your network, and a firewall between.")
        )
        if secure and proxied:
            yield _BY_PROXY
        yield Look("relay from here", "fail", f"{text}: {why(error, proxy_for(base))}", remedy)
        return
    if seen.passed_over:
        text = f"{base} does not answer through the proxy that is set for it: {seen.passed_over}"
        yield Look("proxy", "warn", f"{text}. Daemons dial it directly then, and so it answers.", _SET_PROXY)
        yield _protection(url, context)
    elif secure and proxied:
        yield _BY_PROXY
    if seen.answer.status != 200:
        text = f"{base}/health answers {seen.answer.status}"
        yield Look("relay from here", "fail", text, "Is it a TaskFerry relay? Its operator's log says more.")
        return
    yield Look("relay from here", "ok", f"{base} answers in {(time.time() - began) * 1000:.0f} ms")
    if clock:
        yield from _clock(seen.answer.headers.get("date", ""))


_BY_PROXY: Final = Look("TLS", "ok", "looked at through the proxy that is set for the relay")


def _protection(url: str, context: ssl.SSLContext) -> Look:
    """How what goes to a relay directly is protected."""
    parts = urlsplit(url)
    if parts.scheme in {"https", "wss"}:
        return certificate(parts.hostname or "", parts.port or 443, context)
    if is_loopback(parts.hostname or ""):
        return Look("TLS", "ok", "none: the relay is on this machine")
    text = f"{url} is another machine, and is spoken to in the open."
    return Look("TLS", "fail", text, "Use the relay's https:// address.")


def is_proxied(url: str) -> bool:
    """Whether a proxy that can be used is set for an http or https address."""
    from taskferry_transports.port import ProxyUnusable
    from taskferry_transports.proxies import proxy_for

    try:
        return proxy_for(url) is not None
    except ProxyUnusable:
        return False


def _clock(date: str) -> Iterator[Look]:
    try:
        off = time.time() - parsedate_to_datetime(date).timestamp()
    except (TypeError, ValueError, OverflowError):
        return
    text = f"{abs(off):.0f} s {'ahead of' if off > 0 else 'behind'} the relay's"
    if abs(off) >= _OFF_S[1]:
        yield Look(
            "clock", "fail", text, "Others refuse what is signed so far off. Set this machine's clock."
        )
    elif abs(off) >= _OFF_S[0]:
        yield Look("clock", "warn", text, "Let the system set its clock by the network (NTP).")
    else:
        yield Look("clock", "ok", text)


def certificate(host: str, port: int, context: ssl.SSLContext | None = None) -> Look:
    """How a server's certificate is, verified as daemons verify it."""
    context = context or ssl.create_default_context()
    try:
        with (
            socket.create_connection((host, port), PATIENCE_S) as raw,
            context.wrap_socket(raw, server_hostname=host) as wrapped,
        ):
            found = wrapped.getpeercert() or {}
            version = wrapped.version() or ""
    except ssl.SSLCertVerificationError as error:
        text = f"{host}:{port}: {error.verify_message}"
        remedy = "The relay's operator has to renew or mend its certificate; do not go on without."
        return Look("TLS", "fail", text, remedy)
    except (ssl.SSLError, OSError) as error:
        text = f"{host}:{port}: {reason_of(error)}"
        return Look("TLS", "fail", text, "Check the relay's address and your network.")
    until = str(found.get("notAfter", ""))
    days = (ssl.cert_time_to_seconds(until) - time.time()) / 86_400
    text = f"{host}:{port}, {version}, the certificate ends in {counted(round(days), 'day', 'days')}"
    if days < SOON_DAYS:
        return Look("TLS", "warn", text, "Its operator should renew it; daemons stop when it is over.")
    return Look("TLS", "ok", text)
