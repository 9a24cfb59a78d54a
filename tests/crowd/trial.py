"""Ten agents of one daemon, each with a program that waits, one that polls and one that streams, for minutes.

A sender on another machine writes to all of them. At the end each program has to have been told of every
message to its agent exactly once, and of nobody else's.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import attrs
import trio

from taskferry_apps.client import AsyncClient
from taskferry_apps.demo.stage import Machine, Stage, wait_until

__all__ = ["Lost", "Tally", "run_trial"]

PATIENCE_S: Final = 60.0
#: As much as one owner could want of another in a day; the trial is about programs, and no person looks on.
_LIMITS: Final = "messages=100000,messages-a-day=100000,events=100000,events-a-day=100000,repeats=100000"
_KINDS: Final = ("waiting", "polling", "streaming")
#: How often a program that polls does so.
_POLL_S: Final = 0.5


class Lost(AssertionError):
    """A program was not told of something, twice of it, or of what is not its agent's."""


@attrs.define
class Tally:
    """What was sent to each agent, and what each of its programs was told of: how often which message."""

    sent: dict[str, list[str]] = attrs.field(factory=dict)
    told: dict[tuple[str, str], Counter[str]] = attrs.field(factory=dict)
    seconds: float = 0.0

    @property
    def messages(self) -> int:
        """How many were sent."""
        return sum(map(len, self.sent.values()))

    @property
    def missing(self) -> int:
        """How many tellings are still to come."""
        return sum(len(set(self.sent[agent]) - told.keys()) for (agent, _), told in self.told.items())

    def check(self) -> None:
        """Nothing if all was told once. Raises Lost."""
        for (agent, kind), told in self.told.items():
            want = Counter(self.sent[agent])
            if told != want:
                lost, more = list((want - told).elements()), list((told - want).elements())
                raise Lost(f"{kind} as {agent}: {len(lost)} lost, {len(more)} told again or of others")


def run_trial(folder: Path, seconds: float, agents: int, pause_s: float) -> Tally:
    """Write to `agents` agents, a message to each every `pause_s` seconds. Raises Lost."""
    names = [f"worker-{number}" for number in range(agents)]
    with _stage(folder, names) as (alice, bob, sender, tokens):
        return trio.run(_crowd, alice, bob, sender, tokens, seconds, pause_s)


@contextmanager
def _stage(folder: Path, names: list[str]) -> Iterator[tuple[Machine, Machine, str, dict[str, str]]]:
    with Stage(folder) as stage:
        relay, _ = stage.start_relay()
        settings = {"TASKFERRY_BREAKERS": _LIMITS}
        alice, bob = (stage.start_daemon(owner, "warning", settings) for owner in ("alice", "bob"))
        with alice.client() as asking, bob.client() as answering:
            asking.post("/setup", {"owner": "alice", "relay": relay})
            answering.post("/setup", {"owner": "bob", "relay": relay})
            asking.post("/agents", {"handle": "sender"})
            tokens = {}
            for name in names:
                answering.post("/agents", {"handle": name})
                tokens[name] = str(answering.post("/tokens", {"agents": [name]})["token"])
                asking.post("/connections/request", {"from": "sender", "to": f"@bob/{name}"})

            def connected() -> bool | None:
                waiting = answering.get("/connections", state="requested_in")["connections"]
                for request in waiting if isinstance(waiting, list) else []:
                    wide = {"human_gate": False, "rate_per_minute": 10_000}
                    answering.post("/connections/accept", {"id": request["id"], "permissions": wide})
                done = asking.get("/connections", state="accepted")["connections"]
                return True if isinstance(done, list) and len(done) == len(names) else None

            wait_until(connected, "the agents were not connected", PATIENCE_S)
            sender = str(asking.post("/tokens", {"agents": ["sender"]})["token"])
        yield alice, bob, sender, tokens


async def _crowd(
    alice: Machine, bob: Machine, sender: str, tokens: dict[str, str], seconds: float, pause_s: float
) -> Tally:
    tally = Tally(
        {name: [] for name in tokens}, {(name, kind): Counter() for name in tokens for kind in _KINDS}
    )
    began = trio.current_time()
    async with trio.open_nursery() as programs:
        for name, token in tokens.items():
            for kind, program in zip(_KINDS, (_wait, _poll, _stream), strict=True):
                await programs.start(program, bob.url, token, tally.told[name, kind])
        async with trio.open_nursery() as writing:
            for name in tokens:
                writing.start_soon(_write, alice.url, sender, name, tally.sent[name], seconds, pause_s)
        with trio.move_on_after(PATIENCE_S):
            while tally.missing:
                await trio.sleep(_POLL_S)
            # Whatever would be told twice is told by now: every program has gone round once more.
            await trio.sleep(2 * _POLL_S)
        programs.cancel_scope.cancel()
    tally.seconds = trio.current_time() - began
    tally.check()
    return tally


async def _write(url: str, token: str, name: str, sent: list[str], seconds: float, pause_s: float) -> None:
    async with AsyncClient(url=url, token=token) as client:
        ends = trio.current_time() + seconds
        for number in itertools.count():
            if trio.current_time() >= ends:
                return
            done = await client.send_message(f"@bob/{name}", f"{number} for {name}")
            sent.append(done.message_id)
            await trio.sleep(pause_s)


async def _wait(
    url: str, token: str, told: Counter[str], task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Take what waits and mark it as processed, as a program does that works on its mail."""
    async with AsyncClient(url=url, token=token) as client:
        task_status.started()
        while True:
            page = await client.inbox(wait=20)
            for message in page.messages:
                told[message.id] += 1
                await client.acknowledge(message.id)


async def _poll(
    url: str, token: str, told: Counter[str], task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Look now and then for what is new behind the last place."""
    async with AsyncClient(url=url, token=token) as client:
        task_status.started()
        cursor = ""
        while True:
            page = await client.inbox(cursor=cursor, processed=True, header_only=True, limit=200)
            told.update(message.id for message in page.messages)
            cursor = page.cursor or cursor
            if not page.more:
                await trio.sleep(_POLL_S)


async def _stream(
    url: str, token: str, told: Counter[str], task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Follow the feed from its start."""
    async with AsyncClient(url=url, token=token) as client, client.events(after=0) as events:
        task_status.started()
        async for event in events:
            came = event.kind == "message" and event.facts.get("direction") == "in"
            if came and event.message_id is not None:
                told[event.message_id] += 1
