"""Logs that fold, each with the state that it gives."""

from __future__ import annotations

from collections.abc import Iterator

from spec.generate.identity import Device, Log
from spec.generate.kit import Box, Signer
from spec.generate.vector import ACCEPT, Vector, hexes, vector

SECTION = "identity.md#2-folding"


def logs() -> Iterator[tuple[str, str, Log]]:
    """Name, comment and log."""
    phone, server = Device("ada phone"), Device("ada server", manages=False)
    yield "create", "the shortest log: one statement", Log("ada").create()
    both = Log("ada").create().add_device(phone)
    yield "add_device", "a second device that may manage", both
    yield "add_device_no_manage", "a device without a manage key", Log("ada").create().add_device(server)
    by_recovery = Log("ada").create()
    yield (
        "add_device_by_recovery",
        "the recovery key may add a device",
        by_recovery.add_device(phone, by_recovery.recovery),
    )
    by_second = Log("ada").create().add_device(phone).add_device(server, phone.manage)
    yield "add_device_by_second", "a later device's manage key signs as well", by_second
    served = Log("ada").create().add_device(phone).set_agent("coder", [phone]).set_agent("writer", [])
    yield "set_agent", "one agent served by one device, another withdrawn", served
    agents = Log("ada").create().add_device(phone)
    agents.set_agent("coder", [agents.first, phone]).set_agent("a", [agents.first]).set_agent("a", [])
    yield "set_agent_withdrawn", "an agent served by two devices, one that came and went", agents
    revoked = Log("ada").create().add_device(phone)
    revoked.set_agent("coder", [revoked.first, phone]).revoke(phone)
    yield "revoke", "a revoked device leaves the agent that it served", revoked
    retired = Log("ada").create().add_device(server)
    retired.set_agent("coder", [retired.first, server]).retire(server)
    yield "retire", "a retiring device signs for itself and leaves its agent", retired
    rotated = Log("ada").create()
    rotated.rotate(rotated.first, Box("ada laptop enc 2")).rotate(rotated.first, Box("ada laptop enc 3"))
    yield "rotate_twice", "two former encryption keys are kept with the times of replacement", rotated
    renewed = Log("ada").create().set_recovery(Signer("ada recovery 2"))
    yield "set_recovery", "a new recovery key, signed by the old and agreed to by the new", renewed
    twice = renewed.branch().set_recovery(Signer("ada recovery 3"))
    yield "set_recovery_twice", "the second change is signed by the first new key", twice
    yield "rename", "another name under the same account id", Log("ada").create().rename("ada-lovelace")
    named = Log("ada").create()
    yield "rename_by_recovery", "the recovery key may rename", named.rename("countess", named.recovery)
    fresh = Device("ada new laptop")
    recovered = Log("ada").create().add_device(phone).set_agent("coder", [phone])
    recovered.recover([fresh], {"coder": [fresh]})
    yield "recover", "a new device takes over; the others become revoked", recovered
    kept = Log("ada").create().add_device(phone).set_agent("coder", [phone])
    kept.recover([phone, fresh], {"coder": [phone, fresh]})
    yield "recover_keeps_one", "an active device restated with an empty consent", kept
    rekeyed = Log("ada").create()
    rekeyed.set_recovery(Signer("ada recovery 2")).recover([fresh], {})
    yield "recover_by_new_key", "recovery by the key that was set later; no agents afterwards", rekeyed
    managerless = Log("ada").create()
    managerless.revoke(managerless.first)
    yield "last_manager_revoked", "an account may lose its last managing device", managerless
    again = managerless.branch()
    again.add_device(phone, again.recovery)
    yield "after_last_manager", "the recovery key brings a device into an account without any", again
    long_name = Log("a" * 32).create()
    yield "name_longest", "a name of 32 characters", long_name
    full = Log("ada").create()
    for number in range(31):
        full.add_device(Device(f"ada device {number}", manages=False))
    yield "devices_32", "as many active devices as are allowed", full


def vectors() -> Iterator[Vector]:
    """Every log with its state."""
    for name, comment, log in logs():
        yield vector(
            "account",
            name,
            "account-log",
            SECTION,
            comment,
            ACCEPT,
            input=hexes(log.statements),
            decoded=log.state(),
        )
