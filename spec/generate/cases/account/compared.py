"""Two logs compared, and which log counts for an envelope's device."""

from __future__ import annotations

from collections.abc import Iterator

from spec.generate.identity import Device, Log
from spec.generate.kit import Signer, Value
from spec.generate.vector import ACCEPT, Json, Vector, hexes, vector

PHONE = Device("ada phone")
COMPARING = "identity.md#3-comparing-logs"
COUNTING = "identity.md#4-which-log-counts"


def comparisons() -> Iterator[tuple[str, str, str, Log, Log, Json]]:
    """Name, comment, what is expected, the pinned log, the offered one, the relation."""
    base = Log("ada").create()
    longer = base.branch().rename("countess")
    longest = longer.branch().add_device(PHONE)
    managed = base.branch().rename("duchess")
    recovered = base.branch().rename("queen", base.recovery)
    recovered_too = base.branch().rename("empress", base.recovery)
    other = Log("ada", Device("mallory laptop"), "mallory recovery").create()
    yield "same", "the log that is pinned", ACCEPT, longer, longer, "same"
    yield "extension", "one statement more", ACCEPT, base, longer, "extension"
    yield "extension_by_two", "two statements more", ACCEPT, base, longest, "extension"
    yield "behind", "an older copy: the pinned one is kept", ACCEPT, longest, base, "behind"
    yield (
        "offered_wins",
        "the recovery key signed the offered branch",
        ACCEPT,
        longer,
        recovered,
        "wins",
    )
    yield "pinned_wins", "the recovery key signed the pinned branch", ACCEPT, recovered, longer, "loses"
    longer_branch = longest.branch()
    yield (
        "shorter_branch_wins",
        "length decides nothing between siblings",
        ACCEPT,
        longer_branch,
        recovered,
        "wins",
    )
    yield "forked_managers", "two siblings signed by manage keys", "forked", longer, managed, None
    yield (
        "forked_recoveries",
        "two siblings signed by the recovery key",
        "forked",
        recovered,
        recovered_too,
        None,
    )
    later = longer.branch().rename("queen", longer.recovery)
    yield (
        "forked_later_recovery",
        "the recovery key signed after the place where they part, not at it",
        "forked",
        managed,
        later,
        None,
    )
    yield (
        "forked_replaced_recovery",
        "a leaked recovery key signs a sibling of what came before it was replaced",
        "forked",
        longer.branch().set_recovery(Signer("ada recovery 2")),
        recovered,
        None,
    )
    yield (
        "pinned_otherwise",
        "another account that claims the pinned name",
        "pinned-otherwise",
        base,
        other,
        None,
    )


def positions() -> Iterator[tuple[str, str, str, Log, Device, list[Value]]]:
    """Name, comment, what is expected, the log held, the device, the position quoted."""
    base = Log("ada").create().add_device(PHONE)
    longer = base.branch().rename("countess")
    yield "quoted_head", "an active device quotes the head", ACCEPT, longer, PHONE, longer.position()
    yield (
        "quoted_earlier",
        "an active device quotes an earlier position",
        ACCEPT,
        longer,
        PHONE,
        longer.position(2),
    )
    side = base.branch().rename("duchess")
    yield (
        "quoted_other_branch",
        "the position belongs to another branch",
        "not-an-extension",
        longer,
        PHONE,
        side.position(),
    )
    retired = longer.branch().retire(PHONE)
    yield (
        "retired_before",
        "a device that retired later, quoting the log as it was just before",
        ACCEPT,
        retired,
        PHONE,
        retired.position(3),
    )
    yield (
        "retired_after",
        "a retired device quoting the log with its retirement",
        "device-gone",
        retired,
        PHONE,
        retired.position(4),
    )
    revoked = longer.branch().revoke(PHONE)
    yield (
        "revoked_before",
        "a revoked device is gone whatever it quotes",
        "device-gone",
        revoked,
        PHONE,
        revoked.position(3),
    )
    yield (
        "revoked_after",
        "a revoked device quoting its revocation",
        "device-gone",
        revoked,
        PHONE,
        revoked.position(),
    )
    yield (
        "never_there",
        "a device that no statement names",
        "unknown-device",
        longer,
        Device("mallory laptop"),
        longer.position(),
    )


def vectors() -> Iterator[Vector]:
    """Comparisons, then positions."""
    for name, comment, expect, pinned, offered, relation in comparisons():
        yield vector(
            "account",
            f"compare_{name}",
            "account-compare",
            COMPARING,
            comment,
            expect,
            pinned=hexes(pinned.statements),
            offered=hexes(offered.statements),
            decoded={"relation": relation},
        )
    for name, comment, expect, held, device, quoted in positions():
        length, head = quoted
        assert isinstance(length, int)
        assert isinstance(head, bytes)
        yield vector(
            "account",
            f"position_{name}",
            "account-position",
            COUNTING,
            comment,
            expect,
            statements=hexes(held.statements),
            device=device.id.public.hex(),
            position=[length, head.hex()],
        )
