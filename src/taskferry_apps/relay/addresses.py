"""Under which addresses a relay is dialled, and which one its pages and mails name."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from taskferry_transports.guarded_server import BoundServer

from ..settings import RelaySettings
from .pages import PublicAddress

__all__ = ["both_origins", "local_origins", "public_address"]


def local_origins(bound: BoundServer) -> tuple[str, ...]:
    """What programs of this machine dial: the address itself, or its name."""
    return tuple(
        f"ws://{f'[{name}]' if ':' in name else name}:{port}"
        for host, port in bound.addresses
        for name in (host, "localhost")
    )


def public_address(settings: RelaySettings, bound: BoundServer | None) -> PublicAddress:
    """As written down; else where the first origin is, or on this machine alone, where it is bound."""
    if settings.public_url is not None:
        return PublicAddress(settings.public_url)
    if not settings.origins:
        host, port = settings.addr
        meant = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        return PublicAddress(meant if bound is None else bound.urls[0])
    scheme, colon, rest = settings.origins[0].partition(":")
    return PublicAddress({"ws": "http", "wss": "https"}.get(scheme, scheme) + colon + rest)


def both_origins(urls: Iterable[str]) -> frozenset[str]:
    """The origins of these URLs, for a daemon that dials WebSocket and for one that falls back to HTTP."""
    found: set[str] = set()
    for url in urls:
        parts = urlsplit(url.lower())
        pair = ("wss", "https") if parts.scheme in ("wss", "https") else ("ws", "http")
        host = parts.hostname or ""
        name = f"[{host}]" if ":" in host else host
        port = parts.port or (443 if pair[0] == "wss" else 80)
        found.update(f"{scheme}://{name}:{port}" for scheme in pair)
    return frozenset(found)
