"""An in-memory harness: a relay and any number of devices in one process, under every fault, from one seed.

No sockets, no files, no event loop, no clock and no randomness: time is simulated, and every choice follows
from the seed. What runs is the protocol itself (sessions, admission, sealing, inbound checks, the task fold);
only stores and network are made of dictionaries and queues. See docs/harness.md.
"""

from __future__ import annotations

from .device import Device
from .device_store import Quarantined, Received, Sent
from .faults import Crash, DeviceDown, Lies, Network, NotPossible, Stalled
from .owners import Allowance
from .relay import Relay
from .timeline import START
from .world import World

__all__ = [
    "START",
    "Allowance",
    "Crash",
    "Device",
    "DeviceDown",
    "Lies",
    "Network",
    "NotPossible",
    "Quarantined",
    "Received",
    "Relay",
    "Sent",
    "Stalled",
    "World",
]
