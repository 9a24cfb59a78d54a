"""Faults of later statements: place, signer, effect, lists and limits."""

from __future__ import annotations

from collections.abc import Iterator

from spec.generate.cases.account.start import PHONE, SECTION, Fault, created, pair
from spec.generate.identity import Device, changed, lacking
from spec.generate.kit import Box, Signer, enc, head, sha, sign, tampered
from spec.generate.vector import Vector, hexes, vector

SERVER = Device("ada server", manages=False)
STRANGER = Device("mallory laptop")


def places() -> Iterator[Fault]:
    """Statements that do not stand where they say, or are signed by the wrong key."""
    log = pair()
    renaming = log.payload("rename", name="other")
    yield (
        "second_create",
        "a second `create`",
        "bad-sequence",
        log.offered(changed(lacking(log.created(), "account", "prev"), seq=log.length), log.manage),
    )
    yield (
        "first_not_create",
        "a log that begins with `rename`",
        "bad-sequence",
        [sign(log.manage, "statement", changed(renaming, seq=0))],
    )
    yield (
        "seq_repeated",
        "the number of the statement before",
        "bad-sequence",
        log.offered(changed(renaming, seq=log.length - 1), log.manage),
    )
    yield (
        "seq_skipped",
        "a number left out",
        "bad-sequence",
        log.offered(changed(renaming, seq=log.length + 1), log.manage),
    )
    yield (
        "prev_other",
        "`prev` is the hash of an earlier statement",
        "broken-chain",
        log.offered(changed(renaming, prev=sha(log.statements[0])), log.manage),
    )
    yield (
        "prev_short",
        "`prev` of 31 bytes",
        "bad-value",
        log.offered(changed(renaming, prev=bytes(31)), log.manage),
    )
    yield (
        "account_other",
        "`account` is another account",
        "wrong-account",
        log.offered(changed(renaming, account=bytes(32)), log.manage),
    )
    yield (
        "statement_removed",
        "a statement taken out of the middle",
        "bad-sequence",
        [
            log.statements[0],
            log.statements[2],
        ],
    )
    yield (
        "statement_altered",
        "one bit of an earlier statement's signature changed",
        "bad-signature",
        [
            log.statements[0],
            tampered(log.statements[1]),
            log.statements[2],
        ],
    )
    yield (
        "by_stranger",
        "signed by a manage key of nobody's",
        "not-authorized",
        log.offered(renaming, STRANGER.manage),
    )
    yield "by_device_key", "authority by a device key", "not-authorized", log.offered(renaming, log.first.id)
    gone = pair().revoke(PHONE)
    yield (
        "by_revoked",
        "signed by a revoked device's manage key",
        "not-authorized",
        gone.offered(gone.payload("rename", name="other"), PHONE.manage),
    )
    retired = pair().retire(PHONE)
    yield (
        "by_retired",
        "signed by a retired device's manage key",
        "not-authorized",
        retired.offered(retired.payload("rename", name="other"), PHONE.manage),
    )
    early = created()
    yield (
        "by_device_to_be_added",
        "a device adds itself",
        "not-authorized",
        early.offered(early.added(PHONE), PHONE.manage),
    )
    fresh = Signer("ada recovery 2")
    replaced = created().set_recovery(fresh)
    yield (
        "by_old_recovery",
        "signed by the recovery key that was replaced",
        "not-authorized",
        replaced.offered(replaced.payload("rename", name="other"), Signer("ada recovery")),
    )
    consent = log.recovery_consent(fresh)
    payload = log.payload("set_recovery", recovery=fresh.public, consent=consent)
    yield (
        "set_recovery_by_manage",
        "a manage key changes the recovery key",
        "not-authorized",
        log.offered(payload, log.manage),
    )
    payload = log.recovered([log.first], {})
    yield "recover_by_manage", "a manage key recovers", "not-authorized", log.offered(payload, log.manage)
    payload = log.payload("retire", device=PHONE.id.public)
    yield (
        "retire_by_other",
        "a device retires another",
        "not-authorized",
        log.offered(payload, log.first.id, "self-statement"),
    )
    payload = log.payload("rotate_keys", device=PHONE.id.public, enc=[1, Box("new").public])
    yield (
        "rotate_by_other",
        "a device rotates another's key",
        "not-authorized",
        log.offered(payload, log.first.id, "self-statement"),
    )
    payload = log.payload("retire", device=PHONE.id.public)
    yield (
        "retire_wrong_kind",
        "`retire` signed as a statement",
        "bad-signature",
        log.offered(payload, PHONE.id),
    )


def effects() -> Iterator[Fault]:
    """Statements whose effect is not possible."""
    log = pair()
    gone = pair().revoke(PHONE)
    yield (
        "add_again",
        "a device that is there already",
        "device-exists",
        log.offered(log.added(PHONE), log.manage),
    )
    yield (
        "add_revoked",
        "a device that was revoked comes back",
        "device-exists",
        gone.offered(gone.added(PHONE), gone.manage),
    )
    for name, subject, code in (
        ("unknown", STRANGER, "unknown-device"),
        ("gone", PHONE, "device-gone"),
    ):
        payload = gone.payload("revoke_device", device=subject.id.public, reason="")
        yield f"revoke_{name}", f"revoked: a device {name}", code, gone.offered(payload, gone.manage)
        payload = gone.payload("retire", device=subject.id.public)
        yield (
            f"retire_{name}",
            f"retiring: a device {name}",
            code,
            gone.offered(payload, subject.id, "self-statement"),
        )
        payload = gone.payload("rotate_keys", device=subject.id.public, enc=[1, Box("new").public])
        yield (
            f"rotate_{name}",
            f"rotating: a device {name}",
            code,
            gone.offered(payload, subject.id, "self-statement"),
        )
        payload = gone.payload("set_agent", agent="coder", devices=[subject.id.public])
        yield f"agent_{name}", f"an agent served by a device {name}", code, gone.offered(payload, gone.manage)
        payload = gone.recovered([gone.first], {"coder": [subject]})
        yield (
            f"recover_agent_{name}",
            f"recovered: an agent served by a device {name}",
            code,
            gone.offered(payload, gone.recovery),
        )
    payload = gone.recovered([PHONE], {})
    payload = changed(payload, consents=[PHONE.consent(gone.account, gone.length)])
    yield (
        "recover_revoked",
        "recovery restates a revoked device",
        "device-exists",
        gone.offered(payload, gone.recovery),
    )
    payload = log.recovered([SERVER], {})
    yield (
        "recover_without_manager",
        "recovery lists nobody who may manage",
        "bad-value",
        log.offered(payload, log.recovery),
    )
    payload = changed(log.recovered([log.first], {}), devices=[], consents=[])
    yield "recover_nobody", "recovery lists no device", "bad-value", log.offered(payload, log.recovery)
    payload = changed(log.recovered([STRANGER], {}), consents=[b""])
    yield (
        "recover_without_consent",
        "a new device's consent left empty",
        "bad-consent",
        log.offered(payload, log.recovery),
    )
    payload = changed(log.recovered([log.first], {}), consents=[])
    yield (
        "recover_fewer_consents",
        "fewer consents than devices",
        "bad-consent",
        log.offered(payload, log.recovery),
    )
    payload = changed(log.recovered([log.first], {}), recovery=Signer("ada recovery 2").public)
    yield (
        "recover_other_key",
        "recovery states another recovery key",
        "bad-value",
        log.offered(payload, log.recovery),
    )
    both = log.recovered([log.first, PHONE], {})
    listed = both["devices"]
    assert isinstance(listed, list)
    payload = changed(both, devices=list(reversed(listed)))
    yield (
        "recover_unsorted",
        "devices in the wrong order",
        "not-canonical",
        log.offered(payload, log.recovery),
    )
    payload = log.payload("rotate_keys", device=PHONE.id.public, enc=[1, bytes(32)])
    yield (
        "rotate_to_bad_key",
        "a key of small order",
        "bad-key",
        log.offered(payload, PHONE.id, "self-statement"),
    )
    payload = log.payload("revoke_device", device=PHONE.id.public, reason="x" * 201)
    yield "revoke_long_reason", "a reason of 201 bytes", "bad-value", log.offered(payload, log.manage)


def lists_and_limits() -> Iterator[Fault]:
    """Lists that are to be sorted and unique, and counts that are bounded."""
    log = pair()
    ids = sorted([log.first.id.public, PHONE.id.public])
    for name, comment, devices in (
        ("unsorted", "serving devices in the wrong order", list(reversed(ids))),
        ("twice", "a serving device named twice", [ids[0], ids[0]]),
    ):
        payload = log.payload("set_agent", agent="coder", devices=devices)
        yield f"agent_devices_{name}", comment, "not-canonical", log.offered(payload, log.manage)
    payload = log.payload("set_agent", agent="Coder", devices=[])
    yield (
        "agent_name_upper",
        "an agent name with a capital letter",
        "bad-value",
        log.offered(payload, log.manage),
    )
    renaming = log.payload("rename", name="other")
    pairs = sorted((enc(key) + enc(value) for key, value in renaming.items()), reverse=True)
    backwards = head(5, len(pairs)) + b"".join(pairs)
    yield (
        "payload_unsorted",
        "the payload's keys in the wrong order",
        "not-canonical",
        [
            *log.statements,
            sign(log.manage, "statement", backwards),
        ],
    )
    full = created()
    for number in range(31):
        full.add_device(Device(f"ada device {number}", manages=False))
    last = Device("ada device 31", manages=False)
    yield (
        "devices_33",
        "a thirty-third active device",
        "too-many",
        full.offered(full.added(last), full.manage),
    )
    many = created()
    for number in range(64):
        many.set_agent(f"agent-{number}", [many.first])
    payload = many.payload("set_agent", agent="one-more", devices=[many.first.id.public])
    yield "agents_65", "a sixty-fifth agent", "too-many", many.offered(payload, many.manage)


def vectors() -> Iterator[Vector]:
    """Every fault."""
    for family in (places, effects, lists_and_limits):
        for name, comment, code, statements in family():
            yield vector("account", name, "account-log", SECTION, comment, code, input=hexes(statements))
