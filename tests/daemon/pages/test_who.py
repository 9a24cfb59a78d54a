"""Connections, what peers may send, peers, invites and standing rules on the dashboard."""

from __future__ import annotations

import re
from types import SimpleNamespace

import attrs
import pytest
import trio
from markupsafe import Markup

from taskferry_apps.daemon.barred import Item, Note, keep_note, said
from taskferry_apps.daemon.bonds import Bond
from taskferry_apps.daemon.draft import Draft
from taskferry_apps.daemon.gates_port import NewRule
from taskferry_apps.daemon.identity_changes import IdentityChange, What, put_change
from taskferry_apps.daemon.invite_port import NewInvite
from taskferry_apps.daemon.pages.grant_changes import changes
from taskferry_apps.daemon.pages.once import KEPT_S, MOST, Once
from taskferry_apps.daemon.pages.typed import moment_text, moment_typed, whole_typed
from taskferry_apps.daemon.port import DaemonRefusal, GrantChange, NewAgent
from taskferry_apps.daemon.views import GrantView
from taskferry_apps.page_kit import environment_of
from taskferry_apps.system import now
from taskferry_protocol.ids import AccountId, Instant, sha256
from taskferry_protocol.limits import DAY_MS, TIME_LIMIT
from taskferry_protocol.records import ConnectionState, PutQuarantine, QuarantineRecord
from tests.daemon.worlds import OWNER, until

from .rooms import requested

LIST = "/dashboard/connections"
PAIR = ("writer", "@alice/requester")


async def bond(room):
    """The connection in force, as Bob's daemon has it."""
    (one,) = await room.bob.connections(OWNER, "accepted", "writer")
    return one


# --- Connections


@pytest.mark.parametrize(("do", "gated"), [("accept-gated", True), ("accept-open", False)])
async def test_request_is_accepted_with_the_permission_that_was_chosen(room, do, gated):
    """Tasks wait, or go straight on; the page leads back to where it was pressed."""
    path = f"{LIST}/{(await requested(room)).id.hex()}"
    page = await room.done(path, await room.get(path), do=do, back="waiting")
    assert "@bob/coder is connected with @alice/requester." in page.text
    (one,) = await room.bob.connections(OWNER, "accepted", "coder")
    assert one.given.human_gate is gated
    assert (await room.refused(path, await room.get(path), do=do, trust=one.trust))[0] == 409


async def test_request_is_declined_with_a_line_and_a_pause(room):
    """Who asked is told from when on it may ask again."""
    path = f"{LIST}/{(await requested(room)).id.hex()}"
    assert (await room.refused(path, do="decline", again="soon"))[0] == 400
    await room.done(path, do="decline", reason="Not now", again="30d")

    async def told():
        return await room.alice.connections(OWNER, "ended", "")

    (one,) = await until(told)
    assert one.end_kind == "declined"
    assert 29 * DAY_MS < one.again_at - one.updated_at <= 30 * DAY_MS
    assert "may ask again" in (await room.get(LIST)).text


async def test_connection_is_ended_blocked_and_unblocked(room):
    """Each behind a second thought, and the block can be taken back by whoever made it alone."""
    path = f"{LIST}/{(await bond(room)).id.hex()}"
    page = await room.get(path)
    assert [do for do in page.buttons() if do in ("revoke", "block")] == ["revoke", "block"]
    assert len(page.of("details")) == 2
    page = await room.done(path, page, do="block")
    assert "@alice/requester is blocked." in page.text
    assert page.buttons() == ["unblock"]
    page = await room.done(path, page, do="unblock")
    assert "may ask again" in page.text
    assert page.buttons() == []
    assert (await room.refused(path, page, do="unblock"))[0] == 409


async def test_request_that_was_accepted_meanwhile_is_not_withdrawn(room):
    """The button said to withdraw a request, and would now end a connection: it does nothing."""
    await room.alice.create_agent(OWNER, NewAgent("planner"))
    asked = await room.bob.request_connection(OWNER, "writer", "@alice/planner", "")
    path = f"{LIST}/{asked.id.hex()}"
    page = await room.get(path)
    assert "Take the request back" in page.text

    async def there():
        return await room.alice.gates.requests(OWNER, 10)

    (request,) = await until(there)
    await room.alice.accept_connection(OWNER, request.id.hex(), GrantChange())

    async def accepted():
        return (await room.bob.gates.connection(OWNER, asked.id.hex())).state == "accepted"

    await until(accepted)
    for do in ("revoke", "block"):
        status, text = await room.refused(path, page, do=do)
        assert (status, "has changed since this page was made" in text) == (409, True)
    assert await accepted()
    await room.done(path, await room.get(path), do="revoke")


async def test_owner_asks_for_a_connection(room):
    """The form names the own agent, the peer and a note; a handle that is none is refused."""
    await room.alice.create_agent(OWNER, NewAgent("planner"))
    form = {"do": "ask", "from": "writer", "note": "May I?"}
    assert (await room.refused(LIST, to="planner", **form))[0] == 400
    page = await room.done(LIST, to="@alice/planner", **form)
    assert "@alice/planner was asked. Its owner decides." in page.text

    async def there():
        return await room.alice.gates.requests(OWNER, 10)

    (one,) = await until(there)
    assert one.note == "May I?"


async def test_connections_are_listed_by_state_and_agent(room):
    """Filters stand in the address; an empty list says what to do next; nonsense is refused in words."""
    path = f"{LIST}/{(await requested(room)).id.hex()}"
    assert "@bob/coder" in (await room.get(f"{LIST}?state=requested_in")).text
    table = (await room.get(f"{LIST}?agent=writer")).raw.decode().partition("<table>")[2]
    assert path not in table
    assert "None of that kind." in (await room.get(f"{LIST}?state=expired")).text
    for query in ("state=x", "cursor=x", "agent=@@"):
        await room.get(f"{LIST}?{query}", 400)
    await room.get(f"{LIST}/{'0' * 64}", 404)


@pytest.mark.parametrize(
    ("state", "end_kind", "words"),
    [
        ("requested_in", "", "requested in waits for your answer"),
        ("requested_out", "", "requested out waits for the other owner's answer"),
        ("accepted", "", "accepted"),
        ("ended", "revoked", "ended revoked"),
        ("ended", "blocked", "ended blocked"),
        ("ended", "declined", "ended declined; may ask again soon"),
        ("expired", "", "expired"),
    ],
)
def test_connections_state_has_the_word_of_the_terminal_and_what_it_means(state, end_kind, words):
    """Whoever reads the word on a page finds it in the documents, and can ask the command line for it."""
    again = Instant(now() + 30_000) if end_kind == "declined" else None
    one = SimpleNamespace(state=state, end_kind=end_kind, again_at=again)
    who = vars(environment_of("taskferry_apps.daemon.pages").get_template("who.html").make_module({}))
    assert " ".join(Markup(who["state"](one)).striptags().split()) == words


@pytest.mark.parametrize(
    ("number", "words"), [(0, "0 messages"), (1, "1 message"), (2, "2 messages"), (1_000, "1,000 messages")]
)
def test_what_is_counted_has_the_form_of_its_number(number, words):
    """One is no plural."""
    parts = vars(environment_of("taskferry_apps.daemon.pages").get_template("parts.html").make_module({}))
    assert str(parts["count"](number, "message")) == words


def test_a_command_breaks_between_its_words_alone():
    """Each word is in one piece; what is copied is the command as it stands."""
    parts = vars(environment_of("taskferry_apps.daemon.pages").get_template("parts.html").make_module({}))
    shown = parts["command"]("taskferry watch --agent <me>")
    assert re.findall("<span>(.*?)</span>", shown) == ["taskferry", "watch", "--agent", "&lt;me&gt;"]
    assert Markup(re.sub("<[^>]*>", "", shown)).unescape() == "taskferry watch --agent <me>"


async def test_connections_are_filtered_by_the_words_that_the_list_shows(room):
    """Each state is offered by the name that it has everywhere."""
    await requested(room)
    page = await room.get(LIST)
    options = re.findall(r'<option value="([a-z_]+)">([^<]+)</option>', page.raw.decode())
    assert [word for value, word in options if value in set(ConnectionState)] == [
        *("requested in", "requested out", "accepted", "ended", "expired")
    ]
    assert re.findall(r'data-name="State">\s*<span class="pill \w+">([^<]+)<', page.raw.decode()) == [
        *("requested in", "accepted")
    ]


async def test_peers_times_beyond_all_calendars_break_no_page(room):
    """A peer may say that its permission holds for a hundred thousand years."""
    pair = ("requester", "@bob/writer")
    await room.alice.set_permissions(OWNER, pair, GrantChange(until=Instant(TIME_LIMIT - 1)))

    async def told():
        one = await bond(room)
        return one if one.received.until is not None else None

    one = await until(told)
    assert "this ends on 31 December 9999" in (await room.get(f"{LIST}/{one.id.hex()}")).text


# --- What a peer may send


def filled(page, **typed):
    """What a browser sends for the editor's form, with some of it typed anew."""
    sent = {}
    for field in page.of("input"):
        name, kind = field.get("name"), field.get("type")
        if kind in ("checkbox", "radio") and "checked" not in field:
            continue
        if name and name not in ("where", "form_token"):
            sent[name] = field.get("value") or ""
    sent |= typed
    return "&".join(f"{name}={value}" for name, value in sent.items() if value is not None)


async def test_permissions_are_shown_changed_and_signed_only_after_a_second_look(room):
    """The review says in words what changes and changes nothing; the press signs exactly that."""
    one = await bond(room)
    path = f"{LIST}/{one.id.hex()}/permissions"
    editor = await room.get(path)
    assert "That changes nothing." in (await room.get(f"{path}/review?{filled(editor)}")).text
    typed = {"rate_per_minute": "7", "artifact": None, "human_gate": "yes", "until": "3d", "task_budget": "0"}
    review = await room.get(f"{path}/review?{filled(editor, **typed)}")
    for words in (
        "No more artifacts of @alice/requester are taken.",
        "@bob/writer sees a task of @alice/requester only once you have let it pass.",
        "60 envelopes",
        "7 envelopes",
        "may start no task",
    ):
        assert words in review.text
    assert (await bond(room)).given == one.given, "looking changed nothing"
    page = await room.done(path, review, do="save")
    assert "Saved and signed." in page.text
    given = (await bond(room)).given
    assert (given.rate_per_minute, given.classes, given.human_gate) == (7, ("message", "task"), True)
    assert (given.task_budget, given.version) == (0, one.given.version + 1)
    assert 2 * DAY_MS < given.until - room.world.clock.now() <= 3 * DAY_MS

    status, text = await room.refused(path, review, do="save")
    assert (status, "was changed meanwhile" in text) == (409, True)
    await room.get(f"{path}/review?{filled(editor, **typed)}", 409)
    assert (await bond(room)).given == given, "what was shown before the change signs nothing"

    again = await room.get(path)
    same = await room.get(f"{path}/review?{filled(again)}")
    assert "That changes nothing." in same.text, "the end is kept to the millisecond"
    endless = await room.get(f"{path}/review?{filled(again, until='')}")
    assert "It holds until you end it." in endless.text
    await room.done(path, endless, do="save")
    assert (await bond(room)).given.until is None
    far = await room.get(f"{path}/review?{filled(await room.get(path), until='9999-12-31T00:00Z')}")
    await room.done(path, far, do="save")
    assert moment_text((await bond(room)).given.until) == "9999-12-31T00:00:00.000Z"


async def test_what_a_wider_permission_brings_back_is_said_before_it_is_signed(room):
    """On the page that changes it, on the one that reviews it, and in the quarantine."""
    one = await bond(room)
    raw = b"a word in a task"
    item = QuarantineRecord(sha256(raw), "not-permitted", "", raw, b"", room.world.clock.now())
    draft = Draft(room.bob._core)
    word = said(Bond((await draft.core.store.connections((one.id,)))[one.id]))
    until_then = Instant(item.received_at + DAY_MS)
    await keep_note(draft, one.id, Note(word, 1, (Item(item.hash, len(raw), until_then),)))
    draft.add(PutQuarantine(item))
    await draft.commit()
    path = f"{LIST}/{one.id.hex()}/permissions"
    editor = await room.get(path)
    assert "in tasks, for want of permission: 1" in editor.text
    review = await room.get(f"{path}/review?{filled(editor, rate_per_minute='7')}")
    assert "for want of permission: 1. What is allowed of it then comes back" in review.text
    assert "comes back once you allow it" in (await room.get("/dashboard/messages/quarantine")).text


@pytest.mark.parametrize(
    ("field", "typed"),
    [
        ("rate_per_minute", "-1"),
        ("rate_per_minute", "4294967296"),
        ("task_budget", "many"),
        ("largest_bytes", "1e9"),
        ("until", "yesterday"),
        ("until", "2020-01-01T00:00Z"),
        ("until", "2030-01-01T00:00"),
        ("human_gate", "maybe"),
    ],
)
async def test_what_cannot_be_permitted_is_refused_in_words(room, field, typed):
    """Before anything is signed, and on the page that was to show what changes."""
    path = f"{LIST}/{(await bond(room)).id.hex()}/permissions"
    editor = await room.get(path)
    page = await room.get(f"{path}/review?{filled(editor, **{field: typed})}", 400)
    assert "Go back, mend it and try again." in page.text
    form = dict(part.split("=", 1) for part in filled(editor, **{field: typed}).split("&"))
    assert (await room.refused(path, do="save", **form))[0] == 400
    assert (await bond(room)).given.version == 1


GRANT = GrantView(1, ("artifact", "message", "task"), 60, 1_000, Instant(DAY_MS), False, True, 20, 1_000)


@pytest.mark.parametrize(
    ("change", "wider"),
    [
        ({"classes": ("message", "task")}, False),
        ({"classes": ()}, False),
        ({"rate_per_minute": 61}, True),
        ({"rate_per_minute": 0}, False),
        ({"largest_bytes": 2_000}, True),
        ({"until": None}, True),
        ({"until": Instant(1)}, False),
        ({"until": Instant(2 * DAY_MS)}, True),
        ({"auto_trigger": True}, True),
        ({"human_gate": False}, True),
        ({"task_budget": 0}, False),
        ({"largest_artifact": 999}, False),
    ],
)
def test_each_change_says_whether_it_allows_more(change, wider):
    """One field, one line, with both values; the way back is the opposite."""
    after = attrs.evolve(GRANT, **change)
    (line,) = changes(GRANT, after, "@bob/writer", "@alice/requester")
    assert (line.wider, line.before != line.after) == (wider, True)
    (back,) = changes(after, GRANT, "@bob/writer", "@alice/requester")
    assert (back.wider, back.before, back.after) == (not wider, line.after, line.before)
    assert changes(GRANT, GRANT, "x", "y") == ()


def test_times_are_read_as_they_are_written():
    """Lengths, times with their zone to the millisecond; nothing for nothing."""
    now = Instant(1_700_000_000_123)
    assert moment_typed(" 3d ", now, "x") == now + 3 * DAY_MS
    assert moment_typed("", now, "x") is None
    for at in (Instant(now + 1), Instant(now + 999_999)):
        assert moment_typed(moment_text(at), now, "x") == at
    assert whole_typed("1,000", 1_000, "x") == 1_000
    for typed in ("0d", "3 weeks", "2030-01-01", "9" * 40):
        with pytest.raises(DaemonRefusal):
            moment_typed(typed, now, "x")


# --- Peers


async def test_peer_is_verified_by_what_its_owner_reads_and_by_nothing_else(room):
    """Words or digits; others change nothing and are told loudly; the trust can be taken back."""
    alice = await room.bob.peers.peer(OWNER, "@alice")
    path = f"/dashboard/peers/{alice.account.hex()}"
    page = await room.get(path)
    for part in (*alice.code.words, *alice.code.digits.split(), alice.fingerprint):
        assert part in page.text
    wrong = " ".join(alice.code.words[::-1])
    status, text = await room.refused(path, do="verify", code=wrong)
    assert (status, "That is not the safety code" in text) == (409, True)
    assert (await room.bob.peers.peer(OWNER, "@alice")).trust == "unverified"
    page = await room.done(path, do="verify", code=" ".join(alice.code.words))
    assert "@alice is verified." in page.text
    page = await room.done(path, page, do="unverify")
    page = await room.done(path, page, do="trust")
    assert (await room.bob.peers.peer(OWNER, "@alice")).trust == "pinned"
    assert "@alice pinned" in (await room.get("/dashboard/peers")).text


async def test_peer_is_found_by_its_name_and_decided_on_by_its_account(room):
    """A name leads to the account that has it now; buttons name the account."""
    account = (await room.bob.peers.peer(OWNER, "@alice")).account.hex()
    for path in ("/dashboard/peers?named=@alice", "/dashboard/peers?named=alice", "/dashboard/peers/@alice"):
        answer = await room.guests.browse("GET", path)
        assert (answer.status, answer.headers["location"]) == (303, f"/dashboard/peers/{account}")
    assert (await room.refused("/dashboard/peers/@alice", do="trust"))[0] == 404
    await room.get("/dashboard/peers?named=nobody", 404)


async def question(room, other):
    """Alice's name is claimed by another account."""
    core = room.bob._core
    account = (await room.bob.peers.peer(OWNER, "@alice")).account
    async with core.lock:
        draft = Draft(core)
        await put_change(draft, account, IdentityChange(What.SECOND_CLAIM, draft.now, AccountId(other)))
        await draft.commit()
    return f"/dashboard/peers/{account.hex()}"


async def test_identity_in_question_is_given_away_only_to_the_account_that_was_shown(room):
    """Unticked, or another one by now: nothing changes. The pinned one can stand, and then nothing waits."""
    path = await question(room, sha256(b"one"))
    page = await room.get(path)
    assert "Another account claims this name." in page.text
    assert (await room.refused(path, page, do="accept-change"))[0] == 400
    await question(room, sha256(b"two"))
    status, text = await room.refused(path, page, do="accept-change", sure="yes")
    assert (status, "has changed since this page was made" in text) == (409, True)
    with pytest.raises(DaemonRefusal, match="Another account claims the name by now"):
        await room.bob.peers.accept_change(OWNER, "@alice", AccountId(sha256(b"one")))
    status, text = await room.refused(path, page, do="keep")
    assert (status, "Something else has put the identity of @alice in question" in text) == (409, True)
    assert (await room.bob.status()).changed == ("@alice",)
    page = await room.done(path, await room.get(path), do="keep")
    assert "@alice stays as it is pinned" in page.text
    assert (await room.bob.status()).changed == ()


# --- Invites and links


async def test_invite_is_made_and_its_link_shown_to_this_browser_for_a_while(room):
    """Loaded again it is there and no second one is made; another session, and the list, never have it."""
    path = "/dashboard/invites"
    form = {"do": "create", "agent": "writer", "uses": "3", "until": "2h", "note": "for <b>Carol"}
    page = await room.done(path, accepts="gated", **form)
    (link,) = re.findall(r"taskferry://[^<]+", page.raw.decode())
    (made,) = await room.bob.invites.list(OWNER)
    assert (made.uses, made.accepts, made.note) == (3, True, "for <b>Carol")
    here = f"{path}/{made.id.hex()}"
    assert link in (await room.get(here)).raw.decode()
    assert "secret" not in (await room.get(path)).raw.decode().replace("a secret that no relay sees", "")
    mine = room.guests.cookie
    await room.guests.sign_in("/dashboard")
    assert link not in (await room.get(here)).raw.decode()
    room.guests.cookie = mine
    assert link in (await room.get(here)).raw.decode()
    await room.done(here, do="taken")
    assert "secret=" not in (await room.get(here)).raw.decode()
    page = await room.done(here, do="withdraw")
    assert (await room.bob.invites.list(OWNER))[0].state == "withdrawn"
    for wrong in ({"until": "91d"}, {"uses": "0"}, {"agent": "nobody"}):
        assert (await room.refused(path, accepts="no", **{**form, **wrong}))[0] in (400, 404)


async def test_link_that_is_pasted_leads_to_where_it_is_decided_on(room):
    """In the dashboard's frame, without scripts; a line that is no link is explained."""
    until_then = Instant(room.world.clock.now() + DAY_MS)
    await room.alice.create_agent(OWNER, NewAgent("planner"))
    made = await room.alice.invites.create(OWNER, NewInvite("planner", 1, until_then, GrantChange()))
    answer = await room.press("/dashboard/invites", do="open", link=f"  {made.link}\n")
    assert answer.status == 303
    place = answer.headers["location"]
    assert re.fullmatch(r"/connect/[0-9a-f]{32}", place), "the secret stands in no address"
    page = await room.get(place)
    assert "Connect with @alice/planner?" in page.text
    assert page.of("script") == []
    assert any(one.get("href") == "/dashboard/waiting" for one in page.of("a"))
    answer = await room.press("/dashboard/invites", do="open", link="https://example.com/")
    assert (await room.guests.browse("GET", answer.headers["location"])).status == 400


async def test_what_is_shown_once_is_kept_for_few_and_not_for_long(autojump_clock):
    """Ten minutes, sixteen things, each for its own session."""
    once = Once()
    once.keep("me", "a", 1)
    assert (once.held("me", "a"), once.held("you", "a"), once.held("me", "b")) == (1, None, None)
    await trio.sleep(KEPT_S)
    assert once.held("me", "a") is None
    for n in range(MOST + 1):
        once.keep("me", str(n), n)
    assert (once.held("me", "0"), once.held("me", "1")) == (None, 1)


# --- Rules


async def test_rule_is_made_shown_in_words_and_ended(room):
    """What it accepts and how many tasks pass; one that waits for something says for what."""
    path = "/dashboard/rules"
    assert "No rules: you decide on everything yourself." in (await room.get(path)).text
    form = {"do": "add", "accept": "@alice/*", "tasks_per_day": "5", "until": "30d", "gate": "yes"}
    page = await room.done(path, agent="", **form)
    assert "5 tasks in any 24 hours reach your agent without waiting for you" in page.text
    assert "It waits for its owner to be verified" in page.text
    (rule,) = await room.bob.gates.rules(OWNER)
    assert (rule.accept, rule.agent, rule.grant.human_gate) == ("@alice/*", "", True)
    for wrong in ({"accept": "*"}, {"tasks_per_day": "10001"}, {"until": "never"}, {"gate": ""}):
        assert (await room.refused(path, agent="", **{**form, **wrong}))[0] == 400
    for _ in range(40):
        await room.bob.gates.add_rule(OWNER, NewRule("@alice/requester"))
    page = await room.get(path)
    assert page.buttons().count("end") == 40
    (more,) = [str(one["href"]) for one in page.of("a") if one.get("rel") == "next"]
    assert (await room.get(more)).buttons().count("end") == 1
    for one in (await room.bob.gates.rules(OWNER))[1:]:
        await room.bob.gates.remove_rule(OWNER, one.id.hex())
    page = await room.done(f"{path}/{rule.id.hex()}", do="end")
    assert await room.bob.gates.rules(OWNER) == ()
    assert (await room.refused(f"{path}/{rule.id.hex()}", do="end"))[0] == 404
