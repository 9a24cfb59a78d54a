"""What gets into a log: the fields that are named, and no other; and what becomes of one that fails."""

import contextlib
import io
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import urlopen

import pytest

from taskferry_apps.log_writer import HELD_BYTES, LogWriter

PROGRAM = """
from taskferry_apps.logs import get_logger, set_up_logs
set_up_logs("info")
get_logger().info("something happened", code="a-code", token="canary", text="canary")
"""


def test_field_that_nobody_has_named_stays_out():
    """A secret that somebody logs by mistake is not written; what is meant to be there is."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert "canary" not in done.stderr + done.stdout
    line = json.loads(done.stderr)
    assert (line["event"], line["code"], line["level"]) == ("something happened", "a-code", "info")


GONE = """
from taskferry_apps.logs import get_logger, set_up_logs
set_up_logs("info")
for _ in range(1000):
    get_logger().info("something happened", code="a-code")
print("went on")
"""


@pytest.mark.parametrize("place", ["a full disk", "a reader that is gone"])
def test_a_log_that_cannot_be_written_stops_nothing(place):
    """Its lines are lost, and the program goes on."""
    if place == "a full disk":
        if not Path("/dev/full").exists():
            pytest.skip("there is no /dev/full here")
        errors = os.open("/dev/full", os.O_WRONLY)
    else:
        reader, errors = os.pipe()
        os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-c", GONE], stdout=subprocess.PIPE, stderr=errors, check=False
        )
    finally:
        os.close(errors)
    assert (done.stdout, done.returncode) == (b"went on\n", 0)


def full_pipe() -> tuple[int, int]:
    """A pipe that nobody reads, and that takes nothing more."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b".\n" * 2_048)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"\n")
    os.set_blocking(writer, True)
    return reader, writer


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


@pytest.mark.parametrize("program", ["relay", "daemon"])
def test_a_log_that_nobody_reads_holds_up_nobody(program, tmp_path):
    """Its pipe is open and full: the program begins, answers, and ends when it is told to."""
    port = free_port()
    where = ["--addr", f"127.0.0.1:{port}"]
    words = (
        ["relay", *where, "--db", str(tmp_path / "relay.db")]
        if program == "relay"
        else ["up", *where, "--data", str(tmp_path)]
    )
    reader, writer = full_pipe()
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "taskferry_apps.cli", *words], stderr=writer
    )
    os.close(writer)
    try:
        deadline = time.monotonic() + 30
        while True:
            with (
                contextlib.suppress(OSError),
                urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer,
            ):
                assert answer.status == 200
                break
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.terminate()
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
        os.close(reader)


COUNTING = """
import sys
from taskferry_apps.logs import get_logger, set_up_logs
set_up_logs("info")
for number in range(12_000):
    get_logger().info("something happened", count=number, reason="." * 100)
print("went on", flush=True)
sys.stdin.readline()
get_logger().info("the last", count=12_000)
"""


def test_lines_beyond_the_bound_are_counted_where_they_are_missing():
    """Whoever reads late finds the oldest in their order, how many are missing, and what followed."""
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", COUNTING],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"went on\n"
        said = [process.stderr.readline()]
        while b"lost" not in said[-1]:
            said.append(process.stderr.readline())
        process.stdin.write(b"\n")
        process.stdin.close()
        said += process.stderr.readlines()
    assert process.returncode == 0
    lines = [json.loads(line) for line in said]
    number = 0
    gaps = 0
    for line in lines:
        if "lost" in line["event"]:
            number += line["count"]
            gaps += 1
        else:
            assert line["count"] == number
            number += 1
    assert (lines[-1]["event"], number, gaps >= 1) == ("the last", 12_001, True)
    assert HELD_BYTES < sum(map(len, said)) < HELD_BYTES + 500_000


@pytest.mark.parametrize("ending", ["", "raise ValueError('a bug')", "sys.exit(3)"])
def test_a_program_that_ends_leaves_no_line_behind(ending):
    """What was logged last is written before the end, and before what a bug leaves."""
    program = COUNTING.partition("print(")[0].replace("12_000", "2_000").replace("get_", "end_logs, get_", 1)
    done = subprocess.run(
        [sys.executable, "-c", f"{program}\nend_logs()\n{ending}"],
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stderr.splitlines()
    assert [json.loads(line)["count"] for line in lines[:2_000]] == list(range(2_000))
    assert ("ValueError: a bug" in lines[2_000:]) is ("ValueError" in ending)


STRAY = """
import logging
from taskferry_apps.logs import set_up_logs
set_up_logs("info")
logging.getLogger("a.library").warning("of a library")
logging.getLogger("a.library").info("of nobody's interest")
"""


def test_what_libraries_say_goes_the_same_way():
    """A warning in the standard way is written as it is, and what is less is not."""
    done = subprocess.run([sys.executable, "-c", STRAY], capture_output=True, check=True)
    assert done.stderr == b"of a library\n"


def test_a_disk_that_has_room_again_is_told_what_is_missing(tmp_path):
    """Lines that could not be written are counted before the next that can, which begins a line."""

    class Disk(io.FileIO):
        full = False

        def write(self, data):
            """Half of a line, and then none, while it is full."""
            if not self.full:
                return super().write(data)
            if data[:1] == b"t":
                return super().write(data[:3])
            raise OSError(28, "No space left on device")

    disk = Disk(tmp_path / "log", "w")
    with open(tmp_path / "log", "rb") as log, io.TextIOWrapper(io.BufferedWriter(disk)) as stream:
        writer = LogWriter(stream, disk, "lost {}\n".format)
        written = b""
        for full, line in ((False, "one\n"), (True, "two\n"), (True, "three\n"), (False, "four\n")):
            disk.full = full
            writer.write(line)
            writer.end(30)
            written += log.read()
    assert written == b"one\ntwo\nlost 2\nfour\n"
