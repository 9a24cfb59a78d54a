"""Whatever an agent was talked into: only plain files beneath the owner's roots are sent, none escapes."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from taskferry_apps.client.errors import FileTrouble
from taskferry_apps.mcp.local_files import MOST_BYTES, LocalFiles, usable_root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A working directory with a file, beside things that are not to be had."""
    work = tmp_path / "work"
    (work / "sub").mkdir(parents=True)
    (work / "sub" / "notes.txt").write_text("notes")
    (tmp_path / "outside.txt").write_text("outside")
    return work


def test_a_plain_file_is_read_by_either_kind_of_path(root: Path) -> None:
    """Relative to the root, or absolute; its name is the last step."""
    files = LocalFiles([root])
    assert files.read(["sub/notes.txt"]) == [("notes.txt", b"notes")]
    assert files.read([str(root / "sub" / "notes.txt")]) == [("notes.txt", b"notes")]
    assert files.read(["sub/../sub/./notes.txt"]) == [("notes.txt", b"notes")]


@pytest.mark.parametrize(
    "path",
    [
        "../outside.txt",
        "/etc/passwd",
        "sub/../../outside.txt",
        "~/.ssh/id_rsa",
        "",
        ".",
        "sub",
        "x\0y",
        "a" * 5000,
        "/work",
        "missing.txt",
        "sub/notes.txt/x",
    ],
)
def test_what_is_outside_or_no_file_is_refused(root: Path, path: str) -> None:
    """Parents, absolute paths, home directories, folders and nonsense."""
    with pytest.raises(FileTrouble):
        LocalFiles([root]).read([path])


def test_a_root_is_no_prefix_of_its_neighbours(root: Path) -> None:
    """`work-two` is not under `work`."""
    other = root.with_name("work-two")
    other.mkdir()
    (other / "a.txt").write_text("a")
    with pytest.raises(FileTrouble):
        LocalFiles([root]).read([str(other / "a.txt")])


def test_links_lead_nowhere(root: Path) -> None:
    """Neither a link to a file, nor one to a folder, nor a second name for a file elsewhere is followed."""
    (root / "file.txt").symlink_to(root.parent / "outside.txt")
    (root / "folder").symlink_to(root.parent)
    os.link(root.parent / "outside.txt", root / "hard.txt")
    for path in ("file.txt", "folder/outside.txt", "hard.txt"):
        with pytest.raises(FileTrouble):
            LocalFiles([root]).read([path])


def test_a_root_that_is_reached_by_a_link_works_by_both_names(root: Path, tmp_path: Path) -> None:
    """The owner may name a root as they like."""
    (tmp_path / "alias").symlink_to(root)
    files = LocalFiles([tmp_path / "alias"])
    assert files.read([str(tmp_path / "alias" / "sub" / "notes.txt")]) == [("notes.txt", b"notes")]
    assert files.read([str(root / "sub" / "notes.txt")]) == [("notes.txt", b"notes")]


@pytest.mark.parametrize(
    "path",
    [
        ".env",
        ".git/config",
        "sub/.hidden",
        ".ssh/id_ed25519",
        "id_rsa",
        "server.pem",
        "Private.KEY",
        "owner.token",
        "\u200c.env",
        "\u2060.git/config",
        "id_r\u200dsa",
        "server.p\ufeffem",
    ],
)
def test_what_looks_like_a_secret_is_not_sent(root: Path, path: str) -> None:
    """Hidden files, keys and credentials stay, also by names that some file systems take for theirs."""
    place = root / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("secret")
    with pytest.raises(FileTrouble):
        LocalFiles([root]).read([path])


def test_taskferrys_own_data_is_never_sent(root: Path) -> None:
    """A data directory beneath a root, whatever it is called, is passed over; nor can it be a root."""
    data = root / "ferry" / "keys"
    data.mkdir(parents=True)
    (data / "device.json").write_text("{}")
    for files in (LocalFiles([root], private=[root / "ferry"]), LocalFiles([data], private=[root / "ferry"])):
        with pytest.raises(FileTrouble):
            files.read([str(data / "device.json")])


@pytest.mark.parametrize("directory", ["ferry", "ferry/keys", "ferry/new", "sub/../ferry/keys/new"])
def test_nothing_is_written_among_taskferrys_own_data(root: Path, directory: str) -> None:
    """A peer's file does not become one that is read there, such as what says where a daemon listens."""
    (root / "ferry" / "keys").mkdir(parents=True)
    before = sorted(root.rglob("*"))
    with pytest.raises(FileTrouble, match="TaskFerry's own"):
        LocalFiles([root], private=[root / "ferry"]).save(directory, "x", [("daemon.json", b"{}")])
    assert sorted(root.rglob("*")) == before


def test_only_plain_files_are_sent_and_nobody_waits(root: Path) -> None:
    """A pipe is refused at once instead of being waited for; a device is no file."""
    os.mkfifo(root / "pipe")
    with pytest.raises(FileTrouble):
        LocalFiles([root]).read(["pipe"])
    with pytest.raises(FileTrouble):
        LocalFiles([Path("/dev")]).read(["null"])


def test_too_much_is_refused(root: Path) -> None:
    """One file or several, over what an envelope carries; too many of them."""
    (root / "big").write_bytes(b"x" * (MOST_BYTES + 1))
    (root / "half").write_bytes(b"x" * (MOST_BYTES // 2 + 1))
    files = LocalFiles([root])
    for paths in (["big"], ["half", "half"], ["sub/notes.txt"] * 33):
        with pytest.raises(FileTrouble):
            files.read(paths)


def test_without_a_root_nothing_is_reached() -> None:
    """The remedy is named."""
    with pytest.raises(FileTrouble, match="--root"):
        LocalFiles([]).read(["x"])
    with pytest.raises(FileTrouble, match="--root"):
        LocalFiles([]).save("", "task", [("a", b"")])


def test_files_are_written_for_the_owner_alone(root: Path) -> None:
    """Into a folder that is made, 0700, the files 0600, and kept out of git; again, the same path."""
    files = LocalFiles([root])
    (path,) = files.save("", "0a1b2c3d-v1", [("0-report.md", b"text")])
    kept = Path(path)
    assert kept == root.resolve() / "taskferry-files" / "0a1b2c3d-v1" / "0-report.md"
    assert kept.read_bytes() == b"text"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700
    assert (root / "taskferry-files" / ".gitignore").read_text() == "*\n"
    assert files.save("", "0a1b2c3d-v1", [("0-report.md", b"text")]) == [path]


def test_nothing_is_written_over_or_through_a_link(root: Path) -> None:
    """Another file of that name stays; a link in place of the file or the folder is not followed."""
    files = LocalFiles([root])
    files.save("out", "x", [("a", b"one")])
    with pytest.raises(FileTrouble, match="already"):
        files.save("out", "x", [("a", b"two")])
    (root / "out" / "b").symlink_to(root.parent / "outside.txt")
    (root / "away").symlink_to(root.parent)
    for directory, name in (("out", "b"), ("away", "c"), ("away/new", "c")):
        with pytest.raises(FileTrouble):
            files.save(directory, "x", [(name, b"evil")])
    assert (root.parent / "outside.txt").read_text() == "outside"
    assert not (root.parent / "c").exists()


@pytest.mark.parametrize("directory", ["..", "/tmp", ".git/hooks", "\u200c.git/hooks", "sub/../..", "a\0b"])
def test_a_folder_outside_or_hidden_is_refused(root: Path, directory: str) -> None:
    """What a peer sent does not become a hook or leave the root."""
    with pytest.raises(FileTrouble):
        LocalFiles([root]).save(directory, "x", [("a", b"")])


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "/etc/cron.d/x"])
def test_a_name_is_one_step(root: Path, name: str) -> None:
    """No name of a file is a path."""
    with pytest.raises(FileTrouble):
        LocalFiles([root]).save("", "x", [(name, b"")])


def test_a_server_without_roots_may_have_a_folder_of_its_own(tmp_path: Path) -> None:
    """It writes there, and sends nothing from there."""
    files = LocalFiles([], spare=tmp_path / "mcp" / "writer")
    (path,) = files.save("", "task-v1", [("0-a", b"x")])
    assert Path(path).read_bytes() == b"x"
    with pytest.raises(FileTrouble):
        files.read([path])


def test_the_whole_disk_is_no_working_directory(tmp_path: Path) -> None:
    """A host that starts programs in `/` has not thereby opened everything."""
    assert usable_root(tmp_path)
    assert not usable_root(Path("/"))
    assert not usable_root(tmp_path / "missing")
