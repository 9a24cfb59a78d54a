"""The good beginnings that faulty logs share."""

from __future__ import annotations

from spec.generate.identity import Device, Log

SECTION = "identity.md#2-folding"
PHONE = Device("ada phone")

Fault = tuple[str, str, str, list[bytes]]


def created() -> Log:
    """One statement."""
    return Log("ada").create()


def pair() -> Log:
    """Laptop and phone, and an agent that both serve."""
    log = created().add_device(PHONE)
    return log.set_agent("coder", [log.first, PHONE])
