"""Places to meet at the relay: two sides, small letters, short lives, bounds that strangers cannot move."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from quart_trio import QuartTrio

from taskferry_apps import system
from taskferry_apps.daemon.linking import _Attempt, _over
from taskferry_apps.relay.meetings import (
    LETTERS,
    MEETINGS_PATH,
    PLACES,
    PLACES_OF_ONE,
    PLACES_OF_PROVIDER,
    PLACES_OF_SITE,
    TOKEN_HEADER,
    Meetings,
    Refused,
    mount_meetings,
)
from taskferry_protocol.devices import DeviceKeys
from taskferry_protocol.ids import Instant
from taskferry_protocol.limits import LINKING_LETTER_BYTES, LINKING_MS
from taskferry_protocol.linking import Joining, LinkingPhase, read_place, show_place

from .conftest import House


class _Clock:
    def __init__(self) -> None:
        self.now = Instant(1_800_000_000_000)

    def __call__(self) -> Instant:
        return self.now


def _meetings() -> tuple[Meetings, _Clock]:
    clock = _Clock()
    return Meetings(clock, system.entropy), clock


async def test_nothing_to_take_is_an_answer_without_a_body():
    """Whoever asks for a letter that is not there yet gets 204, to its end."""
    meetings, _ = _meetings()
    app = QuartTrio("meetings")
    mount_meetings(app, meetings)
    place, first = meetings.open("203.0.113.9")
    meetings.join(place)
    answer = await app.test_client().get(f"{MEETINGS_PATH}/{place}", headers={TOKEN_HEADER: first})
    assert answer.status_code == 204
    assert await answer.get_data() == b""


async def test_two_sides_exchange_letters_in_order():
    """Each reads what the other left, by number, whenever it asks; nobody reads its own."""
    meetings, _ = _meetings()
    place, first = meetings.open("203.0.113.9")
    second = meetings.join(place)
    meetings.leave_letter(place, first, b"one")
    meetings.leave_letter(place, first, b"two")
    meetings.leave_letter(place, second, b"uno")
    assert await meetings.letter(place, second, 0, 0) == b"one"
    assert await meetings.letter(place, second, 1, 0) == b"two"
    assert await meetings.letter(place, first, 0, 0) == b"uno"
    assert await meetings.letter(place, first, 1, 0) is None


async def test_whoever_waits_is_given_the_letter_when_it_comes():
    """A long-poll ends with the letter, or with the place."""
    meetings, _ = _meetings()
    place, first = meetings.open("203.0.113.9")
    second = meetings.join(place)
    got: list[bytes | None] = []

    async def wait() -> None:
        got.append(await meetings.letter(place, second, 0, 20))

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
            meetings.leave_letter(place, first, b"one")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(meetings.letter, place, first, 0, 20)
            await trio.testing.wait_all_tasks_blocked()
            meetings.end(place, second)
    assert got == [b"one"]


def test_a_third_side_a_wrong_token_and_an_unknown_place_learn_nothing():
    """Two meet, no third; a wrong token is answered as an unknown place is."""
    meetings, _ = _meetings()
    place, first = meetings.open("203.0.113.9")
    for name, token in ((place, "wrong"), ("a" * 16, first)):
        with pytest.raises(Refused) as refused:
            meetings.leave_letter(name, token, b"x")
        assert (refused.value.status, refused.value.code) == (404, "no-such-place")
    meetings.join(place)
    with pytest.raises(Refused) as refused:
        meetings.join(place)
    assert refused.value.status == 409


def test_letters_are_few_and_small():
    """Nobody keeps anything at a relay that way."""
    meetings, _ = _meetings()
    place, first = meetings.open("203.0.113.9")
    for letter in (b"", bytes(LINKING_LETTER_BYTES + 1)):
        with pytest.raises(Refused) as refused:
            meetings.leave_letter(place, first, letter)
        assert refused.value.status == 413
    for _ in range(LETTERS):
        meetings.leave_letter(place, first, b"x")
    with pytest.raises(Refused) as refused:
        meetings.leave_letter(place, first, b"x")
    assert refused.value.status == 429


def test_a_machine_that_has_agreed_does_not_say_that_nothing_was_signed():
    """Its consent may still be used when its own ten minutes are over."""
    keys = DeviceKeys.generate_managing("laptop", system.entropy)
    joining = Joining.begin(keys, bytes(32), Instant(0))
    assert "nothing was signed" in _over(_Attempt(joining=joining))
    joining.phase = LinkingPhase.CONFIRMED
    assert "nothing was signed" not in _over(_Attempt(joining=joining))


def test_a_place_is_gone_after_ten_minutes():
    """And so is what was left there."""
    meetings, clock = _meetings()
    place, first = meetings.open("203.0.113.9")
    clock.now = Instant(clock.now + LINKING_MS)
    with pytest.raises(Refused) as refused:
        meetings.leave_letter(place, first, b"late")
    assert refused.value.status == 404


def test_one_address_takes_few_places_and_all_together_are_bounded():
    """By IPv6 customer, too; this machine's own programs are bound by the whole alone."""
    meetings, _ = _meetings()
    for number in range(PLACES_OF_ONE):
        meetings.open(f"2001:db8::{number + 1:x}")
    with pytest.raises(Refused) as refused:
        meetings.open("2001:db8::ffff")
    assert refused.value.status == 429
    for _ in range(PLACES - PLACES_OF_ONE):
        meetings.open("127.0.0.1")
    with pytest.raises(Refused) as refused:
        meetings.open("127.0.0.1")
    assert refused.value.status == 503


def test_whoever_holds_a_whole_network_leaves_places_to_others():
    """Each try comes from another customer's network: a site's and a provider's share end all the same."""
    for network, most in (("2001:db8:7:{:x}::1", PLACES_OF_SITE), ("2001:db8:{:x}::1", PLACES_OF_PROVIDER)):
        meetings, _ = _meetings()
        for number in range(most):
            meetings.open(network.format(number))
        for number in range(most, PLACES + 1):
            with pytest.raises(Refused) as refused:
                meetings.open(network.format(number))
            assert refused.value.status == 429
        meetings.open("2001:db9::1")


def test_a_code_is_read_in_groups_or_not_and_nothing_else_is():
    """It becomes part of an address: no path, no other letters."""
    meetings, _ = _meetings()
    place, _ = meetings.open("127.0.0.1")
    assert read_place(f" {show_place(place).upper()} ") == place
    for text in ("", place[:-1], f"{place}a", "../../../../../ab", "l" * 16, "é" * 16):
        with pytest.raises(Exception, match="code"):
            read_place(text)


def test_over_http_strangers_are_told_a_status(house: House):
    """The real relay: methods, sizes and tokens as in the specification."""
    import httpx

    fresh = httpx.Limits(max_keepalive_connections=0)
    with httpx.Client(base_url=house.relay, limits=fresh) as http:
        made = http.post("/v1/meetings").json()
        place = f"/v1/meetings/{made['place']}"
        mine = {"TaskFerry-Meeting": made["token"]}
        theirs = {"TaskFerry-Meeting": http.post(f"{place}/join").json()["token"]}
        assert http.post(f"{place}/join").status_code == 409
        assert http.post(place, content=b"x").status_code == 404
        assert http.post(place, content=b"x", headers=mine).status_code == 200
        assert http.get(place, params={"after": "0", "wait": "5"}, headers=theirs).content == b"x"
        assert http.get(place, params={"after": "1"}, headers=theirs).status_code == 204
        assert http.get(place, params={"after": "-1"}, headers=theirs).status_code == 400
        assert http.post(place, content=bytes(3_000), headers=mine).status_code == 413
        assert http.delete(place, headers=theirs).status_code == 200
        assert http.get(place, headers=mine).status_code == 404
