"""The relay's page about an invite: safe to show to anybody, and without what opens it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import pytest
from quart_trio import QuartTrio

from taskferry_apps.relay.invite_page import add_invite_page
from taskferry_apps.relay.pages import Pages, PublicAddress
from taskferry_protocol.calls import PutCard, PutInvite, WithdrawInvite
from taskferry_protocol.cards import Card, Visibility, sign_card
from taskferry_protocol.ids import fingerprint
from taskferry_protocol.invites import invite_code

from .people import DAY_MS
from .test_invites import ID, invite

PATH = f"/invite/{invite_code(ID)}"


def card(of, now, visibility=Visibility.PUBLIC, name="Ada\u202e<b>"):
    """A person's card."""
    tagline = "<script>alert(1)</script>"
    made = Card(of.agent, 1, now, of.log.position, name, tagline, "", (), (), visibility)
    return sign_card(made, of.manage)


@pytest.fixture
async def site(world):
    """A relay with an invite of Alice's, and a client of its pages."""
    pages = Pages(PublicAddress("https://relay.example/ferry"))
    app = QuartTrio("invites", static_folder=None)
    pages.mount(app)
    add_invite_page(app, world.relay.invites, pages)
    async with world.open(world.alice) as alice:
        await alice.call(PutInvite(invite(world.alice, world.now)))
    return app.test_client()


async def page(site, path=PATH):
    """Status and text."""
    answer = await site.get(path)
    return answer.status_code, await answer.get_data(as_text=True)


async def test_page_names_owner_agent_and_relay(world, site):
    """And how to open the link; whatever the card says is shown as text."""
    async with world.open(world.alice) as alice:
        await alice.call(PutCard(card(world.alice, world.now)))
    status, text = await page(site)
    assert status == 200
    assert "@alice/agent" in text
    assert "relay.example" in text
    assert f"<dt>Fingerprint</dt><dd><code>{fingerprint(world.alice.agent.account)}</code>" in text
    assert f"taskferry://relay.example/invite/{invite_code(ID)}" in text
    assert "taskferry open -" in text
    assert "&lt;script&gt;alert(1)" in text
    assert "<b>" not in text
    assert text.count("<bdi>") == 2
    assert re.search(r"<script(?![^>]*src=)|<style|style=|\son[a-z]+=", text) is None
    assert "/ferry/assets/invite.js" in text


async def test_page_holds_nothing_that_opens_the_invite(world, site):
    """Neither the secret nor its hash."""
    text = (await page(site))[1]
    for opening in ("secret=", "account=", "c2l4dGVlbiBzZWNyZXRzIQ"):
        assert opening not in text


async def test_private_card_stays_private(world, site):
    """The handle alone is shown: the link's holder is not connected yet."""
    async with world.open(world.alice) as alice:
        await alice.call(PutCard(card(world.alice, world.now, Visibility.PRIVATE, "Hidden")))
    text = (await page(site))[1]
    assert "@alice/agent" in text
    assert "Hidden" not in text


async def test_what_is_not_there_looks_alike(world, site):
    """Withdrawn, over, mistyped or never made: one page, status 404."""
    never = await page(site, f"/invite/{invite_code(bytes(16))}")
    assert never[0] == 404
    for path in ("/invite/x", "/invite/" + "A" * 21 + "B", "/invite/" + "A" * 23, "/invite/%00"):
        assert await page(site, path) == never
    world.clock.ahead_ms += DAY_MS
    assert await page(site) == never
    world.clock.ahead_ms = 0
    async with world.open(world.alice) as alice:
        await alice.call(WithdrawInvite(ID))
    assert await page(site) == never


PAGE = """
const nodes = {}
for (const id of ["whole", "link", "open", "partly", "beginning"])
  nodes[id] = { dataset: { link: "L" }, hidden: id === "whole" }
globalThis.document = { getElementById: (id) => nodes[id] }
globalThis.location = { hash: process.argv[1] }
process.stdin.on("data", (source) => { new Function(source)(); console.log(JSON.stringify(nodes)) })
"""


def script():
    """The page's script."""
    return Pages()._assets["invite.js"].decode()


def outcome(mark):
    """What the script makes of a page with this behind its address."""
    ran = subprocess.run(
        ["node", "-e", PAGE, mark], input=script(), capture_output=True, text=True, check=True
    )
    return json.loads(ran.stdout)


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not there")
@pytest.mark.parametrize("mark", ["", "#x", "#account=javascript:&secret=" + "s" * 22])
def test_script_takes_only_the_two_members(mark):
    """Anything else behind the mark leaves the page as it was."""
    assert "href" not in outcome(mark)["open"]
    assert outcome(mark)["whole"]["hidden"]


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not there")
def test_script_puts_the_whole_link_together():
    """In the browser alone."""
    mark = "#account=" + "a" * 43 + "&secret=" + "s" * 22
    assert outcome(mark)["open"]["href"] == outcome(mark)["link"]["textContent"] == f"L{mark}"


def test_script_speaks_to_nobody():
    """It has no means to send or keep what it saw."""
    assert not re.search(r"fetch|XMLHttp|sendBeacon|WebSocket|import|cookie|Storage", script())
