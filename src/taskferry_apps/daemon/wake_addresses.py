"""Where a webhook may go: loopback when it is named so, the public networks, private ones only if allowed."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final
from urllib.parse import urlsplit

from taskferry_transports.loopback import is_loopback

__all__ = ["address_problem", "is_public", "url_problem"]

# `ipaddress.is_global` passes some that lead back inside, so the lists are our own.
_NOT_PUBLIC_4: Final = tuple(
    ip_network(text)
    for text in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15"),
        *("198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
    )
)
_PUBLIC_6: Final = ip_network("2000::/3")
_NOT_PUBLIC_6: Final = tuple(
    ip_network(text) for text in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
)


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address belongs to somebody on the Internet for certain."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_4)
    return address in _PUBLIC_6 and not any(address in network for network in _NOT_PUBLIC_6)


def url_problem(url: str, *, allow_private: bool) -> str:
    """What is wrong with a webhook's address, as far as its text shows; empty if nothing is."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return "That is no address of the form https://host/path."
    if parts.scheme not in {"http", "https"} or not host or parts.username is not None or parts.fragment:
        return "A webhook goes to https://host/path, without a user or a fragment."
    if not url.isascii() or any(character <= " " for character in url):
        return "The address holds characters that belong encoded."
    if parts.scheme == "http" and not is_loopback(host):
        return "Off this machine, a webhook needs https."
    literal = _literal(host)
    return "" if literal is None else address_problem(host, str(literal), allow_private=allow_private)


def _literal(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def address_problem(host: str, found: str, *, allow_private: bool) -> str:
    """Why nothing goes to the address that `host` was resolved to; empty if it may."""
    address = _literal(found)
    if address is None:
        return "That is no address."
    if is_loopback(host):
        return "" if is_loopback(found) else "localhost does not lead to this machine."
    if allow_private or is_public(address):
        return ""
    return f"{host} leads into a private network, which you have not allowed (--allow-private)."
