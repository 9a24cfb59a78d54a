"""Workers as people start them: killed, without a daemon, and with the commands that the documents show."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.client.stage import daemon_of

from .test_limits import STUBBORN, is_alive, living
from .town import PAGE, PATIENCE_S, Town, a_town, until

pytestmark = pytest.mark.journey


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """A town for the file's tests."""
    with a_town(tmp_path_factory.mktemp("town")) as town:
        yield town


def program(folder: Path, text: str, name: str = "work") -> str:
    """A Python program to run."""
    path = folder / name
    path.write_text(f"#!{sys.executable}\n{text}")
    path.chmod(0o755)
    return f"./{name}"


def test_killed_with_its_command_under_way_it_begins_anew(town: Town, tmp_path: Path) -> None:
    """kill -9: nothing of the command lives on, not even what hides; the next worker does the task once."""
    log = tmp_path / "log"
    hang = program(tmp_path, STUBBORN + "time.sleep(600)", "hang")
    task = town.send("Killed")
    with town.working("--", hang, folder=tmp_path, log=log) as worker:
        until(lambda: len(list(town.folder(task).glob("*.pid"))) == 3)
        left = living(town.folder(task))
        assert len(left) == 3
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        # At once: it waits until the other's processes are gone.
        done = town.work("--", program(tmp_path, "print('done')"), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [pid for pid in left if is_alive(pid)] == []
    found = town.until(task, "submitted")
    assert [event["type"] for event in found["events"]].count("task_accept") == 1
    assert len(found["versions"]) == 1
    assert list(town.folder(task).glob("*.pid")) == []


def test_of_two_workers_one_takes_over_what_a_killed_one_had(town: Town, tmp_path: Path) -> None:
    """Each task is run by one; after kill -9 of one, the other does its task once the lease is over."""
    here, there = tmp_path / "here", tmp_path / "there"
    runs = tmp_path / "runs"
    for folder in (here, there, runs):
        folder.mkdir()
    go = tmp_path / "go"
    wait = (
        "import os, time\n"
        f"open({str(runs)!r} + f'/{{os.environ[\"TASKFERRY_TASK_ID\"]}}.{{os.getpid()}}', 'x').close()\n"
        f"while not os.path.exists({str(go)!r}): time.sleep(0.05)\nprint('done')"
    )
    command = program(tmp_path, wait)
    tasks = [town.send(f"Shared {n}") for n in range(2)]
    one = town.working("--name", "one", "--lease", "15s", "--", command, folder=tmp_path, log=here / "log")
    two = town.working("--name", "two", "--lease", "15s", "--", command, folder=tmp_path, log=there / "log")
    with one as first, two:
        until(lambda: {path.name[:64] for path in runs.iterdir()} == set(tasks))
        assert len(list(runs.iterdir())) == 2
        shown = town.run("agent", "runtimes", folder=tmp_path).stdout
        assert [line.split()[2] for line in shown.splitlines() if line.startswith("worker-")] == ["busy"] * 2
        assert "worker-one is bound to writer, busy" in town.run("whoami", folder=tmp_path).stdout
        first.kill()
        first.wait()
        go.touch()
        for task in tasks:
            assert len(town.until(task, "submitted")["versions"]) == 1
        (taken,) = [line for line in (there / "log").read_text().splitlines() if "taken over" in line]
        assert "@alice/requester: Shared" in taken
        # What the dead one held is the other's now: it comes back, discards it, and says so.
        with town.working("--name", "one", "--", command, folder=tmp_path, log=here / "again"):
            until(lambda: "Another program has this now: worker-two." in (here / "again").read_text())
    assert len(list(runs.iterdir())) == 3


def test_it_stops_on_signals_with_its_commands(town: Town, tmp_path: Path) -> None:
    """SIGTERM ends it with 0, Ctrl-C with 130; the task stays accepted for the next start."""
    hang = program(tmp_path, STUBBORN + "time.sleep(600)", "hang")
    task = town.send("Interrupted")
    for number, code in ((signal.SIGTERM, 0), (signal.SIGINT, 130)):
        shutil.rmtree(town.folder(task), ignore_errors=True)
        with town.working("--grace", "1s", "--", hang, folder=tmp_path, log=tmp_path / "log") as worker:
            until(lambda: len(list(town.folder(task).glob("*.pid"))) == 3)
            worker.send_signal(number)
            assert worker.wait(PATIENCE_S) == code
        assert living(town.folder(task)) == []
        assert town.until(task, "accepted")
    assert town.work("--", program(tmp_path, "print('done')"), folder=tmp_path).returncode == 0


def test_the_documents_shell_script_does_a_task_and_its_revision(town: Town, tmp_path: Path) -> None:
    """As it stands on the page: sent, accepted, submitted, revised, resubmitted, completed."""
    (text,) = re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    (tmp_path / "count-words.sh").write_text(text)
    (tmp_path / "count-words.sh").chmod(0o755)
    file = {"name": "page.txt", "data_base64": "b25lIHR3byB0aHJlZQ=="}
    task = town.send("Count", "Count the words.", files=[file])
    log = tmp_path / "log"
    with town.working("--", "./count-words.sh", folder=tmp_path, log=log):
        first = town.until(task, "submitted")["versions"][-1]["parts"]
        assert first[0]["text"] == "The brief has 3 words."
        assert first[1]["name"] == "counts.txt"
        town.act(task, "revision", requested_changes=["Say please"])
        second = town.until(task, "resubmitted")["versions"][-1]["parts"]
        assert second[0]["text"] == (
            "The brief has 3 words.\nThis is better than version 1, as was asked:\n- Say please"
        )
        town.act(task, "complete")
        until(lambda: "completed" in log.read_text())
    said = log.read_text()
    for step in ("started", "accepted", "running", "submitted", "ended"):
        assert f"  {step}" in said
    assert all(len(line.split()[0]) == 8 for line in said.splitlines())


def test_lines_are_json_where_that_is_wanted(town: Town, tmp_path: Path) -> None:
    """One object a step; a failed task shows in the exit code."""
    task = town.send("Fails")
    done = town.work(
        "--json", "--", program(tmp_path, "raise SystemExit('no\\x1b[2J luck')"), folder=tmp_path
    )
    steps = [json.loads(line) for line in done.stdout.splitlines()]
    assert [step["step"] for step in steps] == ["started", "accepted", "running", "failed"]
    assert {step["task_id"] for step in steps[1:]} == {task}
    assert (done.returncode, "no\ufffd[2J luck" in steps[-1]["text"]) == (1, True)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--", "no-such-command"), 2, "There is no command 'no-such-command'"),
        (("--", "./"), 2, "There is no command './'"),
        (("--env", "TASKFERRY_LOCAL_API_TOKEN", "--", "true"), 2, "With --api they get"),
        (("--env", "A=B", "--", "true"), 2, "takes the name of a variable"),
        (("--time-limit", "soon", "--", "true"), 2, "looks like 90s, 30m, 2h or 3d"),
        ((), 2, "COMMAND"),
    ],
)
def test_what_cannot_work_is_refused_before_any_task_is_accepted(
    town: Town, tmp_path: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    """In a sentence, with the exit code for a wrong command line."""
    done = town.work(*words, folder=tmp_path)
    assert (done.returncode, said in done.stderr) == (code, True), done.stderr


def test_an_agent_that_is_not_there_is_refused(town: Town, tmp_path: Path) -> None:
    """Those that there are, are named."""
    done = town.run("worker", "--agent", "nobody", "--", "true", folder=tmp_path)
    assert (done.returncode, "There are: writer" in done.stderr) == (5, True), done.stderr


def test_without_a_daemon_a_new_worker_says_so(town: Town, tmp_path: Path) -> None:
    """One that has no credential yet cannot wait for it."""
    done = town.work("--", "true", folder=tmp_path, TASKFERRY_DATA=str(tmp_path / "none"))
    assert done.returncode in (3, 4), done.stderr


def test_a_daemon_that_was_killed_is_waited_for(tmp_path: Path) -> None:
    """kill -9 of the daemon while the command runs; it comes up at another port, and the version arrives."""
    with a_town(tmp_path) as town:
        kill_the_daemon_under_way(town, tmp_path)


def kill_the_daemon_under_way(town: Town, tmp_path: Path) -> None:
    """The story, in a town that is left without Bob's daemon."""
    go = tmp_path / "go"
    wait = program(
        tmp_path, f"import os, time\nwhile not os.path.exists({str(go)!r}): time.sleep(0.05)\nprint('done')"
    )
    task = town.send("Away")
    bob, log = town.pair.bob, tmp_path / "log"
    with town.working("--", wait, folder=tmp_path, log=log):
        until(lambda: "running" in log.read_text())
        pid = daemon_of(bob.data)
        os.kill(pid, signal.SIGKILL)
        until(lambda: "away" in log.read_text())
        go.touch()
        again = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "taskferry_apps.cli",
                "up",
                "--addr",
                "127.0.0.1:0",
                "--data",
                str(bob.data),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=town.environment(TASKFERRY_SECRETS="files"),
        )
        try:
            assert town.until(task, "submitted")["versions"][-1]["parts"][0]["text"] == "done"
            until(lambda: "submitted" in log.read_text())
        finally:
            again.terminate()
            again.wait(PATIENCE_S)
    assert log.read_text().count("  away") <= 2, log.read_text()


def test_a_reader_of_its_lines_may_leave(town: Town, tmp_path: Path) -> None:
    """`taskferry worker | head`: it ends without a traceback, and its task waits for the next start."""
    task = town.send("Read")
    with (tmp_path / "err").open("wb") as err:
        worker = subprocess.Popen(
            [sys.executable, "-m", "taskferry_apps.cli", "worker", "--agent", "writer", "--", "cat"],
            stdout=subprocess.PIPE,
            stderr=err,
            cwd=tmp_path,
            env=town.environment(),
        )
        assert worker.stdout is not None
        worker.stdout.close()
        worker.wait(PATIENCE_S)
    assert (tmp_path / "err").read_text() == ""
    assert town.work("--", "cat", folder=tmp_path).returncode == 0
    assert town.until(task, "submitted")
