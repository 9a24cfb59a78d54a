"""Cryptography: what sealing, signing, verifying and opening cost beside the bare calls into libsodium."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from nacl import bindings as sodium

from taskferry_apps import system
from taskferry_protocol.crypto import Kind
from taskferry_protocol.envelope import parse_envelope, read_envelope, read_envelope_by_known_key
from taskferry_protocol.ids import DeviceId
from taskferry_protocol.sealing import open_envelope, wrap_for

from .cast import PAYLOAD_BYTES, make_owner, seal_text
from .results import Figure
from .traffic import Workshop

__all__ = ["measure_sealing"]

ROUNDS = 3


def measure_sealing(shop: Workshop) -> list[Figure]:
    """Operations a second on one core, on messages of 1 KiB; ours and the bare calls in turns."""
    shop.tell("sealing, signing, verifying, opening")
    ours, bare = _ours(shop), _bare()
    figures: list[Figure] = []
    for name in ours:
        rates: tuple[list[float], list[float]] = ([], [])
        for _ in range(ROUNDS):
            for kind, operation in enumerate((ours[name], bare[name])):
                rates[kind].append(_rate(operation, shop.scale.operations // ROUNDS))
        mine, theirs = map(statistics.median, rates)
        figures.append(Figure("sealing", f"{name}: TaskFerry", mine, "/s"))
        figures.append(Figure("sealing", f"{name}: bare libsodium", theirs, "/s"))
        figures.append(Figure("sealing", f"{name}: share of bare", mine / theirs * 100, "%"))
    return figures


def _rate(operation: Callable[[], object], count: int) -> float:
    began = time.perf_counter()
    for _ in range(count):
        operation()
    return count / (time.perf_counter() - began)


def _ours(shop: Workshop) -> dict[str, Callable[[], object]]:
    now = shop.now
    alice, bob = make_owner(0, now), make_owner(1, now)
    _, sealed = seal_text(alice, bob, 1, now)
    raw = sealed.envelope.raw
    key, device = alice.keys.signing, DeviceId(alice.keys.signing.public)
    mine = [bob.keys.encryption]
    (wrap,) = wrap_for(sealed.key, [mine[0].public], system.entropy)
    payload = system.entropy(len(sealed.envelope.signed.payload))
    fresh = parse_envelope(raw)
    return {
        "seal (content, signature, one wrap)": lambda: seal_text(alice, bob, 1, now),
        "sign": lambda: key.sign(Kind.ENVELOPE, payload),
        "verify (a key seen before)": lambda: read_envelope_by_known_key(raw, device, now=now),
        "verify (a key seen first)": lambda: read_envelope(raw, now=now),
        "open": lambda: open_envelope(fresh, wrap.sealed, mine),
    }


def _bare() -> dict[str, Callable[[], object]]:
    """The same work done by libsodium alone, on the bytes of a message: nothing encoded, nothing checked."""
    message, associated = system.entropy(PAYLOAD_BYTES), system.entropy(330)
    content_key, nonce = system.entropy(32), system.entropy(24)
    public, secret = sodium.crypto_sign_keypair()
    box_public, box_secret = sodium.crypto_box_keypair()
    envelope = associated + message
    signed = sodium.crypto_sign(envelope, secret)
    wrapped = sodium.crypto_box_seal(content_key, box_public)
    encrypt = sodium.crypto_aead_xchacha20poly1305_ietf_encrypt
    decrypt = sodium.crypto_aead_xchacha20poly1305_ietf_decrypt
    ct = encrypt(message, associated, nonce, content_key)

    def seal() -> None:
        encrypt(message, associated, nonce, content_key)
        sodium.crypto_sign(envelope, secret)
        sodium.crypto_box_seal(content_key, box_public)

    def open_sealed() -> None:
        sodium.crypto_box_seal_open(wrapped, box_public, box_secret)
        decrypt(ct, associated, nonce, content_key)

    return {
        "seal (content, signature, one wrap)": seal,
        "sign": lambda: sodium.crypto_sign(envelope, secret),
        "verify (a key seen before)": lambda: sodium.crypto_sign_open(signed, public),
        "verify (a key seen first)": lambda: sodium.crypto_sign_open(signed, public),
        "open": open_sealed,
    }
