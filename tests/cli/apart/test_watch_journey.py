"""A watch over the life of a daemon, and how soon it speaks: stories with processes that come and go."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
from pathlib import Path

import pytest

from benchmarks.waking import wake_times
from taskferry_apps.demo.stage import PROGRAM, Stage
from tests.cli.conftest import owner_with, until
from tests.cli.test_watch import agents, watching

pytestmark = pytest.mark.journey


def test_a_watch_outlives_the_daemon(stage: Stage, relay: str) -> None:
    """It waits for a daemon that is down at the start or goes away, says so once, and misses nothing.

    It begins where the first daemon is that answers.
    """
    shell = owner_with(stage, relay, "weaver", "loom")
    written = json.loads((shell.data / "daemon.json").read_text())
    os.kill(written["pid"], signal.SIGKILL)
    with watching(shell, "--all", "--format", "json") as watch:
        watch.when(lambda: bool(watch.errors))
        assert "Waiting for it." in watch.errors[0]
        daemon = [*PROGRAM, "up", "--addr", "127.0.0.1:0", "--data", str(shell.data), "--log", "warning"]
        for name in ("after-one", "after-two"):
            with subprocess.Popen(
                daemon, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            ) as process:
                try:
                    until(lambda: shell("status", "--json"), lambda ran: ran.code == 0)
                    if name == "after-one":
                        watch.when(lambda: any("answers again" in line for line in watch.errors))
                    made = until(lambda: shell("agent", "create", name), lambda ran: ran.code == 0)  # noqa: B023
                    assert made.code == 0
                    watch.when(lambda: name in agents(watch))  # noqa: B023
                finally:
                    process.kill()
        numbers = [str(event["id"]) for event in watch.events()]
        assert len(set(numbers)) == len(numbers)
        assert sum("Waiting for it." in line for line in watch.errors) <= 3


def test_a_task_wakes_a_watch_on_another_machine_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the call that sends to the line printed; the bound is wide, since others use the machine."""
    times = wake_times(tmp_path, 12)
    median = statistics.median(times)
    with capsys.disabled():
        print(f"\na task woke a watch after {median:.0f} ms ({min(times):.0f} to {max(times):.0f})")
    assert median < 1_000
