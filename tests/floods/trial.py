"""One trial: honest pairs talk through a relay while attackers do what they can, and both are measured."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import attrs
import psutil
import trio

from taskferry_apps import system
from taskferry_apps.relay_client import LinkEnded, RelayClient
from taskferry_protocol.calls import AppendStatements
from taskferry_protocol.frame_items import Mail, ParcelAccepted
from taskferry_transports.port import DialRefused
from tests.floods.cast import FIRST, Cast, session
from tests.relay.people import Person, connect, read_text, seal

__all__ = ["MEMORY_BOUND_MIB", "PATIENCE_MS", "Figures", "relay_process", "run_trial"]

#: What the relay may hold more than before the attack: its limits on what strangers make it hold are 64 MiB
#: of bodies and frames, and some hundred connections of 60 KiB.
MEMORY_BOUND_MIB: Final = 96
_AGAIN_S: Final = 0.1
#: Within which 99 of 100 honest messages arrive.
PATIENCE_MS: Final = 2_000
#: On a machine that is busy with other things everything takes longer, also without an attack.
BUSY_TIMES: Final = 4
CALM_S: Final = 4.0
SLOW_S: Final = 60.0
#: With less of a processor than half of what it wanted, a relay is not what is slow.
STARVED_PERCENT: Final = 50
_MIB: Final = 1_048_576
_PAUSE_S: Final = 0.1
#: As an operator would set them who serves strangers.
_LIMITS: Final = "sends=6000"


Outcomes = dict[str, dict[str, int]]
"""How often each attack was told what."""


@attrs.frozen
class Figures:
    """What a trial came to. Memory in MiB, times in milliseconds."""

    seconds: float
    machine: str
    command: str
    before_mib: float
    most_mib: float
    last_mib: float
    cpu_percent: int
    starved_percent: int
    """Of the time, the relay could have run and other programs of the machine had the processor."""
    calm_p99_ms: float
    messages: int
    lost: int
    median_ms: float
    p99_ms: float
    worst_ms: float
    outcomes: Outcomes

    @property
    def is_judged(self) -> bool:
        """Whether times say something about the relay, and not about who else had the processor."""
        return self.starved_percent <= STARVED_PERCENT

    def faults(self) -> list[str]:
        """What went beyond its bound, in words."""
        found = []
        if self.most_mib > self.before_mib + MEMORY_BOUND_MIB:
            found.append(f"the relay grew from {self.before_mib:.0f} to {self.most_mib:.0f} MiB")
        if self.is_judged and self.p99_ms > PATIENCE_MS + BUSY_TIMES * self.calm_p99_ms:
            found.append(f"one honest message of a hundred took {self.p99_ms:.0f} ms")
        if self.lost:
            found.append(f"{self.lost} honest messages did not arrive")
        return found


def run_trial(
    folder: Path,
    seconds: float,
    command: str,
    only: Sequence[str] = (),
    enough: Callable[[Outcomes], bool] = lambda _: True,
) -> Figures:
    """Attack a relay for so long, and on a slow machine for a minute more if what came is not `enough`."""
    return trio.run(_trial, folder, seconds, command, only, enough)


async def _trial(
    folder: Path, seconds: float, command: str, only: Sequence[str], enough: Callable[[Outcomes], bool]
) -> Figures:
    began = system.now()
    cast = Cast.at(began)
    async with relay_process(folder) as (url, process):
        await _introduce(url, cast)
        latencies: list[float] = []
        sent: list[int] = []
        memory: list[float] = []
        async with trio.open_nursery() as honest:
            quiet = trio.Event()
            for one, other, longpoll in ((cast.alice, cast.bob, False), (cast.carol, cast.dave, True)):
                await honest.start(_listen, url, other, longpoll, latencies)
                honest.start_soon(_talk, url, one, other, longpoll, sent, quiet)
            await trio.sleep(CALM_S)
            before = process.memory_info().rss / _MIB
            honest.start_soon(_watch, process, memory)
            calm = sorted(latencies) or [0.0]
            latencies.clear()
            sent.clear()
            used, starved = sum(process.cpu_times()[:2]), _starved_s(process)
            outcomes = await _attacked(url, began, seconds, only, enough)
            used = sum(process.cpu_times()[:2]) - used
            starved = _starved_s(process) - starved
            quiet.set()
            with trio.move_on_after(10):
                while len(latencies) < len(sent):
                    await trio.sleep(0.05)
            honest.cancel_scope.cancel()
    ordered = sorted(latencies) or [float("inf")]
    return Figures(
        seconds,
        f"{platform.machine()}, {psutil.cpu_count()} cores, Python {platform.python_version()}",
        command,
        round(before, 1),
        round(max(memory), 1),
        round(memory[-1], 1),
        round(100 * used / seconds),
        round(100 * starved / seconds),
        round(_p99(calm), 1),
        len(sent),
        max(0, len(sent) - len(latencies)),
        round(ordered[len(ordered) // 2], 1),
        round(_p99(ordered), 1),
        round(ordered[-1], 1),
        outcomes,
    )


def _starved_s(process: psutil.Process) -> float:
    """Seconds for which the process was ready to run and did not (Linux: proc(5), schedstat)."""
    try:
        _, waited, _ = Path(f"/proc/{process.pid}/schedstat").read_text().split()
    except OSError:
        return 0.0
    return int(waited) / 1e9


def _p99(ordered: Sequence[float]) -> float:
    return ordered[int(len(ordered) * 0.99)]


class _Lines:
    """What the attackers were told so far, line by line."""

    def __init__(self, stream: trio.abc.ReceiveStream) -> None:
        self._stream = stream
        self._ahead = b""

    async def next(self) -> Outcomes:
        """The next line. Raises trio.EndOfChannel once there are no more."""
        while b"\n" not in self._ahead:
            more = await self._stream.receive_some()
            if not more:
                raise trio.EndOfChannel
            self._ahead += more
        line, _, self._ahead = self._ahead.partition(b"\n")
        found: Outcomes = json.loads(line)
        return found


async def _attacked(
    url: str, began: int, seconds: float, only: Sequence[str], enough: Callable[[Outcomes], bool]
) -> Outcomes:
    """What the attackers, a process of their own, were told."""
    place = urlsplit(url)
    words = [
        sys.executable,
        "-m",
        "tests.floods.attackers",
        str(place.hostname),
        str(place.port),
        str(began),
        *only,
    ]
    process = await trio.lowlevel.open_process(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    lines = _Lines(process.stdout)
    try:
        found = await lines.next()
        ends = trio.current_time() + seconds
        while trio.current_time() < ends or (not enough(found) and trio.current_time() < ends + SLOW_S):
            found = await lines.next()
        await process.stdin.aclose()
        with trio.move_on_after(SLOW_S), suppress(trio.EndOfChannel):
            while True:
                found = await lines.next()
        return found
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()


@asynccontextmanager
async def relay_process(folder: Path, limits: str = _LIMITS) -> AsyncIterator[tuple[str, psutil.Process]]:
    """A relay that takes new accounts, behind a proxy on this machine."""
    words = [sys.executable, "-P", "-m", "taskferry_apps.cli", "relay", "--addr", "127.0.0.1:0"]
    environment = {
        "TASKFERRY_RELAY_TRUSTED_PROXIES": "127.0.0.1",
        "TASKFERRY_RELAY_LIMITS": limits,
        "TASKFERRY_RELAY_SIGNUP": "open",
    }
    log = folder / "relay.log"
    with log.open("wb") as file:
        process = await trio.lowlevel.open_process(
            [*words, "--db", str(folder / "relay.db")], stderr=file, env=environment
        )
    try:
        url = ""
        with trio.fail_after(30):
            while not url:
                await trio.sleep(0.05)
                if process.poll() is not None:
                    raise RuntimeError(f"the relay ended: {log.read_text()}")
                for line in log.read_text().splitlines():
                    url = str(json.loads(line).get("url", "")) if line.startswith("{") else url
        yield url, psutil.Process(process.pid)
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()


async def _introduce(url: str, cast: Cast) -> None:
    now = system.now()
    async with session(url, cast.mallory) as client:
        log = cast.mallory.log.statements
        for start in range(FIRST, len(log), 64):
            await client.call(AppendStatements(start, log[start : start + 64]))
    for one, other, rate in (
        (cast.alice, cast.bob, 1_000_000),
        (cast.carol, cast.dave, 1_000_000),
        (cast.mallory, cast.sink, 60),
        (cast.mallory, cast.pit, 1_000_000),
    ):
        async with session(url, other), session(url, one) as client:
            await client.call(connect(one, other, now, rate=rate))


async def _listen(
    url: str,
    who: Person,
    longpoll: bool,
    latencies: list[float],
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Take mail, each once; a link that broke is opened again, as a daemon does."""
    known: set[bytes] = set()
    began = False
    while True:
        try:
            async with session(url, who, longpoll=longpoll) as client:
                if not began:
                    task_status.started()
                    began = True
                while True:
                    entries = await client.deliveries()
                    now = trio.current_time()
                    for entry in entries:
                        if isinstance(entry, Mail) and entry.envelope not in known:
                            known.add(entry.envelope)
                            latencies.append(1_000 * (now - float(read_text(who, entry))))
                    await client.ack(entries[-1].offset)
        except* (LinkEnded, DialRefused):
            await trio.sleep(_AGAIN_S)


async def _talk(
    url: str,
    one: Person,
    other: Person,
    longpoll: bool,
    sent: list[int],
    quiet: trio.Event,
) -> None:
    """Write without waiting for the last answer; what a link that broke left unanswered is sent again."""
    waiting: dict[bytes, None] = {}

    async def write() -> None:
        while not quiet.is_set():
            parcel = seal(one, other, f"{trio.current_time()}", system.now()).parcel
            sent.append(len(parcel))
            waiting[parcel] = None
            await trio.sleep(_PAUSE_S)

    async def say(client: RelayClient, parcel: bytes) -> None:
        (outcome,) = await client.send([parcel])
        if not isinstance(outcome, ParcelAccepted):
            raise AssertionError(f"an honest message was refused: {outcome}")
        waiting.pop(parcel, None)

    async with trio.open_nursery() as writing:
        writing.start_soon(write)
        while waiting or not quiet.is_set():
            try:
                async with session(url, one, longpoll=longpoll) as client, trio.open_nursery() as nursery:
                    under_way: set[bytes] = set()
                    while waiting or not quiet.is_set():
                        for parcel in [each for each in waiting if each not in under_way]:
                            under_way.add(parcel)
                            nursery.start_soon(say, client, parcel)
                        await trio.sleep(_PAUSE_S / 4)
            except* (LinkEnded, DialRefused):
                await trio.sleep(_AGAIN_S)


async def _watch(process: psutil.Process, memory: list[float]) -> None:
    while True:
        memory.append(process.memory_info().rss / _MIB)
        await trio.sleep(0.25)
