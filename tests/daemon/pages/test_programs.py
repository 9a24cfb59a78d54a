"""The page of programs: what acts as the owner's agents, credentials that are shown once, and wakes."""

from __future__ import annotations

import re

import pytest

from taskferry_apps.daemon.pages.owner import OWNER

from .browsing import ODD, fields_of

PLACE = "/dashboard/programs"


async def test_page_says_how_programs_are_brought_in(alice):
    """With the owner's one agent in the commands, to be copied."""
    text = (await alice.page(PLACE)).replace("<span>", "").replace("</span>", "")
    for runtime in ("claude-code", "codex", "openclaw", "hermes"):
        assert f"taskferry integrate {runtime} --agent requester" in text
    assert "taskferry mcp --agent requester" in text


async def test_bound_program_is_shown_and_unbound(alice):
    """Which acts as which agent, what it has in hand, and a button that ends it."""
    program = await alice.api.token("requester")
    bound = await program.ok("POST", "/runtimes", {"agent": "requester", "program": "tester"})
    text = await alice.page(PLACE)
    assert "tester" in text
    assert ">idle</span>" in text
    (runtime,) = fields_of(text, "runtime")
    assert runtime == bound["runtime"]["id"]
    text = await alice.done(PLACE, "", do="unbind", runtime=runtime)
    assert "is bound no more" in text
    again = await alice.press(PLACE, "", do="unbind", runtime=runtime)
    assert again.status == 404, "a form that is late ends nothing else"


async def test_credential_is_shown_on_the_answer_and_never_again(alice):
    """It works, it stands in no address, nothing keeps the answer, and no page repeats it."""
    (known,) = set(fields_of(await alice.page(PLACE), "known")) - {"0-none"} or {"0-none"}
    fields = {"do": "make", "known": known, "agent-requester": "yes", "label": "Claude <Code>"}
    answer = await alice.press(PLACE, "", **fields)
    assert (answer.status, answer.headers["cache-control"]) == (200, "no-store")
    assert "location" not in answer.headers
    (secret,) = re.findall(rb"<code[^>]*>(tfa_[A-Za-z0-9_-]+)</code>", answer.raw)
    assert b"<script" not in answer.raw, "a page that loads itself anew would lose it"
    holder = alice.api.holding(secret.decode())
    assert [agent["name"] for agent in (await holder.ok("GET", "/agents"))["agents"]] == ["requester"]
    text = await alice.page(PLACE)
    assert secret.decode() not in text
    assert "Claude &lt;Code&gt;" in text
    again = await alice.press(PLACE, "", **fields)
    assert again.status == 409, "loading the answer again makes no second one"
    assert len((await alice.api.ok("GET", "/tokens"))["tokens"]) == 1


async def test_credential_for_nobody_is_not_made(alice):
    """At least one agent, and only the owner's own."""
    for more in ({}, {"agent-other": "yes"}):
        answer = await alice.press(PLACE, "", do="make", known="0-none", **more)
        assert answer.status == 400
    assert (await alice.api.ok("GET", "/tokens"))["tokens"] == []


async def test_credential_is_ended(alice):
    """Whoever holds it is refused from then on."""
    program = await alice.api.token("requester")
    (token,) = fields_of(await alice.page(PLACE), "token")
    text = await alice.done(PLACE, "", do="end", token=token)
    assert "is ended" in text
    assert (await program.get("/agents")).status == 401
    assert fields_of(text, "token") == []


async def test_wake_is_added_tested_and_removed(alice):
    """The test really starts the command, and the page says how it went."""
    fields = {"do": "wake", "kind": "command", "agent": "requester", "known": "0-none"}
    text = await alice.done(PLACE, "", **fields, command="/bin/true\n--flag\n")
    assert "not tried yet" in text
    assert "/bin/true" in text
    (wake,) = set(fields_of(text, "wake"))
    assert "got through" in await alice.done(PLACE, "", do="test", wake=wake)
    again = await alice.press(PLACE, "", **fields, command="/bin/true")
    assert again.status == 409, "the same form twice"
    text = await alice.done(PLACE, "", do="forget", wake=wake)
    assert fields_of(text, "wake") == []


async def test_wake_that_fails_says_why(alice):
    """In the line that the button leaves, and in the list."""
    fields = {"do": "wake", "kind": "command", "agent": "requester", "known": "0-none"}
    text = await alice.done(PLACE, "", **fields, command="/bin/false")
    (wake,) = set(fields_of(text, "wake"))
    text = await alice.done(PLACE, "", do="test", wake=wake)
    assert "did not get through: It ended with 1." in text
    assert ">failed</span>" in text


async def test_webhooks_secret_is_shown_once(alice):
    """On the answer itself."""
    fields = {"do": "wake", "kind": "webhook", "agent": "requester", "known": "0-none"}
    answer = await alice.press(PLACE, "", **fields, url="https://hooks.example/x")
    (secret,) = re.findall(rb"(whsec_[A-Za-z0-9+/=]+)", answer.raw)
    assert secret.decode() not in await alice.page(PLACE)


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "webhook", "url": "file:///etc/passwd"},
        {"kind": "command", "command": ""},
        {"kind": "command", "command": "no-such-program-anywhere"},
        {"kind": "openclaw", "url": "http://127.0.0.1:18789"},
        {"kind": "codex", "thread": "-x"},
        {"kind": "spell"},
        {},
    ],
)
async def test_wake_that_could_never_work_is_refused(alice, fields):
    """Or that would go where it must not."""
    answer = await alice.press(PLACE, "", do="wake", agent="requester", known="0-none", **fields)
    assert answer.status == 400
    assert (await alice.api.ok("GET", "/wakes"))["wakes"] == []


async def test_page_stays_small_with_many_credentials(alice):
    """Those in force first, then those that ended last; and how many more there are."""
    for n in range(130):
        await alice.api.daemon.create_token(OWNER, ["requester"], f"n{n:03}")
    for token in (await alice.api.daemon.tokens(OWNER))[:25]:
        await alice.api.daemon.revoke_token(OWNER, token.id)
    text = await alice.page(PLACE)
    assert len(text.encode()) < 150_000
    assert text.count(">in force</span>") == 100
    assert text.count(">ended</span>") == 20
    assert "And 10 more" in text
    assert "n129" in text


async def test_programs_words_stay_words(alice):
    """A program's name and a credential's label are others' words."""
    program = await alice.api.token("requester")
    await alice.api.ok("POST", "/tokens", {"agents": ["requester"], "label": ODD[:60]})
    answer = await program.post("/runtimes", {"agent": "requester", "program": ODD[:60]})
    text = await alice.page(PLACE)
    assert "&lt;script&gt;alert(1)" in text
    assert answer.status in (200, 400)
