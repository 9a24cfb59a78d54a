"""A daemon's local port, attacked by another user of the machine and by a web page."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
import trio

from taskferry_apps.demo.stage import Stage
from tests.floods.wire import Ledger, Target, Tell, get, heard, opened

_MIB = 1_048_576
SECONDS = 8.0
#: 300 connections that say nothing, of 64 KiB each, and what is received of a few large bodies.
GROWTH_MIB = 48


async def _silent(target: Target, tell: Tell) -> None:
    while True:
        async with await opened(target, "127.0.0.1") as stream:
            tell(await heard(stream, 40))


async def _large(target: Target, tell: Tell) -> None:
    lines = ["POST /messages/send HTTP/1.1", f"Host: {target.host}:{target.port}", "Connection: close"]
    while True:
        async with await opened(target, "127.0.0.1") as stream:
            tell(await get(stream, [*lines, "Content-Length: 999999999"]))
        await trio.sleep(0.1)


async def _page(target: Target, tell: Tell) -> None:
    """What a web page can make a browser ask, as fast as it goes."""
    own = f"Host: {target.host}:{target.port}"
    asked = (
        ("GET /events HTTP/1.1", own, "Origin: https://evil.example"),
        ("GET /inbox?wait=30 HTTP/1.1", own, "Sec-Fetch-Site: cross-site"),
        ("GET /events HTTP/1.1", "Host: evil.example"),
        ("GET /events HTTP/1.1", own, "Authorization: Bearer guessed"),
    )
    while True:
        async with await opened(target, "127.0.0.1") as stream:
            for lines in asked:
                tell(await get(stream, lines))


@pytest.mark.journey
def test_a_daemon_under_attack_answers_its_owner_and_holds_little(tmp_path: Path) -> None:
    """Nothing hangs for ever, and whoever has no credential is told so."""
    with Stage(tmp_path) as stage:
        machine = stage.start_daemon("alice", "warning")
        place = urlsplit(machine.url)
        target = Target(str(place.hostname), int(place.port or 0))
        (process,) = [
            child
            for child in psutil.Process().children(recursive=True)
            if any(connection.laddr.port == target.port for connection in child.net_connections())
        ]
        before = process.memory_info().rss
        ledger = Ledger()

        async def attack() -> None:
            async with trio.open_nursery() as nursery:
                for _ in range(300):
                    nursery.start_soon(_silent, target, ledger.of("silent"))
                nursery.start_soon(_large, target, ledger.of("large"))
                for _ in range(4):
                    nursery.start_soon(_page, target, ledger.of("page"))
                await trio.sleep(1)
                ends = trio.current_time() + SECONDS
                with machine.client() as client:
                    while trio.current_time() < ends:
                        with trio.fail_after(10):
                            found = await trio.to_thread.run_sync(client.get, "/health")
                        assert found
                        await trio.sleep(0.2)
                nursery.cancel_scope.cancel()

        trio.run(attack)
        assert (process.memory_info().rss - before) / _MIB < GROWTH_MIB
        assert set(ledger.outcomes["large"]) == {"body-too-large"}
        assert not any(code.startswith("HTTP 2") for code in ledger.outcomes["page"]), ledger.outcomes
