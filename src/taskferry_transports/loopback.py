"""Which hosts are this machine. Loads nothing heavy: commands ask it before anything runs."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Final

__all__ = ["is_loopback"]

# Our own list: whether ::ffff:127.0.0.1 is one, `ipaddress` answers by its version.
_LOOPBACK: Final = (ip_network("127.0.0.0/8"), ip_network("::1/128"))


def is_loopback(host: str) -> bool:
    """Whether `host` surely names this machine: a loopback address or `localhost`; nothing is resolved."""
    if host == "localhost":
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return any(address in network for network in _LOOPBACK)
