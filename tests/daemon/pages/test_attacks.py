"""What a page, a program or another tab tries against the dashboard, beside what each room's tests have."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from taskferry_apps.daemon.pages.live import LiveBody, Streams
from taskferry_apps.daemon.pages.typed import moment_typed
from taskferry_apps.daemon.port import DaemonRefusal
from taskferry_apps.page_kit.words import exact
from taskferry_protocol.ids import Instant
from taskferry_protocol.limits import TIME_LIMIT
from taskferry_stores.port import StoreFailed, StoreFull
from tests.daemon.worlds import OWNER

from .browsing import inert

TURNED = "tool\u202etxt.exe"


async def test_line_that_a_button_leaves_shows_what_is_hidden_in_it(alice):
    """It may name what a program calls itself, or what a peer's side answered."""
    secret = alice.guests.cookie.partition("=")[2]
    alice.api.daemon.browsers.leave_notice(secret, f"{TURNED} <b>is</b> bound no more.")
    text = await alice.page("/dashboard")
    assert "tool&lt;U+202E&gt;txt.exe" in text
    assert "&lt;b&gt;is&lt;/b&gt;" in text


async def test_refusal_shows_what_is_hidden_in_what_it_repeats(alice):
    """Of the address, or of what a relay said."""
    for path in ("/dashboard/tasks?state=%E2%80%AE", "/dashboard/peers/@%E2%80%AE"):
        answer = await alice.get(path)
        assert answer.status in (400, 404)
        inert(answer)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (StoreFull("full"), "The disk is full"),
        (StoreFailed("lost"), "whether this was stored is not known"),
        (RuntimeError("odd"), "it is a fault of its own"),
    ],
)
async def test_what_fails_below_a_page_is_told_on_a_page(alice, monkeypatch, fault, words):
    """For people, and not that nothing was sent where nobody knows."""

    async def fail(*_: object) -> None:
        raise fault

    monkeypatch.setattr(alice.api.daemon.devices, "rename", fail)
    answer = await alice.press("/dashboard/devices", do="rename", device="ab", label="desk")
    assert answer.status >= 500
    assert answer.headers["content-type"].startswith("text/html")
    text = inert(answer)
    assert words in text
    assert "Nothing was sent" not in text


async def test_browser_that_comes_in_while_all_are_put_out_is_put_out(alice):
    """Its ticket was used before, its session would begin after: it gets none."""
    browsers, core = alice.api.daemon.browsers, alice.api.daemon._core
    ticket, _ = browsers.invite_browser(OWNER, "/dashboard")
    let_in = []

    async def come() -> None:
        let_in.append(await browsers.let_in(ticket))

    async with trio.open_nursery() as nursery, core.lock:
        nursery.start_soon(come)
        await trio.testing.wait_all_tasks_blocked()
        browsers.sign_out_everywhere(OWNER)
    assert let_in == [None]


@pytest.mark.parametrize("typed", ["9999-12-31T23:59:59-23:59", "0001-01-01T00:00+23:59"])
def test_time_beyond_the_calendar_is_refused(typed):
    """By its zone it lies outside the years that there are."""
    with pytest.raises(DaemonRefusal) as refused:
        moment_typed(typed, Instant(0), "until")
    assert refused.value.code == "bad-value"


async def test_browser_that_goes_before_its_stream_begins_takes_no_place():
    """Pages that are left at once would else use up the places of all."""
    streams = Streams()
    bodies = [LiveBody(trio.Event, lambda: False, lambda: True, trio.Event(), streams) for _ in range(3)]
    assert streams.open == 0
    async with bodies[0] as hints:
        assert streams.open == 1
        assert b"open" in await anext(aiter(hints))
    assert streams.open == 0


def test_time_that_a_peer_names_beyond_every_calendar_is_shown_as_the_last():
    """An invite may end in a year that no calendar has, and its page is shown."""
    assert exact(TIME_LIMIT - 1).startswith("31 December 9999")
