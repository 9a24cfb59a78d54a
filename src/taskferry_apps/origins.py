"""The origin of a relay's address."""

from __future__ import annotations

from urllib.parse import urlsplit

__all__ = ["origin_of"]


def origin_of(url: str) -> str:
    """The origin of a relay's address as `hello` names it: scheme, host and port, lower case."""
    parts = urlsplit(url)
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    host = (parts.hostname or "").lower()
    if ":" in host:
        host = f"[{host}]"
    port = parts.port or (443 if scheme == "wss" else 80)
    return f"{scheme}://{host}:{port}"
