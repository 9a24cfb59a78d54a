"""Where a set-up goes and by which ticket, from what its owner pasted and named. Pure."""

from __future__ import annotations

from urllib.parse import urlsplit

from taskferry_protocol.errors import RemoteProtocolError
from taskferry_protocol.setup_links import SetupLink
from taskferry_transports.loopback import is_loopback

__all__ = ["PlaceFault", "place_of", "relay_of"]


class PlaceFault(Exception):
    """No place for a set-up: `kind` is none (no relay named), link (damaged) or other (two relays)."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


def place_of(text: str, relay: str) -> tuple[str, str]:
    """The relay's URL, and the ticket for it, "" for none.

    `text` is a ticket, the link that holds one, or ""; `relay` a URL, or "" where the link says it. Raises
    PlaceFault.
    """
    if not text.lower().startswith("taskferry:"):
        if not relay:
            raise PlaceFault("none", "No relay is named.")
        return relay, text
    try:
        link = SetupLink.parse(text)
    except RemoteProtocolError as error:
        raise PlaceFault("link", f"That link cannot be used: {error.text}.") from error
    url = relay_of(link)
    if not relay:
        return url, link.ticket
    if _where(relay) != _where(url):
        raise PlaceFault("other", f"The link is for {link.relay}, and the relay named is {relay}")
    return relay, link.ticket


def relay_of(link: SetupLink) -> str:
    """The URL of the relay that a link is for."""
    host = urlsplit(f"//{link.relay}").hostname or ""
    return f"{'http' if is_loopback(host) else 'https'}://{link.relay}"


def _where(relay: str) -> tuple[str, int | None]:
    """Host and port of a relay's URL, which its owner may have mistyped: then the daemon says so."""
    parts = urlsplit(relay)
    try:
        port = parts.port
    except ValueError:
        port = None
    usual = {"https": 443, "wss": 443, "http": 80, "ws": 80}.get(parts.scheme)
    return (parts.hostname or "").lower(), port or usual
