"""Whose program is at the other end of a local connection, where Linux tells.

A cookie or a one-time address may be seen by others on this machine: arguments of processes are public, and a
browser sends the cookies of 127.0.0.1 to every port. What they saw opens nothing for another user's program.
"""

from __future__ import annotations

import ipaddress
import sys
from pathlib import Path
from typing import Final

__all__ = ["End", "owner_in", "owner_of_peer"]

End = tuple[str, int]
"""One end of a connection: its address as text, and its port."""

_TABLES: Final = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_UID: Final = 7
#: States TIME_WAIT, which belongs to nobody any more and shows user 0; CLOSE; and LISTEN.
_NOBODYS: Final = frozenset({"06", "07", "0A"})


def owner_of_peer(peer: End, here: End) -> int | None:
    """The user who holds the connection from `peer` to `here`; None if nobody knows. Blocks for a moment."""
    for table in _TABLES:
        try:
            found = owner_in(table.read_text("ascii"), peer, here)
        except (OSError, UnicodeError):
            continue
        if found is not None:
            return found
    return None


def owner_in(table: str, peer: End, here: End) -> int | None:
    """The user of a socket in the text of `/proc/net/tcp` or `tcp6`, by both of its ends.

    One is not enough: two users' sockets may share an address and port, where they lead to different places.
    """
    try:
        local, remote = _written(peer), _written(here)
    except ValueError:
        return None
    for line in table.splitlines()[1:]:
        columns = line.split()
        # One that is half closed still has its owner: whoever closed it early is told apart as well.
        if (
            len(columns) > _UID
            and columns[1] in local
            and columns[2] in remote
            and columns[3] not in _NOBODYS
        ):
            return int(columns[_UID])
    return None


def _written(end: End) -> frozenset[str]:
    host, port = end
    return frozenset(f"{_hex(address)}:{port:04X}" for address in _spellings(host))


def _spellings(host: str) -> tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, ...]:
    address = ipaddress.ip_address(host)
    if isinstance(address, ipaddress.IPv4Address):
        return address, ipaddress.IPv6Address(f"::ffff:{address}")
    return (address,) if address.ipv4_mapped is None else (address, address.ipv4_mapped)


def _hex(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """As the kernel writes it: words of four bytes, each in this machine's order."""
    raw = address.packed
    words = (raw[at : at + 4] for at in range(0, len(raw), 4))
    order = (lambda word: word[::-1]) if sys.byteorder == "little" else (lambda word: word)
    return b"".join(map(order, words)).hex().upper()
