"""What commands write to files, and what they say of files that somebody else made."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import attrs
import click
import pytest

from taskferry_apps.cli.audit import read_export
from taskferry_apps.cli.files import save_bytes
from taskferry_apps.cli.outcome import CommandFailed
from taskferry_apps.cli.verify import report_json, verify
from taskferry_protocol.handoff import verify_handoff
from taskferry_protocol.ids import Instant

from ..protocol.test_handoff import EXPORT


def test_what_is_saved_is_for_its_owner_alone(tmp_path: Path) -> None:
    """Histories, audit logs and peers' files are nobody else's to read, however generous the umask is."""
    before = os.umask(0)
    try:
        save_bytes(tmp_path / "handoff.cbor", b"history")
    finally:
        os.umask(before)
    assert (tmp_path / "handoff.cbor").read_bytes() == b"history"
    assert (tmp_path / "handoff.cbor").stat().st_mode & 0o777 == 0o600


def test_nothing_is_saved_over_or_through_what_is_there(tmp_path: Path) -> None:
    """Neither a file nor a link that somebody has laid there."""
    (tmp_path / "there").write_bytes(b"mine")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("there", "link"):
        with pytest.raises(CommandFailed, match="exists already"):
            save_bytes(tmp_path / name, b"theirs")
    assert (tmp_path / "there").read_bytes() == b"mine"
    assert not (tmp_path / "nowhere").exists()


def test_a_time_that_no_calendar_has_is_told_all_the_same() -> None:
    """Whoever made the file may claim any time: that is no reason to end in a fault of ours."""
    report = attrs.evolve(verify_handoff(EXPORT), exported_at=Instant(2**53 - 1))
    assert report_json(report)["exported_at"] == "9999-12-31 23:59:59"


@pytest.mark.parametrize("read", [verify.callback, read_export])
def test_of_a_giant_file_no_more_is_read_than_may_be_in_it(
    tmp_path: Path, read: Callable[[Path], object]
) -> None:
    """A handoff or an audit log may come from anybody; this one has a terabyte of nothing."""
    (tmp_path / "giant").touch()
    os.truncate(tmp_path / "giant", 2**40)
    with click.Context(verify), pytest.raises(CommandFailed, match="giant"):
        read(tmp_path / "giant")
