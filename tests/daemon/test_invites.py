"""Invites from end to end: made, opened, used; and everybody who lies about them is found out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import attrs
import pytest

from taskferry_apps import system
from taskferry_apps.daemon.draft import Draft
from taskferry_apps.daemon.invite_port import InviteView, NewInvite
from taskferry_apps.daemon.invited import hear_of_invite
from taskferry_apps.daemon.port import Caller, DaemonRefusal, GrantChange, NewAgent
from taskferry_apps.daemon.service import Daemon
from taskferry_protocol.accounts import (
    AccountLog,
    add_device,
    consent_to_stand,
    create,
    fold,
    set_agent,
)
from taskferry_protocol.cbor import Value
from taskferry_protocol.crypto import SigningKey
from taskferry_protocol.devices import DeviceKeys
from taskferry_protocol.frames import Frame, ReplyFrame
from taskferry_protocol.ids import AccountId, AgentRef, Instant
from taskferry_protocol.invites import InviteLink, sign_invite
from taskferry_protocol.limits import DAY_MS, INVITES
from taskferry_protocol.records import Generation, InviteRecord, PutInvite
from taskferry_stores.memory import MemoryRelayStore
from taskferry_stores.sqlite import open_daemon_store

from .test_blocks import ask_again, states
from .worlds import OWNER, Machine, World, a_world, connect, set_up, until

AGENT = Caller(frozenset({"requester", "writer"}))


@attrs.define
class Pair:
    """Alice, who opens links, and Bob, who makes them."""

    world: World
    alice: Daemon
    bob: Daemon

    async def invite(self, **more) -> tuple[str, InviteView]:
        """Bob's link and invite; the relay has it."""
        values = {
            "agent": "writer",
            "uses": 1,
            "expires_at": Instant(self.world.clock.now() + DAY_MS),
            "permissions": GrantChange(),
            **more,
        }
        made = await self.bob.invites.create(OWNER, NewInvite(**values))
        assert made.published
        return made.link, made.invite

    async def open(self, link: str) -> str:
        """Alice's daemon holds the link, and finds nothing wrong with it at first sight."""
        held = await self.alice.links.hold(OWNER, link)
        assert held.problem is None
        return held.id

    async def ask(self, link: str, mine: str = "requester"):
        """Alice asks through a link."""
        return await self.alice.links.connect(OWNER, await self.open(link), mine, "hello")

    async def arrived(self, state: str = "requested_in"):
        """Bob's connections in a state, as soon as there is one."""

        async def there():
            return await self.bob.connections(OWNER, state, "")

        return await until(there)

    async def told(self, word: str):
        """Alice's request, once she knows what was wrong with its invite."""

        async def there():
            found = await self.alice.connections(OWNER, "", "")
            return next((one for one in found if one.invite_state == word), None)

        return await until(there)


@asynccontextmanager
async def a_pair(alice: Machine | None = None, bob: Machine | None = None) -> AsyncIterator[Pair]:
    """Both with an agent, and strangers to each other."""
    async with (
        a_world() as world,
        world.running(alice or Machine("alice")) as a,
        world.running(bob or Machine("bob")) as b,
    ):
        await set_up(a, "alice", "requester")
        await set_up(b, "bob", "writer")
        yield Pair(world, a, b)


@pytest.fixture
async def pair():
    """Alice and Bob on memory stores."""
    async with a_pair() as made:
        yield made


async def refused(code: str, call, *arguments) -> DaemonRefusal:
    """The refusal, which must have this code and say what to do next."""
    with pytest.raises(DaemonRefusal) as caught:
        await call(*arguments)
    assert caught.value.code == code
    assert caught.value.next_step
    return caught.value


# --- As it should be


async def test_invited_request_arrives_as_invited_and_waits_for_the_owner(pair):
    """Alice's log is pinned by what her link was for; both see each other as invited."""
    link, made = await pair.invite()
    seen = await pair.alice.links.look(OWNER, await pair.open(link))
    assert (seen.peer, seen.trust, seen.agents) == ("@bob/writer", "", (("requester", ""),))
    assert seen.account == (await pair.bob.account(OWNER)).account
    assert not await pair.alice.connections(OWNER, "", ""), "looking asks for nothing"
    mine = await pair.ask(link)
    assert (mine.state, mine.trust, mine.invite) == ("requested_out", "pinned", made.id)
    (request,) = await pair.arrived()
    assert (request.invite_state, request.trust, request.note) == ("valid", "pinned", "hello")
    (listed,) = await pair.bob.invites.list(OWNER)
    assert (listed.state, listed.used) == ("used_up", 1)
    await pair.bob.accept_connection(OWNER, request.id.hex(), GrantChange())
    await pair.arrived("accepted")


async def test_invite_may_accept_by_itself_with_what_it_grants(tmp_path):
    """The owner's word was given with the invite; the peer may send exactly what that says. On SQLite."""
    async with open_daemon_store(tmp_path / "daemon.db") as store, a_pair(bob=Machine("bob", store)) as pair:
        link, _ = await pair.invite(
            accepts=True, permissions=GrantChange(classes=("message",), rate_per_minute=7, task_budget=0)
        )
        await pair.ask(link)
        (accepted,) = await pair.arrived("accepted")
        assert accepted.given is not None
        assert (accepted.given.classes, accepted.given.rate_per_minute) == (("message",), 7)

        async def known():
            return await pair.alice.connections(OWNER, "accepted", "")

        await until(known)
        sent = await pair.alice.send_message(OWNER, "requester", "@bob/writer", "hi", (), "", "")
        assert sent.message


async def test_invite_for_many_lets_them_in_without_vouching_for_them(pair):
    """A link that went through many hands says nothing of who holds it: they stay unverified."""
    await pair.alice.create_agent(OWNER, NewAgent("second"))
    link, _ = await pair.invite(uses=2)
    await pair.ask(link)
    await pair.ask(link, "second")

    async def both():
        found = await pair.bob.connections(OWNER, "requested_in", "")
        return found if len(found) == 2 else None

    requests = await until(both)
    assert [(one.invite_state, one.trust) for one in requests] == [("valid", "unverified")] * 2
    assert (await pair.bob.invites.list(OWNER))[0].state == "used_up"


async def test_opening_the_same_link_again_asks_once(pair):
    """The request that waits is the answer; a used link that is held is gone."""
    link, _ = await pair.invite()
    held = await pair.open(link)
    first = await pair.alice.links.connect(OWNER, held, "requester", "")
    await refused("not-found", pair.alice.links.connect, OWNER, held, "requester", "")
    assert (await pair.ask(link)).id == first.id


async def test_what_comes_of_an_invite_is_written_down(pair):
    """Made, used, accepted by its word, trust changed, withdrawn: all in the audit log, without secrets."""
    link, _ = await pair.invite(accepts=True)
    await pair.bob.invites.revoke(OWNER, (await pair.invite())[1].id.hex())
    await pair.ask(link)
    await pair.arrived("accepted")
    entries = (await pair.bob.audit.entries(OWNER, "", "", 50)).entries
    told = [(entry.note.kind, dict(entry.note.facts).get("by")) for entry in entries]
    for kind, by in (
        ("invite_made", "owner"),
        ("invite_revoked", "owner"),
        ("invite_used", "peer"),
        ("trust_changed", "invite"),
        ("connection_accepted", "invite"),
        ("grant", "invite"),
    ):
        assert (kind, by) in told
    mine = (await pair.alice.audit.entries(OWNER, "", "", 50)).entries
    assert ("trust_changed", "owner") in [
        (entry.note.kind, dict(entry.note.facts).get("by")) for entry in mine
    ]
    secret = InviteLink.parse(link).secret
    assert not any(secret in entry.raw or secret.hex().encode() in entry.raw for entry in (*entries, *mine))


async def test_invite_of_a_contact_gives_a_plain_answer(pair):
    """Who is connected already learns that, and nothing is sent."""
    link, _ = await pair.invite(accepts=True)
    await pair.ask(link)

    async def known():
        return await pair.alice.connections(OWNER, "accepted", "")

    await until(known)
    other, _ = await pair.invite()
    await refused("conflict", pair.ask, other)


# --- What does not hold


async def test_second_use_is_a_strangers_request_and_both_sides_hear_why(pair):
    """It waits like any other; the owner sees `invite-used`, and so does who asked, by a signed receipt."""
    await pair.alice.create_agent(OWNER, NewAgent("second"))
    link, _ = await pair.invite(accepts=True)
    await pair.ask(link)
    await pair.arrived("accepted")
    await pair.ask(link, "second")
    (request,) = await pair.arrived()
    assert (request.invite_state, request.state) == ("invite-used", "requested_in")
    await pair.told("invite-used")


async def change(daemon: Daemon, made: InviteView, **changes) -> None:
    """What Bob's daemon holds of an invite is otherwise than the relay says."""
    held = await daemon._core.store.invite(made.id)
    assert held is not None
    await daemon._core.commit([PutInvite(attrs.evolve(held, **changes))])


@pytest.mark.parametrize("changes", [{"revoked": True}, {"secret": bytes(16)}, {"agent": "other"}])
async def test_withdrawn_wrong_and_foreign_invites_are_told_apart_by_nobody(pair, changes):
    """Who follows a link that a relay wrongly shows comes no further than a stranger; no oracle answers."""
    link, made = await pair.invite(accepts=True)
    await change(pair.bob, made, **changes)
    await pair.ask(link)
    (request,) = await pair.arrived()
    assert (request.invite_state, request.trust) == ("unknown-invite", "unverified")
    await pair.told("unknown-invite")


async def test_device_that_did_not_make_an_invite_says_nothing_of_it(pair):
    """Where another device serves the agent too, that one may have made it: no word to the one who asks."""
    link, made = await pair.invite()
    held = await pair.open(link)
    core = pair.bob._core
    async with core.lock:
        draft = Draft(core)
        log, other = await core.own_log(), DeviceKeys.generate("desk", system.entropy)
        consent = consent_to_stand(other, log.account, log.state.length)
        added = log.extend([add_device(log.state, other.record, consent, at=draft.now, by=core.manage)])
        serving = sorted((core.device, other.id))
        both = added.extend([set_agent(added.state, "writer", serving, at=draft.now, by=core.manage)])
        draft.take_log(log, both)
        await draft.commit()
    core.outgoing.ring()
    del core.store._state.invites[made.id]
    await pair.alice.links.connect(OWNER, held, "requester", "")
    (request,) = await pair.arrived()
    assert (request.invite_state, request.trust) == ("", "unverified")


async def test_whoever_is_connected_is_not_asked_again_however_old_the_connection_is(pair):
    """A second one would put other permissions in the place of what the owner has set."""
    await connect(pair.alice, pair.bob, "requester", "@bob/writer")
    pair.world.clock.ahead_ms += 31 * DAY_MS
    link, _ = await pair.invite()
    await refused("conflict", pair.ask, link)


async def test_no_invite_gives_back_what_its_owner_has_taken_from_a_connected_agent(pair):
    """A link for several that accepts, used again by one of them: the owner looks at that request."""
    link, _ = await pair.invite(uses=3, accepts=True, permissions=GrantChange(classes=("message", "task")))
    await pair.ask(link)

    async def connected():
        return await states(pair.alice) == ["accepted"]

    await until(connected)
    await pair.bob.set_permissions(OWNER, ("writer", "@alice/requester"), GrantChange(classes=("message",)))
    await ask_again(pair.alice, pair.bob._core.own, "requester", "writer", InviteLink.parse(link))

    async def waits():
        return await states(pair.bob) == ["accepted", "requested_in"]

    await until(waits)
    (connection,) = await pair.bob.connections(OWNER, "accepted", "")
    assert connection.given is not None
    assert connection.given.classes == ("message",)
    (invite,) = await pair.bob.invites.list(OWNER)
    assert invite.used == 1


async def test_no_invite_gives_back_what_its_owner_has_taken_from_an_agent_that_ends_and_asks_anew(pair):
    """It is connected again, and may do what the owner had said last."""
    wide = GrantChange(classes=("message", "task"), human_gate=False)
    link, _ = await pair.invite(uses=3, accepts=True, permissions=wide)
    await pair.ask(link)
    await until(lambda: _are(pair.alice, ["accepted"]))
    pair.world.clock.ahead_ms += 1_000
    less = GrantChange(classes=("message",), human_gate=True)
    await pair.bob.set_permissions(OWNER, ("writer", "@alice/requester"), less)
    await pair.alice.end_connection(OWNER, ("requester", "@bob/writer"), "revoked", "")
    await until(lambda: _are(pair.bob, ["ended"]))
    await pair.ask(link)
    await until(lambda: _are(pair.bob, ["accepted", "ended"]))
    (connection,) = await pair.bob.connections(OWNER, "accepted", "")
    assert connection.given is not None
    assert (connection.given.classes, connection.given.human_gate) == (("message",), True)


async def _are(daemon, wanted):
    return await states(daemon) == wanted


async def test_nobody_is_asked_through_a_link_whose_answer_would_not_be_heard(pair):
    """Who is blocked is heard again once the block is taken back, and not by opening a link of theirs."""
    await connect(pair.alice, pair.bob, "requester", "@bob/writer")
    await pair.alice.end_connection(OWNER, ("requester", "@bob/writer"), "blocked", "")
    link, _ = await pair.invite()
    refusal = await refused("conflict", pair.ask, link)
    assert "unblock" in refusal.next_step
    assert not await pair.alice.connections(OWNER, "requested_out", "")


async def test_link_opened_before_set_up_says_so():
    """The link is well, the daemon is not ready."""
    async with a_world() as world, world.running(Machine("carol")) as carol:
        link = InviteLink("relay.test", bytes(16), AccountId(bytes(32)), bytes(16)).format()
        held = await carol.links.hold(OWNER, link)
        assert held.problem is not None
        assert held.problem.code == "not-set-up"


async def test_request_under_an_invite_that_is_over_waits_for_the_owner(pair):
    """Whoever is asked looks at its own clock, whatever the relay says of the invite."""
    link, made = await pair.invite(accepts=True)
    await change(pair.bob, made, expires_at=Instant(1))
    await pair.ask(link)
    (request,) = await pair.arrived()
    assert request.invite_state == "expired"
    await pair.told("expired")


async def test_peer_cannot_write_what_it_likes_about_an_invite(pair):
    """Only the three codes that a receipt may say of an invite are noted, and only where one was named."""
    await pair.alice.request_connection(OWNER, "requester", "@bob/writer", "")
    (sent,) = (await pair.alice.messages(OWNER, "", "", 10)).messages
    message = (await pair.alice._core.store.messages([sent.id]))[sent.id][0]
    for code in ("invite-used", "valid", "<b>"):
        draft = Draft(pair.alice._core)
        await hear_of_invite(draft, message, code)
        assert not draft.changes
    link, _ = await pair.invite()
    await pair.ask(link)
    (sent, _) = (await pair.alice.messages(OWNER, "", "", 10)).messages
    message = (await pair.alice._core.store.messages([sent.id]))[sent.id][0]
    for code, changes in (("valid", 0), ("<b>", 0), ("invite-used", 2)):
        draft = Draft(pair.alice._core)
        await hear_of_invite(draft, message, code)
        assert len(draft.changes) == changes


async def test_relay_that_lost_an_invite_leads_to_a_plain_refusal(pair):
    """Withdrawn, over, or never published: the link leads nowhere, and the sentence says so."""
    link, made = await pair.invite()
    held = await pair.open(link)
    await pair.bob.invites.revoke(OWNER, made.id.hex()[:8])

    async def gone():
        try:
            await pair.alice.links.look(OWNER, held)
        except DaemonRefusal as refusal:
            return refusal
        return None

    assert (await until(gone)).code == "unknown-invite"
    assert (await pair.bob.invites.list(OWNER))[0].state == "withdrawn"


@pytest.mark.parametrize(
    ("edit", "code"),
    [
        (lambda link: link.replace("taskferry:", "https:"), "bad-link"),
        (lambda link: "hello", "bad-link"),
        (lambda link: link.partition("#")[0], "bad-link"),
        (lambda link: link[:-1], "bad-link"),
        (lambda link: link.replace("/invite/", "/invite/x"), "bad-link"),
        (lambda link: link.replace("&secret", " &secret"), "bad-link"),
        (lambda link: link.replace("/invite/", "/teleport/"), "unknown-link"),
        (lambda link: "taskferry://relay.test/setup#ticket=abc", "setup-link"),
        (lambda link: link.replace("relay.test", "relay.example"), "wrong-relay"),
        (lambda link: link.replace("relay.test", "relay.test:8080"), "wrong-relay"),
        (lambda link: link + "x" * 4000, "bad-link"),
    ],
)
async def test_link_that_leads_nowhere_says_what_is_wrong(pair, edit, code):
    """At first sight, before anybody is asked; and again when somebody insists."""
    link, _ = await pair.invite()
    held = await pair.alice.links.hold(OWNER, edit(link))
    assert held.problem is not None
    assert held.problem.code == code
    assert "secret=" not in held.problem.message
    await refused(code, pair.alice.links.look, OWNER, held.id)
    await refused(code, pair.alice.links.connect, OWNER, held.id, "requester", "")
    assert not await pair.alice.connections(OWNER, "", "")


@pytest.mark.parametrize("part", ["account", "secret"])
async def test_edited_link_is_found_out_before_anybody_is_asked(pair, part):
    """Another account or another secret in a well-formed link is refused by what the statement says."""
    link, _ = await pair.invite()
    parsed = InviteLink.parse(link)
    own = (await pair.alice.account(OWNER)).account
    edits = {"account": {"account": own}, "secret": {"secret": bytes(16)}}
    held = await pair.open(attrs.evolve(parsed, **edits[part]).format())
    with pytest.raises(DaemonRefusal) as caught:
        await pair.alice.links.connect(OWNER, held, "requester", "")
    assert caught.value.code in {"wrong-account", "not-authorized", "unknown-invite"}
    assert not await pair.alice.connections(OWNER, "", "")


async def test_held_links_are_few_and_short_lived(pair):
    """A page that opens links all day fills nothing, and what was left open is gone after ten minutes."""
    link, _ = await pair.invite()
    first = await pair.open(link)
    *_, last = [await pair.open(link) for _ in range(16)]
    await refused("not-found", pair.alice.links.look, OWNER, first)
    await pair.alice.links.look(OWNER, last)
    pair.world.clock.ahead_ms += 10 * 60_000
    await refused("not-found", pair.alice.links.look, OWNER, last)


async def test_agents_neither_invite_nor_open_links(pair):
    """No text that talks an agent into something makes or follows an invite."""
    bob, alice = pair.bob.invites, pair.alice.links
    invite = NewInvite("writer", 1, Instant(pair.world.clock.now() + DAY_MS), GrantChange())
    link, made = await pair.invite()
    held = await pair.open(link)
    for call in (
        (bob.create, invite),
        (bob.list,),
        (bob.revoke, made.id.hex()),
        (alice.hold, link),
        (alice.look, held),
        (alice.connect, held, "requester", ""),
        (alice.drop, held),
    ):
        await refused("owner-only", call[0], AGENT, *call[1:])


async def test_invites_have_bounds(pair):
    """So many uses, so long, so many at once; and one is withdrawn by a unique beginning of its id."""
    now = pair.world.clock.now()
    invite = NewInvite("writer", 1, Instant(now + DAY_MS), GrantChange())
    for changes in (
        {"uses": 0},
        {"uses": 1001},
        {"expires_at": now},
        {"expires_at": Instant(now + 45_000)},
        {"expires_at": Instant(now + 91 * DAY_MS)},
        {"permissions": GrantChange(classes=("everything",))},
    ):
        await refused("bad-value", pair.bob.invites.create, OWNER, attrs.evolve(invite, **changes))
    # A minute, as it was typed some seconds ago.
    await pair.bob.invites.create(OWNER, attrs.evolve(invite, expires_at=Instant(now + 55_000)))
    await refused("not-found", pair.bob.invites.create, OWNER, attrs.evolve(invite, agent="nobody"))
    pair.world.stop_relay()
    for n in range(INVITES):
        record = InviteRecord(n.to_bytes(16, "big"), "writer", b"", b"", 1, Instant(now + DAY_MS), now)
        await pair.bob._core.commit([PutInvite(record)])
    await refused("too-many", pair.bob.invites.create, OWNER, invite)
    await refused("ambiguous", pair.bob.invites.revoke, OWNER, "00000000")
    await refused("not-found", pair.bob.invites.revoke, OWNER, "ffffffff")


# --- Relays that lie


def replies(lie: Callable[[dict[str, Value]], dict[str, Value]]) -> Callable[[Frame], Frame]:
    """A relay that answers calls as it likes."""

    def tamper(frame: Frame) -> Frame:
        if isinstance(frame, ReplyFrame) and isinstance(frame.outcome, dict):
            return attrs.evolve(frame, outcome=lie(frame.outcome))
        return frame

    return tamper


@attrs.define
class Mallory:
    """An account of the relay's own making, with an agent of the same name."""

    now: Instant
    keys: DeviceKeys = attrs.field(factory=lambda: DeviceKeys.generate_managing("m", system.entropy))
    log: AccountLog = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        """Found the account under Bob's name."""
        recovery = SigningKey.from_seed(bytes(32))
        assert self.keys.manage is not None
        log = fold([create("bob", self.keys, recovery, at=self.now)])
        self.log = log.extend(
            [set_agent(log.state, "writer", [self.keys.id], at=self.now, by=self.keys.manage)]
        )

    def invite(self, link: InviteLink, agent: AgentRef) -> bytes:
        """An invite that looks like the one that the link leads to."""
        assert self.keys.manage is not None
        return sign_invite(
            agent,
            id=link.id,
            secret=link.secret,
            uses=1,
            expires_at=Instant(self.now + DAY_MS),
            at=self.now,
            log=self.log.position,
            by=self.keys.manage,
        )


async def loud(pair: Pair, held: str, code: str) -> None:
    """Both looking and asking are refused, the owner finds an alarm, and nobody was asked or pinned."""
    for call in (
        lambda: pair.alice.links.look(OWNER, held),
        lambda: pair.alice.links.connect(OWNER, held, "requester", ""),
    ):
        with pytest.raises(DaemonRefusal) as caught:
            await call()
        assert caught.value.code == code
        assert "Nothing was asked" in caught.value.next_step
    assert any("invite link" in alarm for alarm in (await pair.alice.status()).alarms)
    assert not await pair.alice.connections(OWNER, "", "")
    assert await pair.alice._core.logs.get((await pair.bob.account(OWNER)).account) is None


@pytest.mark.parametrize("claims", [True, False])
async def test_relay_that_answers_with_another_account_is_caught_at_first_contact(pair, claims):
    """Whether it calls Mallory's log by Bob's account id or by its own: the link knows better."""
    link, _ = await pair.invite()
    held = await pair.open(link)
    mallory = Mallory(pair.world.clock.now())

    def lie(result):
        if "statements" not in result:
            return result
        start = result["from"]
        account = result["account"] if claims else mallory.log.account
        return {"account": account, "from": start, "statements": [*mallory.log.statements[start:]]}

    pair.world.tamper = replies(lie)
    await loud(pair, held, "wrong-account")


@pytest.mark.parametrize("whose", ["mallory", "bob"])
async def test_relay_that_answers_with_another_invite_is_caught(pair, whose):
    """An invite that Mallory signed, for her own agent or for Bob's, has not Bob's signature."""
    link, _ = await pair.invite()
    held = await pair.open(link)
    mallory, parsed = Mallory(pair.world.clock.now()), InviteLink.parse(link)
    account = mallory.log.account if whose == "mallory" else parsed.account
    raw = mallory.invite(parsed, AgentRef(account, "writer"))
    pair.world.tamper = replies(lambda result: {"invite": raw} if "invite" in result else result)
    await loud(pair, held, "wrong-account" if whose == "mallory" else "not-authorized")


async def test_relay_that_leads_to_another_agent_of_the_account_is_caught(pair):
    """Bob's own invite for another agent of his has another secret than the link."""
    await pair.bob.create_agent(OWNER, NewAgent("clerk"))
    link, _ = await pair.invite()
    _, other = await pair.invite(agent="clerk")
    raw = (await pair.bob._core.store.invite(other.id)).raw
    held = await pair.open(link)
    pair.world.tamper = replies(lambda result: {"invite": raw} if "invite" in result else result)
    refusal = await refused("unknown-invite", pair.alice.links.connect, OWNER, held, "requester", "")
    assert "another invite" in refusal.message
    assert not await pair.alice.connections(OWNER, "", "")


async def test_relay_that_spoils_an_invite_is_caught(pair):
    """One bit."""
    link, _ = await pair.invite()
    held = await pair.open(link)

    def spoil(result):
        raw = result.get("invite")
        return {"invite": raw[:-1] + bytes([raw[-1] ^ 1])} if isinstance(raw, bytes) else result

    pair.world.tamper = replies(spoil)
    await loud(pair, held, "bad-signature")


async def test_account_that_takes_a_known_name_is_refused_loudly(pair):
    """An invite of a second `@alice` does not put her in the place of the one who is known."""
    link, _ = await pair.invite()
    held = await pair.open(link)
    mallory = Mallory(pair.world.clock.now())
    draft = Draft(pair.alice._core)
    draft.take_log(None, mallory.log)
    await draft.commit()
    with pytest.raises(DaemonRefusal) as caught:
        await pair.alice.links.connect(OWNER, held, "requester", "")
    assert caught.value.code == "pinned-otherwise"
    assert any("@bob" in alarm for alarm in (await pair.alice.status()).alarms)
    assert not await pair.alice.connections(OWNER, "", "")


async def test_relay_with_log_without_end_is_cut_off(pair):
    """Statements that never end fill no memory: a log has at most so many."""
    link, _ = await pair.invite()
    held = await pair.open(link)

    def lie(result):
        if "statements" not in result:
            return result
        return {**result, "statements": [bytes(64)] * 256}

    pair.world.tamper = replies(lie)
    with pytest.raises(DaemonRefusal):
        await pair.alice.links.look(OWNER, held)


async def test_invite_survives_a_relay_without_memory():
    """A relay that begins anew is told of every invite that is open, and of none that is not."""
    async with a_world() as world:
        alice, bob = Machine("alice"), Machine("bob")
        async with world.running(alice) as a, world.running(bob) as b:
            await set_up(a, "alice", "requester")
            await set_up(b, "bob", "writer")
            pair = Pair(world, a, b)
            link, _ = await pair.invite()
            _, gone = await pair.invite()
            await b.invites.revoke(OWNER, gone.id.hex())
        world.stop_relay()
        world.relay_store = MemoryRelayStore(Generation(bytes(16)))
        await world.start_relay()
        async with world.running(alice) as a, world.running(bob) as b:
            pair = Pair(world, a, b)

            async def known():
                try:
                    return await a.links.look(OWNER, await pair.open(link))
                except DaemonRefusal:
                    return None

            assert (await until(known)).peer == "@bob/writer"
            assert set(await world.relay_store.invites([gone.id])) == set()
