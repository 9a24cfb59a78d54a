"""How a relay is named: what its URL looks like, its host and port in links, and where its pages are."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

from taskferry_transports.loopback import is_loopback

__all__ = ["page_address", "relay_host", "url_problem"]

URL_CHARS: Final = 512
_URL: Final = re.compile(r"(https?|wss?)://[!-~]+", re.ASCII)
_WANTED: Final = "A relay's URL is https://, or http:// on this machine, with a host."


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


def url_problem(url: str) -> str:
    """Why that is not where a relay may be, as a sentence; "" for nothing.

    Without TLS only on this machine: on the way others see who talks to whom.
    """
    if len(url) > URL_CHARS or not _URL.fullmatch(url):
        return _WANTED
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return _WANTED
    if not host or port == 0 or parts.query or parts.fragment or "@" in parts.netloc:
        return _WANTED
    if parts.scheme in ("http", "ws") and not is_loopback(host):
        return f"{host} is another machine: use https://."
    return ""
