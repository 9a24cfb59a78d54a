"""Faults of the first statement, of the record in it, and of consents."""

from __future__ import annotations

from collections.abc import Iterator

from spec.generate.cases.account.start import PHONE, SECTION, Fault, created
from spec.generate.identity import Log, changed, lacking
from spec.generate.kit import Signer, Value, enc, sign, tampered
from spec.generate.vector import Vector, hexes, vector


def first_statement() -> Iterator[Fault]:
    """Faults of `create`."""
    log = Log("ada")
    good = log.created()
    by = log.manage

    def wrong(name: str, comment: str, code: str, /, **fields: Value) -> Fault:
        return f"create_{name}", comment, code, log.offered(changed(good, **fields), by)

    yield wrong("version_2", "a version that does not exist yet", "unknown-version", v=2)
    yield wrong("seq_1", "the first statement is not number 0", "bad-sequence", seq=1)
    yield wrong("name_upper", "a name with a capital letter", "bad-value", name="Ada")
    yield wrong("name_empty", "an empty name", "bad-value", name="")
    yield wrong("name_33", "a name of 33 characters", "bad-value", name="a" * 33)
    yield wrong("name_newline", "a name with a newline at its end", "bad-value", name="ada\n")
    yield wrong("name_digit_other_script", "a digit of another script in the name", "bad-value", name="ada१")
    yield wrong("name_number", "a number in place of the name", "wrong-type", name=7)
    yield wrong("more", "a field that does not belong there", "unknown-field", colour="blue")
    yield wrong("account_given", "`create` has no `account`", "unknown-field", account=bytes(32))
    yield wrong("at_2_53", "a time of 2^53", "bad-value", at=2**53)
    yield wrong("at_negative", "a time before 1970", "bad-value", at=-1)
    yield wrong("recovery_short", "a recovery key of 31 bytes", "bad-value", recovery=bytes(31))
    yield wrong(
        "recovery_small_order", "a recovery key of small order", "bad-key", recovery=b"\x01" + bytes(31)
    )
    for key in ("name", "device", "consent", "recovery", "at", "seq"):
        payload = lacking(good, key)
        yield f"create_without_{key}", f"no `{key}`", "missing-field", log.offered(payload, by)
    yield (
        "create_type_unknown",
        "a type from the future",
        "unknown-type",
        log.offered(changed(good, type="found"), by),
    )
    yield (
        "create_by_recovery",
        "signed by the recovery key",
        "not-authorized",
        log.offered(good, log.recovery),
    )
    yield "create_by_device", "signed by the device key", "not-authorized", log.offered(good, log.first.id)
    lent = sign(by, "statement", good, by=PHONE.manage)
    yield "create_signature", "signed by a key other than the one named", "bad-signature", [lent]
    yield "create_wrong_kind", "signed as a card", "bad-signature", log.offered(good, by, "card")
    yield (
        "create_self_statement",
        "signed as a self-statement",
        "bad-signature",
        log.offered(good, by, "self-statement"),
    )
    yield "create_payload_list", "the payload is a list", "wrong-type", [sign(by, "statement", [1])]
    yield (
        "create_payload_cut",
        "the payload lacks its last byte",
        "malformed",
        [sign(by, "statement", enc(good)[:-1])],
    )
    filler = changed(good, filler="x" * 8192)
    yield "create_too_large", "a statement of more than 8,192 bytes", "too-large", log.offered(filler, by)
    yield "empty", "no statement at all", "empty-log", []


def device_records() -> Iterator[Fault]:
    """Faults of the record inside `create`, agreed to by the device all the same."""
    log = Log("ada")
    device = log.first
    record = device.record()

    def wrong(name: str, comment: str, code: str, /, **fields: Value) -> Fault:
        other = changed(record, **fields)
        payload = changed(log.created(), device=other, consent=device.consent(None, 0, other))
        return f"record_{name}", comment, code, log.offered(payload, log.manage)

    yield wrong("label_empty", "an empty label", "bad-value", label="")
    yield wrong("label_65", "a label of 65 bytes", "bad-value", label="x" * 65)
    yield wrong("label_control", "a control character in the label", "bad-value", label="lap\x1btop")
    yield wrong("label_c1", "a control character beyond ASCII in the label", "bad-value", label="lap\x9btop")
    yield wrong(
        "suite_2",
        "an encryption key of a suite that is not known",
        "unknown-suite",
        enc=[2, device.enc.public],
    )
    yield wrong("enc_short", "an encryption key of 31 bytes", "bad-value", enc=[1, bytes(31)])
    yield wrong("enc_bare", "an encryption key without its suite", "wrong-type", enc=device.enc.public)
    yield wrong("enc_zero", "an encryption key of small order", "bad-key", enc=[1, bytes(32)])
    yield wrong("more", "a field that does not belong into a record", "unknown-field", serial=7)
    other = lacking(record, "manage")
    payload = changed(log.created(), device=other, consent=device.consent(None, 0, other))
    yield (
        "record_without_manage",
        "`create` with a device that may not manage",
        "missing-field",
        log.offered(payload, log.manage),
    )
    same = changed(record, manage=device.id.public)
    payload = changed(log.created(), device=same, consent=device.consent(None, 0, same))
    yield (
        "record_manage_is_id",
        "one key for chatter and authority",
        "bad-key",
        log.offered(payload, device.id),
    )


def consents() -> Iterator[Fault]:
    """Consents that do not hold."""
    log = created()

    def wrong(name: str, comment: str, consent: bytes) -> Fault:
        payload = changed(log.added(PHONE), consent=consent)
        return f"consent_{name}", comment, "bad-consent", log.offered(payload, log.manage)

    here = log.length
    renamed = changed(PHONE.record(), label="other")
    powerless = lacking(PHONE.record(), "manage")
    yield wrong("empty", "no consent", b"")
    yield wrong(
        "other_account", "the device agreed to stand in another account", PHONE.consent(bytes(32), here)
    )
    yield wrong("null_account", "an `account` of null outside `create`", PHONE.consent(None, here))
    yield wrong("other_seq", "the device agreed to another place", PHONE.consent(log.account, here + 1))
    yield wrong(
        "other_record", "the device agreed to another label", PHONE.consent(log.account, here, renamed)
    )
    yield wrong(
        "fewer_powers", "the device did not agree to manage", PHONE.consent(log.account, here, powerless)
    )
    payload: dict[str, Value] = {"account": log.account, "seq": here, "device": PHONE.record()}
    yield wrong("by_manage_key", "signed by the manage key", sign(PHONE.manage, "device-consent", payload))
    yield wrong("wrong_kind", "signed as an envelope", sign(PHONE.id, "envelope", payload))
    yield wrong("signature", "one bit of the signature changed", tampered(PHONE.consent(log.account, here)))
    yield wrong("more", "a field more", sign(PHONE.id, "device-consent", changed(payload, extra=1)))
    first = Log("ada")
    named = changed(first.created(), consent=first.first.consent(bytes(32), 0))
    yield (
        "consent_create_names_account",
        "a consent in `create` that names an account",
        "bad-consent",
        first.offered(named, first.manage),
    )
    new = Signer("ada recovery 2")
    stale = sign(new, "recovery-consent", {"account": log.account, "seq": here + 1, "recovery": new.public})
    payload = log.payload("set_recovery", recovery=new.public, consent=stale)
    yield (
        "recovery_consent_other_seq",
        "the new key agreed to another place",
        "bad-consent",
        log.offered(payload, log.recovery),
    )
    old = sign(
        log.recovery, "recovery-consent", {"account": log.account, "seq": here, "recovery": new.public}
    )
    payload = log.payload("set_recovery", recovery=new.public, consent=old)
    yield (
        "recovery_consent_by_old",
        "the old key agreed in the new one's stead",
        "bad-consent",
        log.offered(payload, log.recovery),
    )


def vectors() -> Iterator[Vector]:
    """Every fault."""
    for family in (first_statement, device_records, consents):
        for name, comment, code, statements in family():
            yield vector("account", name, "account-log", SECTION, comment, code, input=hexes(statements))
