"""The device's keys on disk: private, durable, rotated and erased."""

from __future__ import annotations

import hashlib
import os
import stat
from itertools import count
from pathlib import Path

import pytest

from taskferry_apps.daemon.keys import DamagedKeys, KeyRing, decode_keys, encode_keys, make_keys
from taskferry_apps.daemon.private_files import (
    DataInUse,
    UnsafeFile,
    hold_directory,
    make_private_directory,
    write_private,
)
from taskferry_apps.daemon.secret_files import FileSecrets
from taskferry_apps.daemon.secret_port import DEVICE
from taskferry_protocol.ids import Entropy, Instant
from taskferry_protocol.limits import DAY_MS

NOW = Instant(1_800_000_000_000)


def seeded() -> Entropy:
    """A source that gives other bytes at each call, and the same in each run."""
    calls = count()
    return lambda size: hashlib.shake_256(str(next(calls)).encode()).digest(size)


def save_keys(data: Path, ring: KeyRing) -> None:
    """As the vault does."""
    FileSecrets(data).write(DEVICE, encode_keys(ring))


def load_keys(data: Path) -> KeyRing | None:
    """As the vault does."""
    raw = FileSecrets(data).read(DEVICE)
    return None if raw is None else decode_keys(raw, FileSecrets(data).where(DEVICE))


def test_saved_keys_come_back_equal(tmp_path: Path) -> None:
    """What was saved is loaded, former and coming keys included."""
    entropy = seeded()
    ring = make_keys("laptop", entropy, NOW).prepare_rotation(entropy).finish_rotation(Instant(NOW + 1))
    ring = ring.prepare_rotation(entropy)
    save_keys(tmp_path, ring)
    assert load_keys(tmp_path) == ring
    assert len(ring.opening_keys()) == 3


def test_no_keys_yet(tmp_path: Path) -> None:
    """An empty data directory has no keys, which is no error."""
    assert load_keys(tmp_path) is None


def test_modes_are_private_under_any_umask(tmp_path: Path) -> None:
    """Folder 0700 and file 0600, even if the umask would leave them open."""
    before = os.umask(0)
    try:
        save_keys(tmp_path, make_keys("laptop", seeded(), NOW))
    finally:
        os.umask(before)
    folder = tmp_path / "keys"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()] == [0o600]


def test_readable_key_file_is_refused(tmp_path: Path) -> None:
    """A key that others could have read is not used in silence."""
    save_keys(tmp_path, make_keys("laptop", seeded(), NOW))
    (tmp_path / "keys" / "device.json").chmod(0o644)
    with pytest.raises(UnsafeFile, match="chmod 600"):
        load_keys(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"format": 2}', b"\xff", b"[" * 5_000])
def test_damaged_key_file_is_named(tmp_path: Path, content: bytes) -> None:
    """A damaged file gives one sentence with the remedy, no traceback of a parser."""
    make_private_directory(tmp_path / "keys")
    write_private(tmp_path / "keys" / "device.json", content)
    with pytest.raises(DamagedKeys, match=r"backup|newer version"):
        load_keys(tmp_path)


def test_key_file_behind_a_link_is_not_followed(tmp_path: Path) -> None:
    """A symbolic link put in place of the file is refused."""
    make_private_directory(tmp_path / "keys")
    (tmp_path / "keys" / "device.json").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        load_keys(tmp_path)


@pytest.mark.parametrize(
    ("statements", "weeks"), [(0, 1), (1_791, 1), (1_792, 4), (2_687, 4), (2_688, 26), (4_095, 26)]
)
def test_the_fuller_a_log_the_longer_a_key_is_used(statements: int, weeks: int) -> None:
    """Each rotation takes a place of it for ever: of 32 devices the last comes in some seventeen years."""
    ring = make_keys("laptop", seeded(), NOW)
    assert not ring.rotation_due(Instant(NOW + weeks * 7 * DAY_MS - 1), statements)
    assert ring.rotation_due(Instant(NOW + weeks * 7 * DAY_MS), statements)


def test_a_clock_that_was_ahead_keeps_no_key_for_years() -> None:
    """A key of the future is replaced now, and one that was replaced then is gone in a month."""
    entropy, ahead = seeded(), Instant(NOW + 5_000 * DAY_MS)
    ring = make_keys("laptop", entropy, ahead)
    assert ring.rotation_due(NOW)
    rotated = ring.prepare_rotation(entropy).finish_rotation(ahead)
    assert rotated.erase_old(NOW) == rotated
    known = rotated.erase_old(NOW, is_right=True)
    assert [former.replaced_at for former in known.former] == [NOW]
    assert known.erase_old(Instant(NOW + 31 * DAY_MS), is_right=True).former == ()


def test_old_keys_are_erased_after_the_longest_lifetime() -> None:
    """A replaced key opens mail on its way, and is gone a month later."""
    entropy = seeded()
    ring = make_keys("laptop", entropy, NOW)
    assert not ring.rotation_due(Instant(NOW + 6 * DAY_MS))
    assert ring.rotation_due(Instant(NOW + 7 * DAY_MS))
    rotated = ring.prepare_rotation(entropy).finish_rotation(NOW)
    assert rotated.erase_old(Instant(NOW + 30 * DAY_MS)) == rotated
    assert rotated.erase_old(Instant(NOW + 31 * DAY_MS)).former == ()
    assert rotated.device.encryption != ring.device.encryption
    assert ring.device.encryption.secret.hex() not in repr(rotated)


def test_second_holder_of_a_data_directory_is_refused(tmp_path: Path) -> None:
    """Two daemons cannot run on one directory; after the first ends the second may."""
    with (
        hold_directory(tmp_path),
        pytest.raises(DataInUse, match="Another daemon"),
        hold_directory(tmp_path),
    ):
        pass
    with hold_directory(tmp_path):
        pass
