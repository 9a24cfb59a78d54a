"""A process that commits without end and says after each commit that it is acknowledged, until it is killed.

`python -m tests.stores.killed_writer relay|daemon PATH`: prints the number of each commit that returned.
"""

import sys
from pathlib import Path

import trio

from taskferry_protocol.records import (
    AckMailbox,
    AddTaskEvent,
    AppendEvent,
    EventRecord,
    RelayCursor,
    SetCursor,
    Sweep,
    TaskEventRecord,
)
from taskferry_stores.sqlite import open_daemon_store, open_relay_store

from .samples import GENERATION, NOW, device, envelope, message, sha, store

CALLERS = 8
"""Tasks that commit at once, so that the kill meets groups of several callers."""


def relay_changes(n):
    """Two envelopes that belong together, each for two devices; now and then a clean-up among them."""
    changes = [envelope(f"s{n}", k, "bob/coder", ["bob", "bob2"]) for k in (1, 2)]
    if n % 5 == 0:
        changes += [AckMailbox(device("bob2"), n), Sweep(10)]
    return changes


def daemon_changes(n):
    """A message, its task event, a line of the feed and the cursor."""
    record = message(f"m{n}", task=sha("task"))
    return [
        store(record),
        AddTaskEvent(TaskEventRecord(sha("task"), record.hash, "worker", record.device, NOW, NOW)),
        AppendEvent(EventRecord("message", "helper", (record.hash,), str(n), NOW)),
        SetCursor(RelayCursor("relay", GENERATION, n)),
    ]


def opened(kind, path):
    """The store of that kind."""
    if kind == "relay":
        return open_relay_store(path, generation=GENERATION)
    return open_daemon_store(path)


async def main(kind, path, first):
    """Commit until the end."""
    changes = relay_changes if kind == "relay" else daemon_changes
    async with opened(kind, path) as held, trio.open_nursery() as nursery:

        async def commit_for_ever(n):
            while True:
                await held.commit(changes(n))
                print(n, flush=True)
                n += CALLERS

        for caller in range(CALLERS):
            nursery.start_soon(commit_for_ever, first + caller)


if __name__ == "__main__":
    trio.run(main, sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
