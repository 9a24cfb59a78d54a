"""Memory: what a relay holds at rest, and for each authenticated connection on which nothing happens."""

from __future__ import annotations

import time
from contextlib import ExitStack
from itertools import pairwise

from .processes import BenchmarkFailed, Kind, clients, raise_descriptor_limit, serving
from .results import Bar, Figure, Way
from .traffic import Workshop

__all__ = ["measure_idle"]

PER_CONNECTION = Bar(Way.AT_MOST, 48.0)
#: What the relay needs besides its connections.
SPARE_DESCRIPTORS = 300
CLIENT_PROCESSES = 4
#: Long enough for what the openings left behind to be let go of.
SETTLE_S = 3.0
#: Every connection is pinged once in this time, by either side.
PINGS_S = 10.0


def measure_idle(shop: Workshop) -> list[Figure]:
    """Resident memory of the relay with no connections, and with each of the crowds, one account a device."""
    room = raise_descriptor_limit() - SPARE_DESCRIPTORS
    figures: list[Figure] = []
    with shop.fresh() as folder, serving(Kind.RELAY, folder) as server, ExitStack() as stack:
        time.sleep(SETTLE_S)
        empty = server.resident_bytes
        figures.append(Figure("idle", "relay without connections", empty / 2**20, "MiB"))
        opened = 0
        for crowd in shop.scale.crowds:
            if crowd > room:
                raise BenchmarkFailed(f"{crowd:,} connections need more open files than the system allows")
            shop.tell(f"opening {crowd:,} idle connections")
            steps = [opened + (crowd - opened) * n // CLIENT_PROCESSES for n in range(CLIENT_PROCESSES + 1)]
            plans = [shop.plan("idle", server, range(a, b)) for a, b in pairwise(steps) if a < b]
            stack.enter_context(clients(*plans))
            opened = crowd
            time.sleep(SETTLE_S)
            used, began = server.cpu_s, time.monotonic()
            time.sleep(PINGS_S)
            busy = (server.cpu_s - used) / (time.monotonic() - began) * 100
            if server.descriptors < opened:
                raise BenchmarkFailed(f"not all of {opened:,} connections stayed open: is the machine busy?")
            each = (server.resident_bytes - empty) / opened
            figures.append(
                Figure("idle", f"{opened:,} connections, each", each / 1_024, "KiB", PER_CONNECTION)
            )
            figures.append(Figure("idle", f"{opened:,} connections, CPU in all", busy, "% of a core"))
    return figures
