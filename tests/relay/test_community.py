"""The community: public agents and nobody else, their words as text, and a crowd that looks."""

from __future__ import annotations

import re

import attrs
import pytest
import trio

from taskferry_apps import system
from taskferry_apps.relay.account_office import AccountOffice
from taskferry_apps.relay.core import Policy
from taskferry_apps.relay.directory import PAGE, listing_change
from taskferry_apps.relay.limits import USUAL
from taskferry_apps.relay.turnstile import Busy, Turnstile
from taskferry_protocol.accounts import set_agent
from taskferry_protocol.calls import PutCard
from taskferry_protocol.cards import Card, Visibility, read_card, sign_card
from taskferry_protocol.ids import Instant
from taskferry_protocol.limits import TIME_LIMIT
from taskferry_protocol.records import AppendStatements, CardRecord, DropSetting
from taskferry_protocol.records import PutCard as StoreCard

from .conftest import ORIGIN, serving
from .people import person
from .test_ops_pages import served


def card_of(who, now, version=1, **words):
    """A signed public card, or whichever."""
    card = Card(who.agent, version, now, who.log.position, visibility=Visibility.PUBLIC)
    return sign_card(attrs.evolve(card, **words), who.manage)


async def shown(world, text="", capability="", tag=""):
    """The handles that a search finds."""
    page = await world.relay.directory.find(text, capability, tag, None)
    return [listing.handle for listing in page.listings]


async def test_an_owner_opts_in_and_out(world):
    """A private card is listed nowhere, a public one is, and vanishes when it becomes private again."""
    alice = world.alice
    async with world.open(alice) as client:
        await client.call(PutCard(card_of(alice, world.now, visibility=Visibility.PRIVATE)))
        assert await shown(world) == []
        await client.call(PutCard(card_of(alice, world.now, 2, capabilities=("Review",), tags=("go",))))
        assert await shown(world) == ["@alice/agent"]
        assert await shown(world, capability="review") == ["@alice/agent"]
        assert await shown(world, text="@ALICE/") == ["@alice/agent"]
        assert await shown(world, tag="GO", capability="nothing") == []
        await client.call(PutCard(card_of(alice, world.now, 3, visibility=Visibility.PRIVATE)))
    assert await shown(world) == []


async def test_a_suspended_account_vanishes_and_comes_back(world):
    """At once, for every search."""
    async with world.open(world.alice) as client:
        await client.call(PutCard(card_of(world.alice, world.now, tags=("go",))))
    office = AccountOffice(world.store, world.clock.now, "page")
    await office.suspend("alice", "spam")
    assert await shown(world) == await shown(world, tag="go") == []
    await office.release("alice")
    assert await shown(world) == ["@alice/agent"]


async def test_an_agent_that_no_device_serves_is_not_shown(world):
    """Its card is still there, and nobody would answer."""
    alice = world.alice
    async with world.open(alice) as client:
        await client.call(PutCard(card_of(alice, world.now)))
    gone = set_agent(alice.log.state, "agent", [], at=world.now, by=alice.manage)
    alice.log = alice.log.extend([gone])
    async with world.open(alice):
        pass
    assert await shown(world) == []


async def test_a_card_that_somebody_has_slipped_in_is_not_shown(world):
    """What is not signed by its owner is nobody's word, whatever the database says."""
    alice, mallory = world.alice, person("mallory", 9, world.now)
    async with world.open(alice):
        pass
    forged = attrs.evolve(
        Card(alice.agent, 1, world.now, alice.log.position, visibility=Visibility.PUBLIC), tagline="pay me"
    )
    raw = sign_card(forged, mallory.manage)
    await world.store.commit([StoreCard(CardRecord(alice.agent, 1, True, raw)), listing_change(forged)])
    assert await shown(world) == []


async def test_what_was_public_before_there_was_a_directory_is_listed(store):
    """Once, at the first start."""
    now = system.now()
    alice = person("alice", 1, now)
    log = alice.log
    await store.commit(
        [
            AppendStatements(log.account, "alice", None, 0, log.statements, log.position),
            StoreCard(CardRecord(alice.agent, 1, True, card_of(alice, now))),
            DropSetting("directory/filled"),
        ]
    )
    async with serving(store, Policy([ORIGIN])) as world:
        with trio.fail_after(10):
            while await shown(world) != ["@alice/agent"]:
                await trio.sleep(0.01)


NASTY = {
    "display_name": "\u202egro\u2066.evil <b>x</b>",
    "tagline": "[click](https://evil.example) <img src=x onerror=alert(1)>",
    "description": "<script>alert(1)</script>\n# Heading\n\x1b[31m" + "long " * 500,
    "capabilities": ('"><script>', "a" * 60),
    "tags": ("javascript:alert(1)",),
}


async def test_the_words_of_a_card_are_text(tmp_path):
    """Markup, Markdown, marks that turn text around and escapes: none acts, each stays to be read."""
    async with served(tmp_path) as site:
        now = system.now()
        nasty = person("nasty", 900, now)
        raw = card_of(nasty, now, **NASTY)
        card = read_card(raw, nasty.log)
        log = nasty.log
        await site.store.commit(
            [
                AppendStatements(log.account, "nasty", None, 0, log.statements, log.position),
                StoreCard(CardRecord(nasty.agent, 1, True, raw)),
                listing_change(card),
            ]
        )
        page = (await site.client.get("/community?q=@nasty/")).text
        assert "&lt;b&gt;x&lt;/b&gt;" in page
        assert "&lt;script&gt;alert(1)" in page
        assert "[click](https://evil.example)" in page
        assert not re.search(r"<script(?![^>]*src=\"/assets)|<img(?![^>]*src=\"/assets)|<b>", page)
        assert not set("\u202e\u2066\x1b") & set(page)
        assert 'href="javascript' not in page
        assert "taskferry connect YOUR-AGENT @nasty/agent" in page
        (agent,) = (await site.client.get("/v1/community?tag=javascript:alert(1)")).json()["agents"]
        assert agent["handle"] == "@nasty/agent"


async def test_a_card_from_beyond_every_calendar_breaks_nobodys_page(tmp_path):
    """Its owner says when it was made: page and JSON show the last moment that calendars have."""
    async with served(tmp_path) as site:
        odd = person("odd", 900, system.now())
        raw = card_of(odd, Instant(TIME_LIMIT - 1))
        card, log = read_card(raw, odd.log), odd.log
        await site.store.commit(
            [
                AppendStatements(log.account, "odd", None, 0, log.statements, log.position),
                StoreCard(CardRecord(odd.agent, 1, True, raw)),
                listing_change(card),
            ]
        )
        page = await site.client.get("/community")
        assert (page.status_code, "@odd/agent" in page.text) == (200, True)
        (agent,) = (await site.client.get("/v1/community?q=@odd/")).json()["agents"]
        assert agent["updated_at"].startswith("9999-12-31T")


async def test_pages_go_on_and_the_json_is_the_same(tmp_path):
    """Every public agent once, newest first, by the cursor; the links of the page lead the same way."""
    async with served(tmp_path) as site:
        handles, cursor = [], ""
        while True:
            answer = (await site.client.get(f"/v1/community?after={cursor}")).json()
            handles += [agent["handle"] for agent in answer["agents"]]
            cursor = answer["cursor"]
            if not answer["more"]:
                break
        assert handles == [f"@owner{n:06}/agent" for n in reversed(range(55))]
        page = (await site.client.get("/community")).text
        following = re.findall(r'href="(/community\?after=[^"]+)"', page)[0]
        assert f"@owner{55 - PAGE - 1:06}/agent" in (await site.client.get(following)).text
        narrow = (await site.client.get("/community?q=number+7+&capability=translation")).text
        assert "@owner000007/agent" in narrow
        assert "@owner000008/agent" not in narrow


@pytest.mark.parametrize(
    "query", ["q=" + "x" * 101, "tag=" + "x" * 5_000, "after=x", "after=-1", "after=9" * 30, "after=0"]
)
async def test_questions_that_cannot_be_meant_are_explained(tmp_path, query):
    """A page or an error with a code, and the database is not asked."""
    async with served(tmp_path) as site:
        assert (await site.client.get(f"/community?{query}")).status_code == 400
        refused = await site.client.get(f"/v1/community?{query}")
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "bad-value")


async def test_a_card_of_a_time_that_no_calendar_has_spoils_no_page(tmp_path):
    """It is its owner's to say when; everybody else's agents are shown beside it."""
    async with served(tmp_path) as site:
        late = person("late", 901, system.now())
        raw = card_of(late, Instant(TIME_LIMIT - 1))
        log = late.log
        await site.store.commit(
            [
                AppendStatements(log.account, "late", None, 0, log.statements, log.position),
                StoreCard(CardRecord(late.agent, 1, True, raw)),
                listing_change(read_card(raw, log)),
            ]
        )
        assert "@late/agent" in (await site.client.get("/community")).text
        agents = (await site.client.get("/v1/community")).json()["agents"]
        assert (agents[0]["handle"], agents[0]["updated_at"]) == ("@late/agent", "9999-12-31T23:59:59Z")
        assert len(agents) == PAGE


async def test_an_operator_turns_it_off(tmp_path):
    """No page, no JSON, no link to it."""
    async with served(tmp_path, community="no") as site:
        for path in ("/community", "/v1/community"):
            assert (await site.client.get(path)).status_code == 404
        assert "/community" not in (await site.client.get("/")).text


async def test_a_crowd_is_turned_away_and_harms_nobody():
    """So many wait, the rest hear it at once, and all who waited get their turn."""
    turnstile, done, busy = Turnstile(), [], []
    gate = trio.Event()

    async def visit(n):
        try:
            async with turnstile.passed():
                await gate.wait()
                done.append(n)
        except Busy:
            busy.append(n)

    async with trio.open_nursery() as nursery:
        for n in range(10_000):
            nursery.start_soon(visit, n)
        with trio.fail_after(10):
            while len(done) + len(busy) + USUAL.pages_waiting + 1 < 10_000:
                await trio.sleep(0.01)
        gate.set()
    assert len(done) == USUAL.pages_waiting + 1
    assert len(busy) == 10_000 - USUAL.pages_waiting - 1
