"""Looking at a relay that lies: whatever it answers, the doctor comes to an end, soon and in few bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from taskferry_apps.cli import asking
from taskferry_apps.cli.doctor_checks import Look
from taskferry_apps.cli.doctor_network import relay_from_here
from taskferry_apps.cli.doctor_relay import _says
from tests.transports.lying_server import DEEP, LIES, answering, said, serving

HEAD = b"HTTP/1.1 200 OK\r\nDate: %s\r\nContent-Length: 2\r\n\r\n{}"


async def looks_at(url: str) -> list[Look]:
    """All that the doctor says of a relay without opening a session."""

    def look() -> list[Look]:
        return [*relay_from_here(url, clock=True), *_says(url, None)]

    return await trio.to_thread.run_sync(look)


@asynccontextmanager
async def endless(first: bytes, more: bytes, pause_s: float) -> AsyncIterator[str]:
    """The address of a server that answers `first`, and then `more` for ever."""

    async def serve(stream: trio.SocketStream) -> None:
        await stream.receive_some(65_536)
        await stream.send_all(first)
        while True:
            await stream.send_all(more)
            await trio.sleep(pause_s)

    async with serving(serve) as url:
        yield url


@pytest.mark.parametrize(
    ("first", "more", "pause_s"),
    [
        (b"HTTP/1.1 200 OK\r\nX: ", b"y", 0.05),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b"y", 0.05),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"y" * 65_536, 0.0),
    ],
    ids=["head", "body", "flood"],
)
async def test_an_answer_that_does_not_end_holds_up_nobody(
    monkeypatch: pytest.MonkeyPatch, first: bytes, more: bytes, pause_s: float
) -> None:
    """Neither a byte at a time, which is a sign of life each, nor all at once."""
    monkeypatch.setattr(asking, "_PATIENCE_S", 0.5)
    with trio.fail_after(20):
        async with endless(first, more, pause_s) as url:
            looks = await looks_at(url)
    assert [look.check for look in looks if look.level in ("warn", "fail")] == ["relay from here", "status"]


@pytest.mark.parametrize("lie", sorted(LIES))
async def test_an_answer_that_leads_nowhere_is_told(lie: str) -> None:
    """Redirects to no address, and JSON without end."""
    async with answering(LIES[lie]) as url:
        looks = await looks_at(url)
    assert looks[-1].level == "warn"


async def test_a_page_of_status_that_nests_without_end_is_none() -> None:
    """The reader of JSON would stumble."""
    async with answering(said(b"{}"), said(DEEP)) as url:
        looks = await looks_at(url)
    assert (looks[-1].check, looks[-1].level) == ("status", "warn")


@pytest.mark.parametrize(
    "date", [b"Mon, 01 Jan 2020 00:00:00 +99999999999999999999", b"Mon, 01 Jan 99999999999999999999 00:00:00"]
)
async def test_a_date_beyond_all_calendars_is_no_date(date: bytes) -> None:
    """It says nothing about this machine's clock."""
    async with answering(HEAD % date) as url:
        looks = await looks_at(url)
    assert "clock" not in [look.check for look in looks]
