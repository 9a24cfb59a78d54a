"""How soon a task that is sent on one machine wakes a program that watches on another."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from taskferry_apps.demo.stage import Machine, Stage, wait_until
from taskferry_apps.local_client import LocalClient

from .processes import BenchmarkFailed
from .results import Bar, Figure, Way
from .traffic import FULL, Workshop

__all__ = ["measure_waking", "wake_times"]

#: From the call that sends to the line that the watch prints: the middle one of all.
MEDIAN = Bar(Way.BELOW, 100.0)
_PATIENCE_S = 20.0
_TASKS = {True: 200, False: 30}


def measure_waking(shop: Workshop) -> list[Figure]:
    """Milliseconds from sending a task to the line of `taskferry watch` on the other machine."""
    count = _TASKS[shop.scale is FULL]
    shop.tell(f"sending {count} tasks, one after another, to a machine that watches")
    folder = shop.folder / "waking"
    folder.mkdir()
    times = sorted(wake_times(folder, count))
    late = times[int(len(times) * 0.95)]
    return [
        Figure("waking", "median", statistics.median(times), "ms", MEDIAN, (times[0], times[-1])),
        Figure("waking", "95th percentile", late, "ms"),
    ]


def wake_times(folder: Path, count: int) -> list[float]:
    """For each of `count` tasks, the milliseconds until the watch has printed its line."""
    with Stage(folder) as stage:
        relay, _ = stage.start_relay("info")
        # More tasks than two agents may exchange before a person looks.
        settings = {"TASKFERRY_BREAKERS": f"messages={10 * count},messages-a-day={10 * count}"}
        alice = stage.start_daemon("alice", "warning", settings)
        bob = stage.start_daemon("bob", "warning", settings)
        with alice.client() as sender, bob.client() as receiver:
            _connect(sender, receiver, relay)
            with _watching(bob) as watch:
                return [_one(sender, watch, number) for number in range(count)]


def _connect(sender: LocalClient, receiver: LocalClient, relay: str) -> None:
    sender.post("/setup", {"owner": "alice", "relay": relay})
    receiver.post("/setup", {"owner": "bob", "relay": relay})
    sender.post("/agents", {"handle": "requester"})
    receiver.post("/agents", {"handle": "writer"})
    sender.post("/connections/request", {"from": "requester", "to": "@bob/writer"})

    def accepted() -> bool | None:
        state = {"state": "requested_in"}
        found = receiver.get("/connections", **state)["connections"]
        if isinstance(found, list) and found:
            wide = {"human_gate": False, "rate_per_minute": 10_000, "task_budget": 10_000}
            receiver.post("/connections/accept", {"id": found[0]["id"], "permissions": wide})
        done = sender.get("/connections", state="accepted")["connections"]
        return True if done else None

    wait_until(accepted, "the two agents were not connected", _PATIENCE_S)


@contextmanager
def _watching(machine: Machine) -> Iterator[subprocess.Popen[bytes]]:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("TASKFERRY_")},
        "TASKFERRY_DATA": str(machine.data),
    }
    command = [sys.executable, "-P", "-m", "taskferry_apps.cli", "watch", "--agent", "writer"]
    # As a program reads it that starts a watch: through a pipe, with nothing said about buffering.
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        try:
            yield process
        finally:
            process.terminate()


def _one(sender: LocalClient, watch: subprocess.Popen[bytes], number: int) -> float:
    # The one before is settled by then, and what is measured is one task and its way alone.
    time.sleep(0.05)
    began = time.perf_counter()
    task = {"from": "requester", "to": "@bob/writer", "title": f"Report {number}", "description": "x" * 1_024}
    sent = sender.post("/tasks", task)
    line = watch.stdout.readline() if watch.stdout is not None else b""
    took = (time.perf_counter() - began) * 1_000
    if str(sent["task_id"])[:8].encode() not in line:
        raise BenchmarkFailed(f"task {number} was not announced: {line!r}")
    return took
