"""How a relay is named in links: by its host, with the port where that is not the scheme's own."""

from __future__ import annotations

from urllib.parse import urlsplit

__all__ = ["relay_host"]


def relay_host(url: str) -> str:
    """The host that stands in a link to the relay at `url`, as `relay.example` or `127.0.0.1:8080`."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    name = f"[{host}]" if ":" in host else host
    own = 443 if parts.scheme in {"https", "wss"} else 80
    return name if parts.port in {None, own} else f"{name}:{parts.port}"
