"""Private keys of the device, and how they are written down; the recovery key is shown once and not kept.

Former encryption keys stay as long as mail sealed to them can be on its way, and are then erased.
"""

from __future__ import annotations

import json
from typing import Final

import attrs

from taskferry_protocol.crypto import KEY_BYTES, EncryptionKey, SigningKey
from taskferry_protocol.devices import DeviceKeys
from taskferry_protocol.errors import LocalProtocolError, RemoteProtocolError
from taskferry_protocol.ids import Entropy, Instant
from taskferry_protocol.limits import DAY_MS, MANAGED_STATEMENTS, SEEN_MS, STATEMENTS, TIME_LIMIT
from taskferry_protocol.passphrases import Effort, LockedSecret, lock_secret

__all__ = [
    "ROTATE_AFTER_MS",
    "DamagedKeys",
    "FormerKey",
    "KeyRing",
    "LockedManage",
    "decode_keys",
    "encode_keys",
    "make_keys",
]

#: How old an encryption key grows before the device replaces it.
ROTATE_AFTER_MS: Final = 7 * DAY_MS

#: Places of a log in which a device rotates its key.
ROTATIONS: Final = STATEMENTS - MANAGED_STATEMENTS
#: Up to which part of them how many weeks a key is used: the fuller the log, the longer, so that keys are
#: still replaced when an account with many devices is old.
PACES: Final = ((0.5, 1), (0.75, 4), (1.0, 26))

_LOCKED_FOR: Final = "tf1 manage lock"


class DamagedKeys(Exception):
    """The keys are there and cannot be used; the text says what to do."""


@attrs.frozen
class LockedManage:
    """A manage key behind its owner's passphrase."""

    public: bytes
    secret: LockedSecret

    @classmethod
    def lock(cls, key: SigningKey, passphrase: str, effort: Effort, entropy: Entropy) -> LockedManage:
        """The key locked. Slow on purpose."""
        locked = lock_secret(key.seed, passphrase, _LOCKED_FOR, effort=effort, entropy=entropy)
        return cls(key.public, locked)

    def open(self, passphrase: str) -> SigningKey | None:
        """The key, None for a wrong passphrase. Slow on purpose. Raises LocalProtocolError without memory."""
        try:
            key = SigningKey.from_seed(self.secret.open(passphrase, _LOCKED_FOR))
        except RemoteProtocolError:
            return None
        return key if key.public == self.public else None


@attrs.frozen
class FormerKey:
    """An encryption key that was replaced, kept for mail still on its way."""

    key: EncryptionKey
    replaced_at: Instant


@attrs.frozen
class KeyRing:
    """All private keys of this device. `next_encryption` is a key made but not yet stated in the log."""

    device: DeviceKeys
    encryption_since: Instant
    former: tuple[FormerKey, ...] = ()
    next_encryption: EncryptionKey | None = None
    locked_manage: LockedManage | None = None
    """Where the owner chose a passphrase; `device.manage` is None then."""

    def opening_keys(self) -> tuple[EncryptionKey, ...]:
        """Every key that mail may be sealed to, the newest first."""
        coming = (self.next_encryption,) if self.next_encryption else ()
        return (*coming, self.device.encryption, *(former.key for former in self.former))

    def rotation_due(self, now: Instant, statements: int = 0) -> bool:
        """Whether the encryption key has grown old, or is of a future that a wrong clock has shown.

        `statements`: so many has the account's log, in which each rotation takes a place for ever.
        """
        pace = next((pace for until, pace in PACES if statements < until * ROTATIONS), PACES[-1][1])
        return abs(now - self.encryption_since) >= pace * ROTATE_AFTER_MS

    def prepare_rotation(self, entropy: Entropy) -> KeyRing:
        """With the next encryption key made: save this before the statement that names it is published."""
        if self.next_encryption is not None:
            return self
        return attrs.evolve(self, next_encryption=EncryptionKey.from_secret(entropy(KEY_BYTES)))

    def finish_rotation(self, now: Instant) -> KeyRing:
        """With the next key in force, once the log states it."""
        if self.next_encryption is None:
            return self
        replaced = FormerKey(self.device.encryption, now)
        return attrs.evolve(
            self,
            device=attrs.evolve(self.device, encryption=self.next_encryption),
            encryption_since=now,
            former=(replaced, *self.former),
            next_encryption=None,
        )

    def erase_old(self, now: Instant, *, is_right: bool = False) -> KeyRing:
        """Without the former keys that nothing on its way can be sealed to any more.

        What was replaced in a future, by a clock that was ahead, counts as replaced now if now `is_right`.
        """
        latest = now if is_right else TIME_LIMIT
        known = [attrs.evolve(old, replaced_at=Instant(min(old.replaced_at, latest))) for old in self.former]
        kept = tuple(former for former in known if now - former.replaced_at < SEEN_MS)
        return self if kept == self.former else attrs.evolve(self, former=kept)


def make_keys(label: str, entropy: Entropy, now: Instant) -> KeyRing:
    """Fresh keys of an account's first device."""
    return KeyRing(DeviceKeys.generate_managing(label, entropy), now)


def encode_keys(ring: KeyRing) -> bytes:
    """The keys as JSON in ASCII."""
    device, locked = ring.device, ring.locked_manage
    content: dict[str, object] = {
        # A program that knows no locked keys would drop this one at the next rotation.
        "format": 1 if locked is None else 2,
        "label": device.label,
        "signing": device.signing.seed.hex(),
        "manage": device.manage.seed.hex() if device.manage else None,
        "encryption": device.encryption.secret.hex(),
        "encryption_since": ring.encryption_since,
        "next_encryption": ring.next_encryption.secret.hex() if ring.next_encryption else None,
        "former": [
            {"secret": former.key.secret.hex(), "replaced_at": former.replaced_at} for former in ring.former
        ],
    }
    if locked is not None:
        content["manage_locked"] = {
            "public": locked.public.hex(),
            "salt": locked.secret.salt.hex(),
            "ops": locked.secret.effort.ops,
            "memory": locked.secret.effort.memory,
            "box": locked.secret.box.hex(),
        }
    return json.dumps(content, indent=1).encode()


def decode_keys(raw: bytes, where: str) -> KeyRing:
    """The keys that `encode_keys` wrote; `where` is for the owner. Raises DamagedKeys."""
    try:
        content = json.loads(raw)
        if content["format"] not in (1, 2):
            raise DamagedKeys(f"{where} was written by a newer version of TaskFerry. Install that one.")
        manage = content["manage"]
        following = content["next_encryption"]
        return KeyRing(
            DeviceKeys(
                SigningKey.from_seed(bytes.fromhex(content["signing"])),
                EncryptionKey.from_secret(bytes.fromhex(content["encryption"])),
                SigningKey.from_seed(bytes.fromhex(manage)) if manage else None,
                str(content["label"]),
            ),
            Instant(int(content["encryption_since"])),
            tuple(
                FormerKey(
                    EncryptionKey.from_secret(bytes.fromhex(former["secret"])),
                    Instant(int(former["replaced_at"])),
                )
                for former in content["former"]
            ),
            EncryptionKey.from_secret(bytes.fromhex(following)) if following else None,
            _locked(content["manage_locked"]) if content["format"] == 2 else None,
        )
    except (ValueError, KeyError, TypeError, RecursionError, LocalProtocolError) as error:
        raise DamagedKeys(
            f"{where} is damaged. Put it back from a backup, or recover the account in an empty folder."
        ) from error


def _locked(content: dict[str, str | int]) -> LockedManage:
    public, salt, box = (bytes.fromhex(str(content[name])) for name in ("public", "salt", "box"))
    effort = Effort(int(content["ops"]), int(content["memory"]))
    return LockedManage(public, LockedSecret(salt, effort, box))
