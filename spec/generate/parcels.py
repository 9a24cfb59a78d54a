"""Headers, envelopes and parcels for the vectors, between two owners who are always the same."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from spec.generate.identity import Device, Log
from spec.generate.kit import (
    DAY,
    NOW,
    Box,
    Map,
    Signer,
    Value,
    commitment,
    enc,
    encrypt,
    fixed,
    padded,
    sha,
    sign,
    uuid7,
    wrap,
)


def ada() -> Log:
    """The requester's owner: laptop and phone serve `ada/lead`."""
    phone = Device("ada phone")
    log = Log("ada").create().add_device(phone)
    return log.set_agent("lead", [log.first, phone])


def bob() -> Log:
    """The worker's owner: one device serves `bob/coder`."""
    log = Log("bob").create()
    return log.set_agent("coder", [log.first])


ADA, BOB = ada(), bob()
LAPTOP, PHONE = ADA.first, Device("ada phone")
DESKTOP = BOB.first
LEAD: list[Value] = [ADA.account, "lead"]
CODER: list[Value] = [BOB.account, "coder"]
K = fixed("content key K")
NONCE = fixed("nonce", 24)


def content(kind: str, body: Value, **more: Value) -> Map:
    """A content map."""
    common: Map = {"type": kind, "minor": 0, "conv": fixed("conversation", 16), "hop": 0, "cause": []}
    return {**common, "body": body, **more}


HELLO = content("message", {"text": "Could you look at the parser?", "parts": []})


def header(label: str = "first", /, **other: Value) -> Map:
    """A header from ada/lead to bob/coder; `class` and `from` come as `class_` and `from_`."""
    members: Map = {
        "v": 1,
        "id": uuid7(NOW, label),
        "class": "message",
        "from": LEAD,
        "to": CODER,
        "seq": 1,
        "log": ADA.position(),
        "to_log": BOB.position(),
        "created_at": NOW,
        "expires_at": NOW + 7 * DAY,
        "suite": 1,
        "nonce": NONCE,
        "commit": commitment(K),
    }
    return members | {key.rstrip("_"): value for key, value in other.items()}


@dataclass(frozen=True)
class Built:
    """An envelope and what it was made of."""

    h: bytes
    ct: bytes
    raw: bytes
    key: bytes

    @property
    def hash(self) -> bytes:
        """What the envelope is called everywhere."""
        return sha(self.raw)


def envelope(head: Map | bytes, ct: bytes, by: Signer | None = None, key: bytes = K) -> Built:
    """A signed envelope around a header and a ciphertext."""
    h = head if isinstance(head, bytes) else enc(head)
    return Built(h, ct, sign(by or LAPTOP.id, "envelope", [h, ct]), key)


def sealed(
    head: Map | None = None,
    inside: Map | bytes = HELLO,
    *,
    by: Signer | None = None,
    key: bytes = K,
    plain: bytes | None = None,
) -> Built:
    """An envelope whose content is sealed; `plain` replaces the padded content."""
    members = header() if head is None else head
    if key != K:
        members = {**members, "commit": commitment(key)}
    nonce = members["nonce"]
    assert isinstance(nonce, bytes)
    raw = inside if isinstance(inside, bytes) else enc(inside)
    h = enc(members)
    return envelope(h, encrypt(key, nonce, padded(raw) if plain is None else plain, h), by, key)


def wraps(keys: Iterable[Box | bytes], key: bytes = K) -> list[Value]:
    """K wrapped for each of some encryption keys, sorted; ephemeral keys come from the recipients'."""
    pairs: list[Value] = []
    for recipient in sorted(one.public if isinstance(one, Box) else one for one in keys):
        pairs.append([recipient, wrap(key, recipient, Box(f"ephemeral {recipient.hex()}"))])
    return pairs


def parcel(built: Built, keys: Iterable[Box | bytes] | None = None) -> list[Value]:
    """A parcel for Bob's desktop and Ada's phone, or for other keys."""
    return [built.raw, wraps([DESKTOP.enc, PHONE.enc] if keys is None else keys, built.key)]
