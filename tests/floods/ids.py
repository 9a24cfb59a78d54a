"""`python -m tests.floods.ids`: a million ids that a relay has never heard of, and what it keeps of them.

Accounts, messages, links, codes and places to meet, another each time, as fast as answers come, from two
accounts and from whoever reaches the port. Ends with code 1 if the relay goes on growing.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Final

import attrs
import psutil
import trio
from rich.console import Console
from rich.progress import Progress

from taskferry_apps import system
from taskferry_apps.relay_client import CallRefused
from taskferry_protocol.calls import AppendStatements, GetAccount
from taskferry_protocol.ids import AccountId, AgentRef
from tests.floods.cast import FIRST, Cast, session
from tests.floods.strangers import distinct_ids
from tests.floods.trial import relay_process
from tests.floods.wire import Ledger, Target
from tests.relay.people import connect, seal

#: What it may grow by once a fifth has come. Of a million ids some 210,000 are of messages, each to another
#: agent, so the longest table, of 32,768 pairs of agents, is full by then.
BOUND_MIB: Final = 8
_MIB: Final = 1_048_576
_BATCH: Final = 32
_CALLERS: Final = 16
_STRANGERS: Final = 4
_LOOK_S: Final = 0.5


@attrs.define
class Count:
    """How many ids were answered for so far, by what they stood for."""

    most: int
    of: dict[str, int] = attrs.field(factory=dict)

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.of.values())

    def add(self, kind: str, count: int) -> None:
        """So many more."""
        self.of[kind] = self.of.get(kind, 0) + count


async def _recipients(url: str, cast: Cast, count: Count) -> None:
    """Messages, each with an id of its own, to accounts that nobody has."""
    mallory = cast.mallory
    async with session(url, mallory) as client:
        while True:
            now = system.now()
            parcels = [
                seal(
                    mallory, cast.sink, "x", now, to=AgentRef(AccountId(mallory.entropy(32)), "agent")
                ).parcel
                for _ in range(_BATCH)
            ]
            await client.send(parcels)
            count.add("recipients and messages", 2 * _BATCH)


async def _accounts(url: str, cast: Cast, count: Count) -> None:
    """Look-ups of accounts that nobody has."""
    pit = cast.pit
    async with session(url, pit) as client, trio.open_nursery() as nursery:

        async def ask() -> None:
            while True:
                try:
                    await client.call(GetAccount(AccountId(pit.entropy(32)), 0))
                except CallRefused:
                    count.add("accounts", 1)

        for _ in range(_CALLERS):
            nursery.start_soon(ask)


async def _introduce(url: str, cast: Cast) -> None:
    async with session(url, cast.sink), session(url, cast.pit), session(url, cast.mallory) as client:
        log = cast.mallory.log.statements
        for start in range(FIRST, len(log), 64):
            await client.call(AppendStatements(start, log[start : start + 64]))
        await client.call(connect(cast.mallory, cast.sink, system.now()))


async def _run(folder: Path, most: int, console: Console) -> list[tuple[int, float]]:
    """Ids so far and the relay's memory in MiB, again and again."""
    began = system.now()
    cast, count, ledger = Cast.at(began), Count(most), Ledger()
    seen: list[tuple[int, float]] = []
    async with relay_process(folder, limits="sends=1000000") as (url, process):
        await _introduce(url, cast)
        host, port = url.removeprefix("http://").split(":")
        target = Target(host, int(port), began)
        tell = ledger.of("ids")

        def note(outcome: str) -> None:
            tell(outcome)
            count.add("links, codes and places", 2)

        with Progress(console=console) as progress:
            bar = progress.add_task("ids", total=most)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_recipients, url, cast, count)
                nursery.start_soon(_accounts, url, cast, count)
                for _ in range(_STRANGERS):
                    nursery.start_soon(distinct_ids, target, note)
                while count.total < most:
                    await trio.sleep(_LOOK_S)
                    seen.append((count.total, _memory(process)))
                    progress.update(bar, completed=count.total)
                nursery.cancel_scope.cancel()
    for kind, number in sorted(count.of.items()):
        print(f"{kind:24} {number:>10,}")
    for outcome, number in sorted(ledger.outcomes["ids"].items()):
        print(f"  told {outcome:18} {number:>10,}")
    return seen


def _memory(process: psutil.Process) -> float:
    return process.memory_info().rss / _MIB


def main() -> int:
    """Run, and tell."""
    parser = argparse.ArgumentParser(prog="python -m tests.floods.ids", description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000)
    most = parser.parse_args().count
    with tempfile.TemporaryDirectory(prefix="taskferry-ids-") as folder:
        seen = trio.run(partial(_run, Path(folder), most, Console(stderr=True)))
    for tenths in (0, 1, 2, 5, 10):
        at, memory = next((one for one in seen if one[0] >= most * tenths / 10), seen[-1])
        print(f"{at:>10,} ids  {memory:6.1f} MiB")
    settled = max(memory for at, memory in seen if at <= most / 5 or at == seen[0][0])
    grown = max(memory for _, memory in seen) - settled
    print(f"grown by {grown:.1f} MiB since the first fifth")
    if grown > BOUND_MIB:
        print(f"that is more than {BOUND_MIB} MiB", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
