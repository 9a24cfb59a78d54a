"""What a peer sent, on this machine's disk: under a safe name, new, for the owner alone, or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import anyio
import attrs
import pytest
import trio

from taskferry_apps.client import Attachment, DaemonAway, FileTrouble, NotFound, NotTaskFerry
from taskferry_apps.client.attachments import MOST_BYTES, read_file
from taskferry_apps.client.saving import NewFile, safe_name
from taskferry_apps.client.task_results import Part
from taskferry_apps.visible import one_line

from .cutting import a_wire
from .stories import Place, tell

HOSTILE = [
    "../../etc/passwd",
    "/etc/passwd",
    "..",
    ".",
    ".bashrc",
    "",
    " ",
    "a/b\\c",
    "a\x00b",
    "a\nb\x1b[31m",
    "\u202egnp.exe",
    "x" * 5_000 + ".md",
    "\u00e9" * 5_000,
    "n." + "s" * 500,
    "CON:stream",
    "~root",
    "-rf",
    "--checkpoint-action=exec=sh x.sh",
    "- .-.md",
    "\u3164",
    "\u115f\u034f.md",
    "a\uffa0b",
    "....",
    "\ud800",
]


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_a_hostile_name_stays_in_the_folder(tmp_path, name):
    """Whatever a peer calls its file: one plain, visible step below the folder, that the system takes."""
    folder = tmp_path / "in"
    folder.mkdir()
    sink = NewFile(folder, safe_name(Part("file", 3, name, 1)))
    sink.begin()
    sink.write(b"x")
    sink.finish()
    assert sink.path.resolve().parent == folder.resolve()
    assert list(tmp_path.iterdir()) == [folder]
    (made,) = folder.iterdir()
    assert made.read_bytes() == b"x"
    # A dash would make it an option of whatever is called with all files of the folder.
    assert not made.name.startswith((".", "-"))
    assert made.name.isprintable()
    assert one_line(made.name, 200) == made.name
    assert len(made.name.encode()) <= 140


def test_plain_names_are_kept():
    """A name that does no harm is the file's."""
    for name in ("report.md", "Bericht (2).txt", "a-b_c.tar.gz", "r\u00e9sum\u00e9.pdf"):
        assert safe_name(Part("file", 0, name, 1)) == name


def test_nothing_is_written_over_or_through_what_is_there(tmp_path):
    """Files, links and dangling links stay as they are: a name in a folder is numbered, a path refused."""
    outside = tmp_path / "outside"
    outside.write_bytes(b"mine")
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "r.md").symlink_to(outside)
    (folder / "r-2.md").symlink_to(tmp_path / "nowhere")
    sink = NewFile(folder, "r.md")
    sink.begin()
    sink.write(b"theirs")
    sink.finish()
    assert (sink.path, sink.path.read_bytes()) == (folder / "r-3.md", b"theirs")
    for taken in (folder / "r.md", folder / "r-2.md", outside, folder):
        with pytest.raises(FileTrouble):
            NewFile(taken).begin()
    assert outside.read_bytes() == b"mine"
    assert not (tmp_path / "nowhere").exists()


def test_a_file_is_for_its_owner_alone(tmp_path):
    """Mode 0600 however generous the umask is, and less where it is stricter."""
    for mask, mode in ((0o000, 0o600), (0o277, 0o400)):
        before = os.umask(mask)
        try:
            sink = NewFile(tmp_path / f"{mask}")
            sink.begin()
            sink.finish()
        finally:
            os.umask(before)
        assert sink.path.stat().st_mode & 0o777 == mode


def test_what_is_abandoned_leaves_nothing(tmp_path):
    """A body that breaks off removes its file, and begins anew from nothing; one that is finished stays."""
    sink = NewFile(tmp_path / "a")
    sink.begin()
    sink.write(b"half")
    sink.abandon()
    assert list(tmp_path.iterdir()) == []
    sink.begin()
    sink.write(b"whole")
    sink.finish()
    sink.abandon()
    assert sink.path.read_bytes() == b"whole"
    with pytest.raises(FileTrouble, match="cannot be written"):
        NewFile(Path("/nonexistent-folder/x")).begin()


def test_only_what_fits_is_read(tmp_path):
    """A device without an end, a file that is too large, one that is not there: one sentence, no memory."""
    large = tmp_path / "large"
    large.write_bytes(b"x" * (MOST_BYTES + 1))
    for path in (Path("/dev/zero"), large, tmp_path / "missing", tmp_path):
        with pytest.raises(FileTrouble):
            read_file(path)


async def test_files_come_whole_or_not_at_all(ferry, kind, tmp_path):
    """A download that is cut off is fetched again; one that cannot be finished leaves no file behind."""
    content = os.urandom(150_000)
    folder = tmp_path / "in"
    folder.mkdir()

    async def story() -> None:
        async with ferry.alice.client(kind) as alice:
            task = await alice.send_task("@bob/writer", "Keep", files=[Attachment("x.bin", content)])
        async with attrs.evolve(ferry.bob, url=wire.url).client(kind, patience=5) as bob:
            await bob.agents()
            held = bob.task(task.id)
            while not (await bob.inbox(wait=5)).messages:
                pass
            wire.answers_to_cut = 1
            (saved,) = await held.save_files(0, folder)
            assert (saved.name, saved.read_bytes()) == ("x.bin", content)
            again = await held.save_files(0, folder)
            assert [path.name for path in again] == ["x-2.bin"]
            with pytest.raises(NotFound):
                await held.save_files(7, folder)
            with pytest.raises(FileTrouble):
                await held.save_part(0, 0, saved)
            wire.answers_to_cut = 10_000
            with pytest.raises(DaemonAway):
                await held.save_part(0, 0, folder / "never")
            assert sorted(path.name for path in folder.iterdir()) == ["x-2.bin", "x.bin"]

    async with a_wire(ferry.bob.url) as wire:
        await tell(kind, story)


async def test_what_is_no_download_is_no_file(kind, tmp_path):
    """Refused, or sent elsewhere by a stranger at the address: one error, no file, and nobody follows."""

    async def stranger(stream: trio.SocketStream) -> None:
        await stream.receive_some(65_536)
        head = f"HTTP/1.1 302 Found\r\nLocation: {url}/elsewhere\r\nContent-Length: 4\r\nConnection: close"
        await stream.send_all(head.encode() + b"\r\n\r\nevil")

    async def story() -> None:
        async with Place(url, "tfa_x").client(kind, agent="writer") as client:
            with pytest.raises(NotTaskFerry):
                await client.task("aa").save_export(tmp_path / "x")
            async with client.events() as events:
                with pytest.raises(NotTaskFerry):
                    await anext(events)
        assert list(tmp_path.iterdir()) == []

    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, stranger, listeners)
        await tell(kind, story)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
async def test_a_cancelled_download_leaves_no_file(ferry, backend, tmp_path):
    """Given up in the middle of the body: nothing of it stays, and the client goes on."""
    content = os.urandom(150_000)

    async def story() -> None:
        async with ferry.alice.client(backend) as alice:
            task = await alice.send_task("@bob/writer", "Keep", files=[Attachment("x.bin", content)])
            for tenths in range(1, 30):
                with anyio.move_on_after(tenths / 1000) as scope:
                    await task.save_part(0, 0, tmp_path / f"{tenths}")
                saved = tmp_path / f"{tenths}"
                assert saved.exists() or scope.cancelled_caught
                assert not saved.exists() or saved.read_bytes() == content
            assert (await task.part_bytes(0)) == content

    await tell(backend, story)
