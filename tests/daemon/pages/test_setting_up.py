"""From a daemon without an account to one with: in the browser, with a ticket, or as one more machine."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from taskferry_apps.daemon.pages import PAGES
from taskferry_apps.daemon.pages.proofs import TRIES, Proofs
from taskferry_apps.daemon.service import Daemon
from taskferry_apps.relay.core import Policy
from taskferry_apps.relay.entrance import SignUp, digest_of
from taskferry_protocol.ids import Instant
from taskferry_protocol.records import PutTicket, TicketRecord
from tests.daemon.api.house import Behind, serve_api
from tests.daemon.worlds import OWNER, URL, Machine, World, a_world, set_up

from .browsing import Browser, inert, sign_in

FORM = "/dashboard/setup"
TICKET = "tft_" + "A" * 32
RELAY = "http://127.0.0.1:8080"


def words_of(answer) -> list[str]:
    """The recovery phrase on a page."""
    return re.findall(r"<li>([a-z]+)</li>", answer.raw.decode())


def places_of(answer) -> tuple[int, int]:
    """The numbers of the words that a page asks for."""
    first, second = re.findall(r"<label for=\"(?:first|second)\">Word ([0-9]+)</label>", answer.raw.decode())
    return int(first), int(second)


@pytest.mark.parametrize("rule", [rule for method, rule in PAGES if method == "GET" and "<" not in rule])
async def test_every_page_of_a_new_daemon_leads_to_the_set_up(newcomer, rule):
    """No page breaks for want of an account: each shows something, or leads to where one is made."""
    if rule in ("/sign-in", "/dashboard/live"):
        return
    answer = await newcomer.get(rule)
    if answer.status == 303:
        assert answer.headers["location"] in ("/setup", "/setup/link", "/dashboard")
    else:
        assert answer.status == 200
        inert(answer)


async def test_account_is_made_and_its_phrase_is_shown_on_the_answer_alone(newcomer):
    """24 words, in no address, kept by nobody, and on no page that can be asked for again."""
    fields = {"do": "begin", "owner": "carol", "relay": RELAY, "label": "laptop"}
    answer = await newcomer.press(FORM, "/setup", **fields)
    assert (answer.status, answer.headers["cache-control"]) == (200, "no-store")
    inert(answer)
    assert "<script" not in answer.raw.decode(), "a page that loads itself anew would lose it"
    words = words_of(answer)
    assert len(words) == 24
    await newcomer.api.daemon.recovery.check(OWNER, " ".join(words))
    assert (await newcomer.api.daemon.status()).owner == "carol"
    again = await newcomer.press(FORM, "/dashboard", **fields)
    assert again.status == 409
    assert words_of(again) == []
    shown = await newcomer.page("/dashboard/devices") + await newcomer.page("/dashboard")
    assert " ".join(words[:3]) not in shown


async def test_page_with_the_phrase_loaded_again_says_that_it_is_gone_and_what_helps(newcomer):
    """Sent again or asked for by its address: no word of it, nothing untrue, and three ways on."""
    for path in (FORM, f"{FORM}/phrase"):
        assert (await newcomer.get(path)).headers["location"] == "/setup"
    fields = {"do": "begin", "owner": "carol", "relay": RELAY, "label": "laptop"}
    made = await newcomer.press(FORM, "/setup", **fields)
    words, places = words_of(made), places_of(made)
    again = await newcomer.press(FORM, "/dashboard", **fields)
    assert (again.status, again.headers["cache-control"]) == (409, "no-store")
    for answer in (again, await newcomer.get(FORM), await newcomer.get(f"{FORM}/phrase")):
        text = inert(answer)
        assert "<h1>The recovery phrase is shown once</h1>" in text
        for part in ("@carol is there", "taskferry backup FILE --passphrase", "/dashboard/devices#link"):
            assert part in text
        assert "has not taken it yet" not in text
        assert "Try another name" not in text
        assert " ".join(words[:2]) not in text
        assert places_of(answer) == places, "it still asks for the two words"
    shown = dict(zip(("first", "second"), (words[place - 1] for place in places), strict=True))
    await newcomer.done(f"{FORM}/phrase", f"{FORM}/phrase", **shown)
    assert "You showed that you have it" in await newcomer.page(f"{FORM}/phrase")


async def test_two_words_show_that_the_phrase_was_written_down(newcomer):
    """Wrong ones are told and may be tried again; right ones are noted, and stand on the page of devices."""
    made = await newcomer.press(FORM, "/setup", do="begin", owner="carol", relay=RELAY)
    words, places = words_of(made), places_of(made)
    assert "not checked" in await newcomer.page("/dashboard/devices")
    first, second = (words[place - 1] for place in places)
    wrong = await newcomer.press(f"{FORM}/phrase", "/dashboard", first=second, second=first)
    if first != second:
        assert wrong.status == 409
        assert places_of(wrong) == places
        assert words_of(wrong) == []
    right = await newcomer.press(f"{FORM}/phrase", "/dashboard", first=f" {first.upper()} ", second=second)
    assert right.headers["location"] == "/dashboard"
    text = await newcomer.page("/dashboard/devices")
    assert "written down" in text
    assert "not checked" not in text


async def test_guessed_words_show_nothing(newcomer):
    """After a few tries nothing is asked any more, and the page says how the whole phrase is checked."""
    await newcomer.press(FORM, "/setup", do="begin", owner="carol", relay=RELAY)
    for _ in range(TRIES - 1):
        answer = await newcomer.press(f"{FORM}/phrase", "/dashboard", first="zoo", second="zoo zoo")
        assert answer.status == 409
    text = await newcomer.done(f"{FORM}/phrase", "/dashboard", first="zoo", second="zoo zoo")
    assert "taskferry recovery check" in text
    assert "not checked" in text


async def test_phrase_can_be_proved_later(newcomer):
    """The other way goes on to the dashboard, and proves nothing."""
    made = await newcomer.press(FORM, "/setup", do="begin", owner="carol", relay=RELAY)
    assert b'href="/dashboard">Later</a>' in made.raw
    await newcomer.page("/dashboard")
    assert "not checked" in await newcomer.page("/dashboard/devices")


def test_one_browser_proves_nothing_for_another():
    """Each is asked for its own words; and what is held is two words, not the phrase."""
    proofs = Proofs(lambda count: bytes(range(count)))
    phrase = " ".join(f"word{n:02}" for n in range(24))
    assert proofs.ask("one", phrase) == (1, 14)
    assert not proofs.check("other", "word00", "word13")
    assert "word05" not in repr(vars(proofs)["_asked"])
    assert proofs.check("one", "word00", "word13")
    assert not proofs.check("one", "word00", "word13"), "once is enough"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"owner": "Carol Smith", "relay": RELAY}, "A name is 1 to 32"),
        ({"owner": "carol", "relay": "http://relay.example"}, "is another machine: use https://"),
        ({"owner": "carol", "relay": "relay"}, "A relay&#39;s URL is https://"),
        ({"owner": "carol"}, "No relay is named."),
        ({"owner": "carol", "relay": RELAY, "ticket": "a b"}, "That is no ticket."),
        ({"owner": "carol", "ticket": "taskferry://relay.example/setup#ticket="}, "That link cannot be used"),
        (
            {"owner": "carol", "relay": RELAY, "ticket": f"taskferry://other.example/setup#ticket={TICKET}"},
            "The link is for other.example",
        ),
        ({"owner": "carol", "relay": RELAY, "label": "x" * 65}, "A label has 64 bytes"),
    ],
)
async def test_what_cannot_work_is_explained_and_the_form_is_kept(newcomer, fields, words):
    """What was typed stands in its fields, and no account was made."""
    answer = await newcomer.press(FORM, "/setup", do="begin", **fields)
    assert answer.status == 400
    text = inert(answer)
    assert words in text
    for value in fields.values():
        assert f'value="{value}"' in text
    assert not (await newcomer.api.daemon.status()).set_up


@asynccontextmanager
async def town(policy: Policy) -> AsyncIterator[tuple[World, Browser, Daemon]]:
    """A relay with that policy, and the browser of a newcomer, whose form may name it by any URL."""
    async with a_world(policy=policy) as world:
        behind = Behind(world.nursery, world.relay_store, world.clock, world.network)
        async with behind.running(Machine("carol")) as daemon:
            yield world, await sign_in(serve_api(daemon)), daemon


async def test_taken_name_is_explained_and_another_one_works():
    """The form is kept, but for what was wrong."""
    async with town(Policy([URL])) as (world, browser, _), world.running(Machine("alice")) as alice:
        await set_up(alice, "alice", "requester")
        refused = await browser.press(FORM, "/setup", do="begin", owner="alice", relay=RELAY, label="den")
        assert refused.status == 409
        text = inert(refused)
        for words in ("belongs to somebody else at this relay", 'value="alice"', 'value="den"'):
            assert words in text
        assert words_of(await browser.press(FORM, "/setup", do="begin", owner="carol", relay=RELAY))


async def test_ticket_is_asked_for_tried_and_used():
    """None, one that the relay does not know, and a good one."""
    async with town(Policy([URL], SignUp.TICKET)) as (world, browser, _):
        fields = {"do": "begin", "owner": "carol", "relay": RELAY}
        assert b"no new account without a ticket" in (await browser.press(FORM, "/setup", **fields)).raw
        unknown = await browser.press(FORM, "/setup", **fields, ticket=TICKET)
        assert b"does not know that ticket" in unknown.raw
        await _give_out(world)
        made = await browser.press(
            FORM, "/setup", **fields, ticket=f"taskferry://127.0.0.1:8080/setup#ticket={TICKET}"
        )
        assert len(words_of(made)) == 24
        assert TICKET.encode() not in made.raw


async def test_link_that_was_opened_leads_to_the_set_up_without_its_ticket():
    """The ticket stays with the daemon: no address and no page holds it, and it is used all the same."""
    async with town(Policy([URL], SignUp.TICKET)) as (world, browser, daemon):
        await _give_out(world)
        held = await daemon.links.hold(OWNER, f"taskferry://127.0.0.1:8080/setup#ticket={TICKET}")
        leads = await browser.get(f"/connect/{held.id}")
        assert leads.headers["location"] == f"/setup?link={held.id}"
        text = await browser.page(leads.headers["location"])
        assert "the ticket in the link that you opened" in text
        assert TICKET not in text + leads.headers["location"]
        wrong = await browser.press(FORM, "/setup", do="begin", owner="NO", link=held.id)
        assert wrong.status == 400
        assert f'name="link" value="{held.id}"' in inert(wrong)
        made = await browser.press(FORM, "/setup", do="begin", owner="carol", link=held.id)
        assert len(words_of(made)) == 24
        assert (await browser.get(f"/connect/{held.id}")).status == 404, "it is used, and forgotten"


async def test_link_that_is_over_or_damaged_is_explained(newcomer):
    """The form is there without it."""
    assert "not held any more" in await newcomer.page("/setup?link=" + "0" * 32)
    daemon = newcomer.api.daemon
    damaged = await daemon.links.hold(OWNER, "taskferry://relay.example/setup#ticket=")
    answer = await newcomer.get(f"/connect/{damaged.id}")
    assert answer.status == 400
    assert b"cut off or damaged" in answer.raw


async def test_relay_that_is_away_keeps_nobody_from_an_account():
    """The phrase is shown, with a word on the name; once the relay has refused it, another one is given."""
    async with town(Policy([URL])) as (world, browser, daemon):
        world.stop_relay()
        made = await browser.press(FORM, "/setup", do="begin", owner="carol", relay=RELAY)
        assert len(words_of(made)) == 24
        assert b"does not have the name yet" in made.raw
        text = await browser.page("/setup")
        assert "Try another name or ticket" in text
        assert 'value="carol"' in text
        again = await browser.press(FORM, "/setup", do="begin", owner="other", relay=RELAY)
        assert again.status == 409, "nothing was refused: the name stays"
        assert (await daemon.status()).owner == "carol"


async def test_account_without_keys_leads_to_its_recovery():
    """A machine that was restored makes no other account."""
    machine = Machine("alice")
    async with a_world() as world:
        async with world.running(machine) as daemon:
            await set_up(daemon, "alice", "requester")
        machine.vault.ring = None
        async with world.running(machine) as daemon:
            text = await (await sign_in(serve_api(daemon))).page("/setup")
            assert "taskferry recover" in text
            assert 'name="owner"' not in text


async def test_set_up_machine_has_no_need_of_the_page(alice):
    """It leads to the dashboard, and a form that is late makes nothing."""
    for path in ("/setup", "/setup/link"):
        answer = await alice.get(path)
        assert (answer.status, answer.headers["location"]) == (303, "/dashboard")
    followed = await alice.get("/setup/link", HX_Request="true")
    assert followed.headers["hx-redirect"] == "/dashboard", "a page that waited goes there by itself"
    answer = await alice.press(FORM, "/dashboard", do="begin", owner="other", relay=RELAY)
    assert answer.status == 409
    assert (await alice.api.daemon.status()).owner == "alice"
    begun = await alice.press(f"{FORM}/link", "/dashboard", do="begin", relay=RELAY)
    assert begun.status == 409


async def _give_out(world: World) -> None:
    now = world.clock.now()
    record = TicketRecord(digest_of(TICKET), "", now, Instant(now + 3_600_000))
    await world.relay_store.commit([PutTicket(record)])
