"""One account for all targets, and structures that only its signature is missing from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import attrs

from taskferry_protocol import crypto
from taskferry_protocol.accounts import AccountLog, DeviceKeys, create, fold
from taskferry_protocol.connections import ConnectionRequest, read_request, sign_request
from taskferry_protocol.crypto import SigningKey
from taskferry_protocol.ids import AccountId, AgentRef, Instant
from tests.protocol.session_pair import START

__all__ = ["KEYS", "OTHER", "RECOVERY", "mine", "request", "signatures_unchecked", "structure", "the_log"]

_MANAGE = SigningKey.from_seed(b"m" * 32)
_GENERATED = DeviceKeys.generate_managing("fuzz", lambda size: b"\x07" * (size - 1) + b"\x01")
KEYS = DeviceKeys(SigningKey.from_seed(b"d" * 32), _GENERATED.encryption, _MANAGE, "fuzz")
RECOVERY = SigningKey.from_seed(b"r" * 32)
#: An agent of somebody else.
OTHER = AgentRef(AccountId(b"\x02" * 32), "bob")

_HEAD = b"\xd2\x84\x58\x26\xa2\x01\x32\x04\x58\x20"


@cache
def the_log() -> AccountLog:
    """The log of the account: its first statement."""
    return fold([create("fuzz", KEYS, RECOVERY, at=START)])


def mine() -> AgentRef:
    """An agent of the account."""
    return AgentRef(the_log().account, "ada")


@cache
def request() -> ConnectionRequest:
    """The account's request to `OTHER`."""
    until = Instant(START + 86_400_000)
    position = the_log().position
    raw = sign_request(mine(), OTHER, at=START, expires_at=until, nonce=bytes(16), log=position, by=_MANAGE)
    return read_request(raw, the_log())


@cache
def answered() -> ConnectionRequest:
    """A request of `OTHER` to the account, as this one keeps it: its signer's log is not looked at."""
    return attrs.evolve(request(), from_=OTHER, to=mine())


def structure(payload: bytes, key: bytes = _MANAGE.public) -> bytes:
    """The COSE structure that carries `payload` under `key`; zeros stand where the signature does."""
    size = len(payload)
    width = next(width for width, most in ((0, 24), (1, 1 << 8), (2, 1 << 16), (4, 1 << 32)) if size < most)
    head = bytes((0x40 | size,)) if not width else bytes(({1: 0x58, 2: 0x59, 4: 0x5A}[width],))
    length = size.to_bytes(width, "big") if width else b""
    return b"".join((_HEAD, key, b"\xa0", head, length, payload, b"\x58\x40", bytes(64)))


@contextmanager
def signatures_unchecked() -> Iterator[None]:
    """Within, every signature is good. The hostile peer owns its keys, so it is no wall to fuzz against.

    Signing each input instead takes most of an execution's time.
    """
    known = crypto.check_signature
    crypto.check_signature = lambda raw, key, kind: None
    try:
        yield
    finally:
        crypto.check_signature = known


def payload_of(raw: bytes) -> bytes:
    """What a signed structure carries."""
    return crypto.parse_signed(raw).payload
