"""Private keys of the device: made here, kept here, in one file; the recovery key is shown once and not kept.

Former encryption keys stay as long as mail sealed to them can be on its way, and are then erased.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import attrs

from taskferry_protocol.crypto import KEY_BYTES, EncryptionKey, SigningKey
from taskferry_protocol.devices import DeviceKeys
from taskferry_protocol.errors import LocalProtocolError
from taskferry_protocol.ids import Entropy, Instant
from taskferry_protocol.limits import DAY_MS, SEEN_MS

from .private_files import make_private_directory, read_private, write_private

__all__ = ["ROTATE_AFTER_MS", "DamagedKeys", "FormerKey", "KeyRing", "load_keys", "make_keys", "save_keys"]

#: How old an encryption key grows before the device replaces it.
ROTATE_AFTER_MS: Final = 7 * DAY_MS

_FILE: Final = "device.json"


class DamagedKeys(Exception):
    """The key file is there and cannot be used; the text says what to do."""


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

    def opening_keys(self) -> tuple[EncryptionKey, ...]:
        """Every key that mail may be sealed to, the newest first."""
        coming = (self.next_encryption,) if self.next_encryption else ()
        return (*coming, self.device.encryption, *(former.key for former in self.former))

    def rotation_due(self, now: Instant) -> bool:
        """Whether the encryption key has grown old."""
        return now - self.encryption_since >= ROTATE_AFTER_MS

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

    def erase_old(self, now: Instant) -> KeyRing:
        """Without the former keys that nothing on its way can be sealed to any more."""
        kept = tuple(former for former in self.former if now - former.replaced_at < SEEN_MS)
        return self if kept == self.former else attrs.evolve(self, former=kept)


def make_keys(label: str, entropy: Entropy, now: Instant) -> KeyRing:
    """Fresh keys of an account's first device."""
    return KeyRing(DeviceKeys.generate_managing(label, entropy), now)


def key_folder(data: Path) -> Path:
    """Where the keys of a data directory stand."""
    return data / "keys"


def save_keys(data: Path, ring: KeyRing) -> None:
    """Write the key file durably. Raises UnsafeFile, OSError."""
    folder = key_folder(data)
    make_private_directory(folder)
    device = ring.device
    content = {
        "format": 1,
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
    write_private(folder / _FILE, json.dumps(content, indent=1).encode())


def load_keys(data: Path) -> KeyRing | None:
    """The keys of a data directory; None where there are none yet.

    Raises DamagedKeys, UnsafeFile, OSError.
    """
    path = key_folder(data) / _FILE
    try:
        raw = read_private(path)
    except FileNotFoundError:
        return None
    try:
        content = json.loads(raw)
        if content["format"] != 1:
            raise DamagedKeys(f"{path} was written by a newer version of TaskFerry. Install that one.")
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
        )
    except (ValueError, KeyError, TypeError, LocalProtocolError) as error:
        raise DamagedKeys(
            f"{path} is damaged. Put it back from a backup, or recover the account in an empty folder."
        ) from error
