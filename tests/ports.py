"""Ports for programs that a test starts, kills and starts again in place."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterable
from pathlib import Path

__all__ = ["at_free_ports", "free_port"]

_USUAL_LOWEST = 32_768


def free_port() -> int:
    """A port that nobody listens on now, below those that outgoing connections are given.

    One of those would be taken from a program while it is down: every connection of the last minute, of any
    test, keeps its port.
    """
    try:
        lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except OSError:
        lowest = _USUAL_LOWEST
    while True:
        port = random.randrange(10_240, lowest)
        try:
            with socket.create_server(("127.0.0.1", port)):
                return port
        except OSError:
            continue


def at_free_ports(words: Iterable[str]) -> list[str]:
    """A command line whose program gets a port that it can have again, where it would be given any."""
    return [f"127.0.0.1:{free_port()}" if word == "127.0.0.1:0" else word for word in words]
