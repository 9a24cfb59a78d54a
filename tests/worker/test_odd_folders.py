"""Folders as commands may leave them: without end, without rights, with second names for others' files."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from taskferry_apps.worker.disk import excess_of, size_of
from taskferry_apps.worker.harvest import ResultKind, Unfit, gathered
from taskferry_apps.worker.removing import remove_tree
from taskferry_apps.worker.running import _last_bytes

NOBODY = 65_534


@pytest.fixture(autouse=True)
def nothing_odd_stays(tmp_path: Path) -> Iterator[None]:
    """Whoever clears old folders of tests away stumbles over such as are made here."""
    yield
    remove_tree(tmp_path)


def nest(folder: Path, depth: int, name: str = "deep", bytes_each: int = 0) -> None:
    """Folders in folders, each made from within the one before."""
    here = os.open(folder, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=here)
        below = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
        if bytes_each:
            file = os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=here)
            os.write(file, b"x" * bytes_each)
            os.close(file)
    os.close(here)


@contextmanager
def as_a_user() -> Iterator[Path]:
    """A folder of a user's whom modes bind, as they do not bind root."""
    is_root = os.geteuid() == 0
    folder = Path(tempfile.mkdtemp(prefix="taskferry-"))
    try:
        if is_root:
            os.chown(folder, NOBODY, NOBODY)
            os.seteuid(NOBODY)
        try:
            yield folder
        finally:
            if is_root:
                os.seteuid(0)
    finally:
        remove_tree(folder)


def test_a_folder_that_is_nested_without_end_is_removed(tmp_path):
    """Neither depth nor the length of its path keeps it, and no more descriptors are used for it."""
    made = tmp_path / "made"
    made.mkdir()
    nest(made, 3_000, name="d" * 50)
    remove_tree(made)
    assert not made.exists()


def test_folders_without_rights_are_removed():
    """A command may have taken all rights away, at the top and below."""
    with as_a_user() as folder:
        made = folder / "made"
        (made / "one" / "two").mkdir(parents=True)
        (made / "one" / "two" / "file").touch()
        for place in (made / "one" / "two", made / "one", made):
            place.chmod(0)
        remove_tree(made)
        assert not made.exists()


def test_what_links_lead_to_stays(tmp_path):
    """A link goes, and nothing behind it."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("kept")
    made = tmp_path / "made"
    made.mkdir()
    (made / "link").symlink_to(outside)
    os.link(outside / "file", made / "second")
    remove_tree(made)
    (tmp_path / "made").symlink_to(outside)
    remove_tree(tmp_path / "made")
    remove_tree(tmp_path / "never-was")
    assert (outside / "file").read_text() == "kept"
    assert not made.is_symlink()


def test_a_path_that_is_too_long_hides_no_size(tmp_path):
    """What cannot be named is not nothing: it counts as too much."""
    made = tmp_path / "made"
    made.mkdir()
    nest(made, 30, name="d" * 200, bytes_each=100_000)
    assert size_of(made, 2_000_000) > 2_000_000
    assert "cannot be looked into (File name too long)" in excess_of(made, 2_000_000_000)
    remove_tree(made)


def test_a_folder_that_nobody_may_list_hides_no_size():
    """Its command can go on writing into it by names that it knows."""
    with as_a_user() as folder:
        made = folder / "made"
        made.mkdir()
        made.chmod(0o300)
        (made / "file").write_bytes(b"x" * 100_000)
        assert size_of(folder, 1_000_000) > 1_000_000
        assert "cannot be looked into (Permission denied)" in excess_of(folder, 1_000_000)


def test_a_second_name_for_a_file_elsewhere_is_not_sent(tmp_path):
    """A hard link looks like a file of its own; what it leads to may be anybody's secret."""
    (tmp_path / "secret").write_text("of the owner")
    out = tmp_path / "out"
    out.mkdir()
    os.link(tmp_path / "secret", out / "result.txt")
    (out / "own.txt").write_text("mine")
    (tmp_path / "stdout").touch()
    found = gathered(ResultKind.AUTO, tmp_path / "stdout", out)
    assert [file.name for file in found.files] == ["own.txt"]
    assert found.note == (
        "result.txt was left out: it has several names (hard links), and only a copy is sent."
    )


def test_output_that_is_a_second_name_for_a_file_elsewhere_is_not_sent(tmp_path):
    """Neither as a result nor as the end of what a failed command has said."""
    (tmp_path / "secret").write_text("of the owner")
    (tmp_path / "out").mkdir()
    os.link(tmp_path / "secret", tmp_path / "stdout")
    with pytest.raises(Unfit, match="hard link"):
        gathered(ResultKind.STDOUT, tmp_path / "stdout", tmp_path / "out")
    assert _last_bytes(tmp_path / "stdout") == b""


async def test_a_folder_in_the_place_of_output_changes_no_verdict(shop):
    """The command's own end is what the requester reads, and no descriptor is lost."""
    handle = await shop.send()
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    code = "import os, sys\nos.remove('stderr.log')\nos.mkdir('stderr.log')\nprint('so far')\nsys.exit(3)"
    assert await shop.work(shop.script(code)) == 1
    task = await shop.ended(handle, "failed")
    (note,) = [event.note for event in task.events if event.type == "task_fail"]
    assert "ended with exit code 3" in note
    assert "so far" in note
    if before:
        assert len(os.listdir("/proc/self/fd")) <= before


async def test_a_command_that_nests_folders_without_end_ends_no_worker(shop):
    """Its task ends like any other, and its folder goes."""
    handle = await shop.send()
    code = "import os, sys\nfor n in range(1_500):\n    os.mkdir('d')\n    os.chdir('d')\nsys.exit(3)"
    assert await shop.work(shop.script(code), keep="none") == 1
    await shop.ended(handle, "failed")
    assert await shop.work(shop.script("print('done')"), most=0, keep="none") in (0, 1)
    assert not (shop.room / "tasks" / handle.id).exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes folders of others")
def test_empty_folders_of_another_user_are_removed():
    """A program in a container leaves such, at the top and below; whose they are does not keep them."""
    with as_a_user() as folder:
        made = folder / "made"
        (made / "out").mkdir(parents=True)
        os.seteuid(0)
        for place in (made / "cache", made / "out" / "cache"):
            place.mkdir(0o755)
            place.with_name("hidden").mkdir(0o700)
        os.seteuid(NOBODY)
        remove_tree(made)
        assert not made.exists()


@pytest.mark.parametrize("place", ["mounted", "out/mounted"])
def test_nothing_is_removed_of_what_is_mounted_in_a_folder(tmp_path, monkeypatch, place):
    """It is another folder, of the owner's perhaps; the system moves no such place."""
    made = tmp_path / "made"
    (made / place).mkdir(parents=True)
    (made / place / "file").write_text("kept")
    rename = os.rename

    def refusing(name, *words, **more):
        if name == "mounted":
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        rename(name, *words, **more)

    monkeypatch.setattr(os, "rename", refusing)
    with pytest.raises(OSError, match="mounted"):
        remove_tree(made)
    monkeypatch.undo()
    assert [file.read_text() for file in made.rglob("file")] == ["kept"]


def test_no_rights_are_changed_behind_a_link_that_takes_a_folders_place(tmp_path, monkeypatch):
    """Whoever is still at work there may put one, after the folder was looked at."""
    outside = tmp_path / "outside"
    outside.mkdir(0o755)
    made = tmp_path / "made"
    (made / "below").mkdir(parents=True)
    chmod = os.chmod

    def swap_and(act):
        def acting(name, *words, **more):
            if name == "below" and not (made / "below").is_symlink():
                (made / "below").rmdir()
                (made / "below").symlink_to(outside)
            return act(name, *words, **more)

        return acting

    monkeypatch.setattr(os, "chmod", swap_and(chmod))
    monkeypatch.setattr(os, "rename", swap_and(os.rename))
    with suppress(OSError):
        remove_tree(made)
    assert stat.S_IMODE(outside.stat().st_mode) == 0o755


def test_a_file_that_vanishes_meanwhile_keeps_no_folder(tmp_path, monkeypatch):
    """What was removed by somebody else is removed."""
    made = tmp_path / "made"
    made.mkdir()
    (made / "one").touch()
    unlink = os.unlink

    def twice(*words, **more):
        unlink(*words, **more)
        unlink(*words, **more)

    monkeypatch.setattr(os, "unlink", twice)
    remove_tree(made)
    assert not made.exists()
