"""How many messages a second two daemons carry between ten agents each, asked through the local API.

Ten programs send at once, each as one agent to one agent of the other owner: a message a call, and then many
messages a call. A call is answered once its messages are committed. What is counted further is when the
sender has the last receipt. With a history, the sender's daemon keeps that already; a copy is used.
"""

from __future__ import annotations

import http.client
import json
import random
import shutil
import statistics
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

import attrs

from taskferry_apps.demo.stage import Machine, Stage, wait_until
from taskferry_apps.local_client import LocalClient

from .processes import BenchmarkFailed, cpu_seconds
from .results import Bar, Figure, Way
from .traffic import FULL, Workshop

__all__ = ["measure_daemon"]

AGENTS: Final = 10
GOAL: Final = Bar(Way.AT_LEAST, 2_000.0)
_PATIENCE_S: Final = 300.0
_RECEIPTS_S: Final = 300.0
_PAGE: Final = 200
_UNDER_WAY: Final = ("queued", "relayed")
#: A look costs the daemon as much as some messages.
_BETWEEN_LOOKS_S: Final = 0.25
#: A daemon imports in its own time what it does not need at once: that is no cost of a message.
_LEISURE_S: Final = {True: 12.0, False: 0.0}
#: Nobody whom the history knows: its peers have accounts of their own.
_READER: Final = "quinn"
TEXT_BYTES: Final = 1_024


@attrs.frozen
class Manner:
    """How messages are sent: so many of each agent, `at_once` in a call; `named` in the figures."""

    named: str
    each: int
    at_once: int


_SINGLE: Final = {True: Manner("", 500, 1), False: Manner("", 20, 1)}
_BATCH: Final = {True: Manner(", 256 a call", 2_048, 256), False: Manner(", 256 a call", 256, 256)}


def measure_daemon(shop: Workshop) -> list[Figure]:
    """Sends and receipts a second of ten agents, and what a message costs either daemon."""
    full = shop.scale is FULL
    manners = (_SINGLE[full], _BATCH[full])
    folder = shop.folder / "daemon"
    folder.mkdir()
    if shop.kept is not None:
        shop.tell(f"copying the history in {shop.kept}")
        shutil.copytree(shop.kept, folder / "alice", ignore=_no_leavings)
    with Stage(folder) as stage:
        shop.tell(f"connecting {AGENTS} agents of two owners")
        relay, _ = stage.start_relay("info")
        plenty = {
            "TASKFERRY_BREAKERS": "messages=100000,messages-a-day=100000",
            "TASKFERRY_RELAY_HTTP": relay,
        }
        alice, bob = (stage.start_daemon(owner, "warning", plenty) for owner in ("alice", "bob"))
        with alice.client() as sender, bob.client() as receiver:
            _connect(sender, receiver, relay)
            time.sleep(_LEISURE_S[full])
            figures: list[Figure] = []
            for manner in manners:
                shop.tell(f"sending {AGENTS * manner.each:,} messages{manner.named}")
                figures += _measure(manner, alice, bob, sender)
    return figures


def _no_leavings(_: str, names: list[str]) -> set[str]:
    # Where the original is, or was, is nothing to its copy, which has a relay of its own.
    return {name for name in names if name.endswith(".lock") or name in {"instance.json", "daemon.json"}}


def _measure(manner: Manner, alice: Machine, bob: Machine, sender: LocalClient) -> list[Figure]:
    before = [cpu_seconds(machine.pid) for machine in (alice, bob)]
    began = time.perf_counter()
    times = _send_all(alice, manner)
    sent_s = time.perf_counter() - began
    wait_until(lambda: _is_delivered(sender), "not every message was delivered", _RECEIPTS_S)
    received_s = time.perf_counter() - began
    after = [cpu_seconds(machine.pid) for machine in (alice, bob)]
    count = AGENTS * manner.each
    cuts = statistics.quantiles(times, n=100)
    cpu = [(now - then) / count * 1e6 for then, now in zip(before, after, strict=True)]
    name = manner.named
    return [
        Figure("daemon", f"sends{name}", count / sent_s, "/s", GOAL),
        Figure("daemon", f"receipts{name}", count / received_s, "/s", GOAL),
        Figure("daemon", f"a call{name}, p50", cuts[49] * 1e3, "ms"),
        Figure("daemon", f"a call{name}, p99", cuts[98] * 1e3, "ms"),
        Figure("daemon", f"sending daemon's CPU{name}", cpu[0], "us/message"),
        Figure("daemon", f"receiving daemon's CPU{name}", cpu[1], "us/message"),
    ]


def _is_linked(client: LocalClient) -> bool | None:
    told: Any = client.get("/health")
    return True if told["relay"]["connected"] else None


def _connect(sender: LocalClient, receiver: LocalClient, relay: str) -> None:
    """Set both owners up, and connect each agent with the one of its number."""
    told: Any = sender.get("/health")
    if not told["set_up"]:
        sender.post("/setup", {"owner": "alice", "relay": relay})
    receiver.post("/setup", {"owner": _READER, "relay": relay})
    for client in (sender, receiver):
        wait_until(partial(_is_linked, client), "a daemon did not reach the relay", _PATIENCE_S)
    for number in range(AGENTS):
        sender.post("/agents", {"handle": f"sender{number}"})
        receiver.post("/agents", {"handle": f"reader{number}"})
        sender.post("/connections/request", {"from": f"sender{number}", "to": f"@{_READER}/reader{number}"})
    wide = {"human_gate": False, "rate_per_minute": 1_000_000}

    def accepted() -> bool | None:
        found: Any = receiver.get("/connections", state="requested_in")["connections"]
        for one in found:
            receiver.post("/connections/accept", {"id": one["id"], "permissions": wide})
        done: Any = sender.get("/connections", state="accepted")["connections"]
        return True if len(done) == AGENTS else None

    wait_until(accepted, "the agents were not connected", _PATIENCE_S)


def _send_all(machine: Machine, manner: Manner) -> list[float]:
    """Let every agent send its messages; the seconds that each call took."""
    took: list[list[float]] = [[] for _ in range(AGENTS)]
    failed: list[str] = []

    def one(number: int) -> None:
        try:
            _send(machine, number, manner, took[number].append)
        except (OSError, http.client.HTTPException, BenchmarkFailed) as error:
            failed.append(repr(error))

    threads = [threading.Thread(target=one, args=(number,)) for number in range(AGENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise BenchmarkFailed(failed[0])
    return [seconds for of_one in took for seconds in of_one]


def _send(machine: Machine, number: int, manner: Manner, note: Callable[[float], None]) -> None:
    # By hand, since these threads share one processor with both daemons and the relay.
    address = urlsplit(machine.url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port)
    words = random.Random(f"{number} {manner.at_once}")
    said = {"from": f"sender{number}", "to": f"@{_READER}/reader{number}"}
    headers = {"Authorization": f"Bearer {machine.token}", "Content-Type": "application/json"}
    for _ in range(0, manner.each, manner.at_once):
        # No two alike: an agent that says the same over and over is stopped.
        messages = [{**said, "text": words.randbytes(TEXT_BYTES // 2).hex()} for _ in range(manner.at_once)]
        many = manner.at_once > 1
        path = "/messages/batch" if many else "/messages/send"
        body = json.dumps({"messages": messages} if many else messages[0])
        began = time.perf_counter()
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        text = answer.read()
        note(time.perf_counter() - began)
        if answer.status != http.HTTPStatus.OK or (many and json.loads(text)["failed"]):
            raise BenchmarkFailed(text.decode(errors="replace"))
    connection.close()


def _is_delivered(client: LocalClient) -> bool | None:
    """Whether the receipts of the latest messages are here; they come in the order of what they are for."""
    time.sleep(_BETWEEN_LOOKS_S)
    messages: Any = client.get("/messages", limit=_PAGE)["messages"]
    return True if all(message["delivery"]["rung"] not in _UNDER_WAY for message in messages) else None
