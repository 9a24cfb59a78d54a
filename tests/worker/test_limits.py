"""Commands that do not end, write without end, or leave processes behind; tasks that are taken back."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import trio

from taskferry_apps.worker import disk, keeper
from taskferry_apps.worker.disk import size_of
from taskferry_apps.worker.telling import What

#: Starts children that ignore SIGTERM: one in its group, one in its own session, one orphaned twice over.
STUBBORN = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
def stay(name):
    with open(name, "w") as stream: stream.write(str(os.getpid()))
    os.rename(name, f"{name}.pid")
    while True: time.sleep(60)
if os.fork() == 0: stay("one")
if os.fork() == 0:
    os.setsid()
    stay("two")
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.setsid()
        stay("three")
    os._exit(0)
while not all(os.path.exists(f"{name}.pid") for name in ("one", "two", "three")): time.sleep(0.01)
print("ready", flush=True)
"""


def living(folder: Path) -> list[int]:
    """Which of the stubborn processes live."""
    pids = [int(path.read_text()) for path in folder.glob("*.pid")]
    return [pid for pid in pids if is_alive(pid)]


def is_alive(pid: int) -> bool:
    """Whether a process is there, and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_a_command_that_hangs_is_stopped_at_the_time_limit(shop):
    """With everything that it has started, also what ignores SIGTERM and hides in other sessions."""
    handle = await shop.send()
    assert await shop.work(shop.script(STUBBORN + "time.sleep(600)"), time_s=4.0, grace_s=0.2) == 1
    task = await shop.ended(handle, "failed")
    assert "it ran longer than 4 s. The end of its standard output:\nready" in "".join(
        event.note for event in task.events
    )
    folder = shop.room / "tasks" / handle.id
    assert len(list(folder.glob("*.pid"))) == 3
    assert living(folder) == []


async def test_a_command_that_ends_well_leaves_no_process_either(shop):
    """What it started in the background ends with it, and the result counts."""
    handle = await shop.send()
    assert await shop.work(shop.script(STUBBORN)) == 0
    assert (await handle.result(20)).text == "ready"
    assert living(shop.room / "tasks" / handle.id) == []


async def test_a_task_that_is_taken_back_stops_its_command(shop):
    """SIGTERM first, so that it can tidy up; its folder stays, the task is held no more."""
    handle = await shop.send()
    code = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (open('tidy', 'w').close(), sys.exit(0)))\n"
        "open('begun', 'w').close()\ntime.sleep(600)"
    )
    folder = shop.room / "tasks" / handle.id
    async with shop.working(shop.script(code), grace_s=20.0):
        await shop.until((folder / "begun").exists)
        await handle.cancel("Not needed")
        await shop.until(lambda: bool(shop.words(What.ENDED)))
    assert (folder / "tidy").exists()
    assert shop.words(What.STOPPED) == ["it was taken back"]
    assert list((shop.room / "state").iterdir()) == []
    task = await handle.show()
    assert (task.state, task.versions) == ("cancelled", ())


async def test_a_flood_of_output_is_bounded_and_stopped(shop):
    """The limit counts for disk and memory; the reason names it."""
    handle = await shop.send()
    code = "import sys\nwhile True: sys.stdout.write('y' * 100_000)"
    assert await shop.work(shop.script(code), output_bytes=300_000) == 1
    task = await shop.ended(handle, "failed")
    assert any("more than 300,000 bytes of output" in event.note for event in task.events)
    assert (shop.room / "tasks" / handle.id / "stdout").stat().st_size <= 300_000


async def test_a_file_that_grows_without_end_is_cut_off(shop):
    """The system ends the command that writes past the limit, which the reason names, or a look is faster."""
    handle = await shop.send()
    words = ("/bin/dd", "if=/dev/zero", "of=out/big", "bs=65536", "count=1000")
    assert await shop.work(*words, disk_bytes=300_000) == 1
    task = await shop.ended(handle, "failed")
    (note,) = [event.note for event in task.events if event.type == "task_fail"]
    assert "it wrote a file of more than 300,000 bytes" in note or "300,000 bytes into its folder" in note
    assert not (shop.room / "tasks" / handle.id).exists()


def test_the_system_bounds_each_file_that_a_command_writes(tmp_path):
    """Whatever looks on: what is written past the limit is not on the disk, and the writer is ended."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        subprocess.run(
            [sys.executable, "-I", "-S", keeper.__file__, str(theirs.fileno()), "300000", "/bin/dd",
             "if=/dev/zero", f"of={tmp_path / 'big'}", "bs=65536", "count=1000"],
            pass_fds=(theirs.fileno(),), check=True, timeout=30,
        )  # fmt: skip
        assert f"signal {signal.SIGXFSZ.value}" in ours.recv(4_096).decode()
    assert (tmp_path / "big").stat().st_size == 300_000


def test_a_command_ends_with_a_worker_that_heard_nothing_of_it(tmp_path):
    """The worker is gone, and what its keeper has told it was never read: all is killed all the same."""
    ours, theirs = socket.socketpair()
    with theirs:
        (tmp_path / "hang").write_text(STUBBORN + "time.sleep(600)")
        words = (str(theirs.fileno()), "1000000", sys.executable, str(tmp_path / "hang"))
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", keeper.__file__, *words],
            pass_fds=(theirs.fileno(),),
            cwd=tmp_path,
            stdout=subprocess.PIPE,
        )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        left = living(tmp_path)
        assert len(left) == 3
        ours.close()
        process.wait(30)
    assert [pid for pid in left if is_alive(pid)] == []


def test_what_may_not_be_killed_holds_up_no_verdict(monkeypatch):
    """A program that runs as another user, by sudo for one, outlives its command, whose end is told."""
    tried = []

    def forbidden(process, number):
        tried.append((process, number))
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(keeper, "_children", lambda: [4_000_000])
    monkeypatch.setattr(os, "kill", forbidden)
    monkeypatch.setattr(os, "killpg", forbidden)
    monkeypatch.setattr(os, "waitpid", lambda *_: (0, 0))
    keeper._end_all(4_000_001)
    assert tried == [(4_000_001, signal.SIGKILL), (4_000_000, signal.SIGKILL)]


async def test_many_files_together_are_bounded(shop):
    """Each is small enough, all are not: it is stopped while it writes on, and its folder does not stay."""
    handle = await shop.send()
    code = (
        "import os, sys, time\nprint('filling', file=sys.stderr)\nfor n in range(20):\n"
        "    os.makedirs(f'deep/{n}')\n    open(f'deep/{n}/file', 'wb').write(b'x' * 50_000)\ntime.sleep(600)"
    )
    assert await shop.work(shop.script(code), disk_bytes=300_000) == 1
    task = await shop.ended(handle, "failed")
    (note,) = [event.note for event in task.events if event.type == "task_fail"]
    assert "it wrote more than 300,000 bytes into its folder. The end of its standard error:\nfilling" in note
    assert not (shop.room / "tasks" / handle.id).exists()


async def test_what_is_too_large_in_the_end_fails_too(shop):
    """Between two looks a command may write much and end well: it is measured once more."""
    handle = await shop.send()
    code = "for n in range(20): open(f'{n}', 'wb').write(b'x' * 50_000)\nprint('done')"
    assert await shop.work(shop.script(code), disk_bytes=300_000) == 1
    assert (await shop.ended(handle, "failed")).versions == ()


def test_links_and_countless_files_do_not_hide_a_size(tmp_path, monkeypatch):
    """A link counts for itself alone; more files than a run may leave count as too much."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "root").symlink_to("/")
    assert size_of(tmp_path, 10_000_000) < 100_000
    monkeypatch.setattr(disk, "_MOST_ENTRIES", 3)
    for name in "abc":
        (tmp_path / name).touch()
    assert size_of(tmp_path, 10_000_000) == 10_000_001


async def test_a_program_that_vanished_fails_the_task(shop):
    """It was there when the worker started, and is not any more."""
    handle = await shop.send()
    assert await shop.work(str(shop.folder / "nothing-here")) == 1
    task = await shop.ended(handle, "failed")
    assert any("cannot be run: No such file" in event.note for event in task.events)


async def test_a_stopped_worker_stops_its_command_and_goes_on_at_the_next_start(shop):
    """The task stays accepted; the next worker begins it anew in a fresh folder."""
    handle = await shop.send()
    folder = shop.room / "tasks" / handle.id
    code = (
        "import os, time\nopen(f'{os.getpid()}.pid', 'w').write(str(os.getpid()))\n"
        "open('begun', 'w').close()\n"
        f"time.sleep(0 if os.path.exists({str(shop.folder / 'go')!r}) else 600)\nprint('done')"
    )
    async with shop.working(shop.script(code)):
        await shop.until((folder / "begun").exists)
        (pid,) = (int(path.stem) for path in folder.glob("*.pid"))
    assert not is_alive(pid)
    assert (await handle.show()).state == "accepted"
    (shop.folder / "go").touch()
    assert await shop.work(shop.script(code)) == 0
    task = await shop.ended(handle, "submitted")
    assert [event.type for event in task.events if event.side == "worker"].count("task_accept") == 1
    assert len(list(folder.glob("*.pid"))) == 1


async def test_a_keeper_that_is_killed_takes_its_command_along(shop):
    """Somebody ends the process between worker and command: the task fails, and nothing runs on."""
    handle = await shop.send()
    folder = shop.room / "tasks" / handle.id
    code = (
        "import os, time\nopen('one', 'w').write(f'{os.getpid()} {os.getppid()}')\n"
        "os.rename('one', 'two')\ntime.sleep(600)"
    )
    async with trio.open_nursery() as nursery:
        codes: list[int] = []

        async def work() -> None:
            codes.append(await shop.work(shop.script(code)))

        nursery.start_soon(work)
        await shop.until((folder / "two").exists)
        command, keeper = map(int, (folder / "two").read_text().split())
        os.kill(keeper, 9)
    assert codes == [1]
    await shop.until(lambda: not is_alive(command))
    task = await shop.ended(handle, "failed")
    assert any("keeper was ended by somebody else" in event.note for event in task.events)
