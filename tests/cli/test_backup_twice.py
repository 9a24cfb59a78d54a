"""Two backups written to one file at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from taskferry_apps.cli import backup as module
from taskferry_apps.cli.outcome import CommandFailed, Exit

PIECES = (b"one", b"two")


class Daemon:
    """A client whose download can be broken into."""

    def __init__(self) -> None:
        self.meanwhile: list[Result] = []
        self.between: list[Path] = []

    @contextmanager
    def download(self, path: str, body: object) -> Iterator[tuple[int, Iterator[bytes]]]:
        """A backup; while it is on its way, another is asked for, once."""
        yield sum(map(len, PIECES)), self._pieces()

    def _pieces(self) -> Iterator[bytes]:
        for piece in PIECES:
            yield piece
            if self.between:
                self.meanwhile.append(back_up(self.between.pop()))


def back_up(file: Path) -> Result:
    """`taskferry backup FILE`."""
    return CliRunner().invoke(module.backup, [str(file)], obj={})


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch) -> Daemon:
    """What the command speaks to."""
    daemon = Daemon()

    @contextmanager
    def client(*_: Any) -> Iterator[Daemon]:
        yield daemon

    monkeypatch.setattr(module, "local_client", client)
    return daemon


def test_a_second_backup_into_a_file_is_refused_while_the_first_is_written(daemon: Daemon, tmp_path: Path):
    """A job that is started twice leaves one whole backup, and the second is told why there is no other."""
    file = tmp_path / "taskferry.backup"
    daemon.between.append(file)
    assert back_up(file).exit_code == 0
    (second,) = daemon.meanwhile
    assert isinstance(second.exception, CommandFailed)
    assert str(second.exception) == f"Another backup is being written to {file}; name another file."
    assert second.exception.code == Exit.USAGE
    assert file.read_bytes() == b"".join(PIECES)
    assert [each.name for each in tmp_path.iterdir()] == [file.name]


def test_a_backup_into_a_file_that_another_has_finished_meanwhile_is_refused(
    daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """What stands there is not replaced."""
    file = tmp_path / "taskferry.backup"
    monkeypatch.setattr(module, "ask_new_passphrase", lambda: file.write_bytes(b"theirs") and "secret words")
    refused = CliRunner().invoke(module.backup, [str(file), "--passphrase"], obj={})
    assert str(refused.exception) == f"{file} exists already; name another file."
    assert file.read_bytes() == b"theirs"


def test_what_a_killed_backup_left_is_not_kept(daemon: Daemon, tmp_path: Path):
    """The next one is as long as it is, whatever lay there."""
    file = tmp_path / "taskferry.backup"
    (tmp_path / f".{file.name}.part").write_bytes(bytes(100))
    assert back_up(file).exit_code == 0
    assert file.read_bytes() == b"".join(PIECES)
    assert file.stat().st_mode & 0o777 == 0o600
