"""How the text of a setting is read. Each raises ValueError with what would do, in words."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from taskferry_protocol.ids import Hash, sha256
from taskferry_protocol.tickets import is_ticket
from taskferry_transports.loopback import is_loopback

from .credentials import WANTED, is_credential

__all__ = [
    "addresses",
    "choice",
    "credential",
    "level",
    "local_address",
    "mail_server",
    "mailbox",
    "number",
    "ops_token",
    "origin",
    "origins",
    "path",
    "relay_address",
    "relay_url",
    "token",
    "tokens",
    "url",
    "yes",
]


def _address(text: str) -> tuple[str, int] | None:
    """`HOST:PORT` or `[v6]:PORT`; None if it is neither."""
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not _HOST.fullmatch(host) or not _PORT.fullmatch(port) or int(port) > _LAST_PORT:
        return None
    return host, int(port)


_HOST: Final = re.compile(r"[0-9A-Za-z.:%_-]{1,255}", re.ASCII)
_PORT: Final = re.compile(r"[0-9]{1,5}", re.ASCII)
_LAST_PORT: Final = 65535


def relay_address(text: str) -> tuple[str, int]:
    """A host and port where a relay listens."""
    address = _address(text)
    if address is None:
        raise ValueError("an address with a port, such as 127.0.0.1:8080")
    return address


def mail_server(text: str) -> tuple[str, int]:
    """A host and port of a mail server."""
    address = _address(text)
    if address is None:
        raise ValueError("HOST:PORT, such as mail.example:587")
    return address


def local_address(text: str) -> tuple[str, int]:
    """Of this machine alone: the local API is not made to face a network."""
    address = _address(text)
    if address is None or not is_loopback(address[0]):
        raise ValueError("an address of this machine alone, such as 127.0.0.1:4318")
    return address


def url(*schemes: str) -> Callable[[str], str]:
    """A reader of URLs with one of these schemes."""

    def read(text: str) -> str:
        if not _is_plain_url(text, schemes):
            *others, last = (f"{scheme}://" for scheme in schemes)
            raise ValueError(
                f"a URL such as https://relay.example ({', '.join(others)} or {last}), "
                "without user, query or fragment"
            )
        return text.rstrip("/")

    return read


def relay_url(text: str) -> str:
    """A relay's URL; the address of its WebSocket, as other programs name it, means the same relay."""
    return url("http", "https", "ws", "wss")(text).removesuffix("/v1/ws")


def _is_plain_url(text: str, schemes: Collection[str]) -> bool:
    """Whether it is a URL of one of these schemes that names a host, perhaps a port and a path."""
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        return False
    plain = text.isascii() and text.isprintable() and " " not in text
    more = parts.query or parts.fragment or "@" in parts.netloc
    return parts.scheme in schemes and bool(host) and port != 0 and plain and not more


def origins(text: str) -> tuple[str, ...]:
    """Origins, separated by commas."""
    return tuple(url("ws", "wss", "http", "https")(item.strip()) for item in text.split(",") if item.strip())


def origin(text: str) -> str:
    """One origin of pages, in the spelling of browsers: lower case, the usual port left out."""
    plain = url("http", "https")(text).lower()
    parts = urlsplit(plain)
    if parts.path:
        raise ValueError("an origin such as https://relay.example, without a path")
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise ValueError("an origin that begins with https://, since a session's secret travels there")
    return plain.removesuffix(":443" if parts.scheme == "https" else ":80")


def ops_token(text: str) -> Hash:
    """An operator's token, as its digest."""
    if len(text) < _TOKEN_CHARS or not is_ticket(text):
        raise ValueError(f"{_TOKEN_CHARS} to 128 visible characters")
    return sha256(text.encode())


def choice(*words: str) -> Callable[[str], str]:
    """A reader of one of these words."""

    def read(text: str) -> str:
        if text not in words:
            raise ValueError(f"one of {', '.join(words)}")
        return text

    return read


def addresses(text: str) -> frozenset[str]:
    """Network addresses, separated by commas."""
    try:
        return frozenset(str(ipaddress.ip_address(item.strip())) for item in text.split(",") if item.strip())
    except ValueError as error:
        raise ValueError("IP addresses, comma-separated") from error


def tokens(text: str) -> Mapping[str, Hash]:
    """`name=token,...` as digests by name: the tokens are not kept."""
    found: dict[str, Hash] = {}
    for item in text.split(","):
        name, equals, token = item.strip().partition("=")
        if not item.strip():
            continue
        if not equals or not _TOKEN_NAME.fullmatch(name) or len(token) < _TOKEN_CHARS or not is_ticket(token):
            raise ValueError(f"name=token, comma-separated, each token of {_TOKEN_CHARS} to 128 characters")
        if name in found:
            raise ValueError(f"one token for each name; {name} has two")
        found[name] = sha256(token.encode())
    return found


def mailbox(text: str) -> str:
    """A mail address."""
    if not text.isascii() or not _MAILBOX.fullmatch(text):
        raise ValueError("an e-mail address such as relay@relay.example")
    return text


def token(text: str) -> str:
    """A ticket, or a standing token."""
    if not is_ticket(text):
        raise ValueError("a token of at most 128 visible characters")
    return text


def number(text: str) -> int:
    """A whole number."""
    if not text.isascii() or not text.isdigit() or len(text) > _DIGITS:
        raise ValueError(f"a number of at most {_DIGITS} digits")
    return int(text)


def yes(text: str) -> bool:
    """`yes` or `no`."""
    if text not in ("yes", "no"):
        raise ValueError("yes or no")
    return text == "yes"


_DIGITS: Final = 9
_MAILBOX: Final = re.compile(r"[!-?A-~]{1,64}@[A-Za-z0-9.-]{1,253}", re.ASCII)
_TOKEN_NAME: Final = re.compile(r"[A-Za-z0-9_.@/-]{1,64}", re.ASCII)
#: Shorter ones are guessed.
_TOKEN_CHARS: Final = 12
level: Final = choice("debug", "info", "warning")


def path(text: str) -> Path:
    """A path; `~` is the home."""
    return Path(text).expanduser()


def credential(text: str) -> str:
    """A credential of the local API."""
    if not is_credential(text):
        raise ValueError(WANTED)
    return text
