"""How a relay is named in links, by its host and port, and where its pages are."""

from __future__ import annotations

from urllib.parse import urlsplit

__all__ = ["page_address", "relay_host"]


def relay_host(url: str) -> str:
    """The host that stands in a link to the relay at `url`, as `relay.example` or `127.0.0.1:8080`."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    name = f"[{host}]" if ":" in host else host
    own = 443 if parts.scheme in {"https", "wss"} else 80
    return name if parts.port in {None, own} else f"{name}:{parts.port}"


def page_address(url: str) -> str:
    """The address of the pages of the relay at `url`, without a slash at its end."""
    parts = urlsplit(url)
    scheme = "https" if parts.scheme in {"https", "wss"} else "http"
    return f"{scheme}://{relay_host(url)}{parts.path.rstrip('/')}"
