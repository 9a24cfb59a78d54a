"""Secrets behind a passphrase: Argon2id with parameters that are kept beside what they protect."""

from __future__ import annotations

from typing import Final

import attrs

from .crypto import SALT_BYTES, TAG_BYTES, blake2b_256, open_chunk, seal_chunk, stretch
from .errors import RejectCode, RemoteProtocolError
from .ids import Entropy

__all__ = ["LEAST_MEMORY", "MOST_MEMORY", "MOST_OPS", "Effort", "LockedSecret", "lock_secret"]


@attrs.frozen
class Effort:
    """What a passphrase costs to try: passes, and bytes of memory (Argon2id)."""

    ops: int = 3
    memory: int = 256 * 1024 * 1024


#: What a file may demand of whoever opens it.
MOST_OPS: Final = 16
MOST_MEMORY: Final = 1024 * 1024 * 1024
LEAST_MEMORY: Final = 8_192


@attrs.frozen
class LockedSecret:
    """A short secret that a passphrase opens; `person` says what it is for, in at most 16 ASCII bytes."""

    salt: bytes
    effort: Effort
    box: bytes = attrs.field(repr=False)

    def open(self, passphrase: str, person: str) -> bytes:
        """The secret. Slow on purpose. Raises RemoteProtocolError: bad-value, bad-ciphertext (wrong)."""
        bounded = 1 <= self.effort.ops <= MOST_OPS and LEAST_MEMORY <= self.effort.memory <= MOST_MEMORY
        if not bounded or len(self.salt) != SALT_BYTES or len(self.box) <= TAG_BYTES:
            raise RemoteProtocolError(RejectCode.BAD_VALUE, "parameters that nobody chose")
        return open_chunk(self.box, key=_key(passphrase, self.salt, self.effort, person), index=0, final=1)


def lock_secret(
    secret: bytes, passphrase: str, person: str, *, effort: Effort, entropy: Entropy
) -> LockedSecret:
    """A secret locked by a passphrase. Slow on purpose."""
    salt = entropy(SALT_BYTES)
    # The salt is fresh, so the key is used for this one box.
    box = seal_chunk(secret, key=_key(passphrase, salt, effort, person), index=0, final=1)
    return LockedSecret(salt, effort, box)


def _key(passphrase: str, salt: bytes, effort: Effort, person: str) -> bytes:
    return blake2b_256(
        key=stretch(passphrase, salt=salt, ops=effort.ops, memory=effort.memory), person=person
    )
