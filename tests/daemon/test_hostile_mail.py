"""Mail that no honest peer sends, or that a lying relay hands over: quarantined, and the next one arrives."""

from __future__ import annotations

import pytest

from taskferry_apps import system
from taskferry_apps.daemon.draft import Draft
from taskferry_apps.daemon.log_news import judge
from taskferry_apps.daemon.port import GrantChange, NewAgent, TaskAction
from taskferry_protocol.accounts import DeviceKeys, create, fold, rename, set_agent
from taskferry_protocol.cbor import encode
from taskferry_protocol.connections import sign_request
from taskferry_protocol.crypto import Kind, SigningKey, parse_signed
from taskferry_protocol.envelope import encode_header
from taskferry_protocol.errors import RejectCode
from taskferry_protocol.frame_items import Notice
from taskferry_protocol.ids import AccountId, AgentRef, ConversationId, Hash, Instant
from taskferry_protocol.links import Seen, TaskLink
from taskferry_protocol.messages import (
    ConnectionRequested,
    Content,
    TaskCancel,
    TaskRequest,
    TaskSeen,
    TextMessage,
)
from taskferry_protocol.records import Offset, Place, RelayCursor
from taskferry_protocol.sealing import Address, seal_envelope, wrap_for

from .forger import OTHER, break_on_poison, codes, forger_between, forging, still_arrives
from .worlds import OWNER, URL, Machine, a_world, connect, connected, set_up, texts, until

FIRST = TaskLink(None, 0, None, Seen(0, None))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"nonce": bytes(23)}, "bad-value"),
        ({"nonce": bytes(25)}, "bad-value"),
        ({"commit": bytes(31)}, "bad-value"),
        ({"commit": bytes(32)}, "bad-commit"),
        ({"id": bytes(16)}, "bad-value"),
        ({"suite": 2}, "unknown-suite"),
        ({"v": 2}, "unknown-version"),
        ({"class": "task"}, "bad-ciphertext"),
        ({"surprise": 1}, "unknown-field"),
    ],
)
async def test_a_signed_but_crooked_header_is_quarantined_and_blocks_nothing(changes, code):
    """Whatever a hostile peer signs of wrong lengths or values has no effect, and the next message comes."""
    async with forging() as (forger, bob):
        sealed = await forger.seal(TextMessage("poison"))
        (wrap,) = wrap_for(sealed.key, [forger.bob.keys.device.encryption.public], system.entropy)
        await forger.hand_over(forger.forge(sealed, **changes), wrap.sealed)
        assert await codes(bob) == [code]
        await still_arrives(forger, bob)


@pytest.mark.parametrize("cut", [0, 1, 10, 64])
async def test_damaged_bytes_are_quarantined_and_block_nothing(cut):
    """A signature, key or body cut short, or nothing at all, is an ordinary refusal."""
    async with forging() as (forger, bob):
        raw = (await forger.seal(TextMessage("poison"))).envelope.raw
        await forger.hand_over(raw[: len(raw) - cut] if cut else b"", bytes(80))
        await forger.hand_over(raw[:-1] + bytes([raw[-1] ^ 1]), bytes(80))
        assert len(await codes(bob)) == 2
        await still_arrives(forger, bob)


@pytest.mark.parametrize("size", [0, 79, 80, 81])
async def test_a_wrap_that_opens_nothing_is_quarantined(size):
    """A wrapped key of a wrong length, or that is not ours, does not stop the mailbox."""
    async with forging() as (forger, bob):
        await forger.hand_over((await forger.seal(TextMessage("poison"))).envelope.raw, bytes(size))
        assert await codes(bob) == ["bad-wrap"]
        await still_arrives(forger, bob)


async def test_a_signature_lifted_onto_other_bytes_is_refused():
    """Another payload under a true envelope's signature is nobody's message."""
    async with forging() as (forger, bob):
        sealed = await forger.seal(TextMessage("poison"))
        signed = parse_signed(sealed.envelope.raw)
        other = encode([encode_header(sealed.envelope.header), sealed.envelope.ct + b"x"])
        forged = forger.alice.keys.device.signing.sign(Kind.ENVELOPE, other)
        await forger.hand_over(forged[:-64] + signed.signature, bytes(80))
        assert await codes(bob) == ["bad-signature"]


async def test_the_same_envelope_again_has_no_second_effect():
    """A relay that repeats itself makes nothing happen twice."""
    async with forging() as (forger, bob):
        sealed = await forger.seal(TextMessage("once"))
        for _ in range(3):
            await forger.deliver(sealed)
        assert await texts(bob) == ["once"]
        assert await codes(bob) == []


async def test_two_messages_under_one_number_raise_an_alarm_and_are_kept_as_evidence():
    """The second of two envelopes with one `seq` is quarantined, and the owner is told."""
    async with forging() as (forger, bob):
        await forger.deliver(await forger.seal(TextMessage("first"), sequence=5_000))
        await forger.deliver(await forger.seal(TextMessage("second"), sequence=5_000))
        assert await texts(bob) == ["first"]
        assert await codes(bob) == ["equivocation"]
        assert any("two messages" in alarm for alarm in (await bob.status()).alarms)
        page = await forger.bob.store.evidence(Place(0), 10)
        assert [item.kind for item in page.items] == ["equivocation"]
        assert page.items[0].first != page.items[0].second


async def test_no_proof_is_kept_against_a_device_that_no_account_here_has():
    """A relay makes up as many as it likes: what each signs twice is set aside, and there it ends."""
    async with forging() as (forger, bob):
        for _ in range(3):
            unknown = SigningKey.from_seed(system.entropy(32))
            for text in ("first", "second"):
                sealed = await forger.seal(TextMessage(text), sequence=5_000)
                payload = encode([sealed.envelope.h, sealed.envelope.ct])
                await forger.hand_over(unknown.sign(Kind.ENVELOPE, payload), bytes(80))
        assert len(await codes(bob)) == 6
        assert (await forger.bob.store.evidence(Place(0), 10)).items == ()
        await still_arrives(forger, bob)


async def test_permission_is_enforced_here_even_if_no_relay_does():
    """What the owner did not grant is quarantined, though a relay let it pass."""
    async with forging() as (forger, bob):
        await bob.set_permissions(OWNER, ("writer", "@alice/requester"), GrantChange(classes=("task",)))
        await forger.deliver(await forger.seal(TextMessage("let me in")))
        assert await codes(bob) == ["not-permitted"]
        assert await texts(bob) == []


async def test_the_rate_is_enforced_here_even_if_no_relay_does():
    """More than the owner allows a minute is quarantined."""
    async with forging() as (forger, bob):
        await bob.set_permissions(OWNER, ("writer", "@alice/requester"), GrantChange(rate_per_minute=2))
        for number in range(4):
            await forger.deliver(await forger.seal(TextMessage(f"number {number}")))
        assert await texts(bob) == ["number 0", "number 1"]
        assert await codes(bob) == ["rate-limited", "rate-limited"]


async def test_a_burst_that_the_relay_has_paced_is_taken():
    """Written at once and let through at the rate, all of it arrives."""
    async with forging() as (forger, bob):
        await bob.set_permissions(OWNER, ("writer", "@alice/requester"), GrantChange(rate_per_minute=2))
        burst = [await forger.seal(TextMessage(f"number {number}")) for number in range(5)]
        for number, sealed in enumerate(burst):
            forger.clock.ahead_ms += 30_000 if number > 1 else 0
            await forger.deliver(sealed)
        assert await texts(bob) == [f"number {number}" for number in range(5)]
        assert await codes(bob) == []


async def test_an_agent_that_the_device_does_not_serve_speaks_for_nobody():
    """A device cannot write in the name of an agent that its owner's log does not give it."""
    async with forging() as (forger, bob):
        await forger.deliver(await forger.seal(TextMessage("hello"), from_="somebody"))
        assert await codes(bob) == ["unknown-agent"]


async def test_an_event_of_no_task_known_here_is_set_aside():
    """A worker's event for a task that nobody asked for has no effect."""
    async with forging() as (forger, bob):
        nothing = Hash(b"n" * 32)
        link = TaskLink(nothing, 0, None, Seen(1, nothing))
        await forger.deliver(await forger.seal(TaskSeen(), link=link))
        assert await codes(bob) == ["bad-link"]
        await still_arrives(forger, bob)


async def test_a_relays_word_that_something_was_not_delivered_does_not_undo_a_receipt():
    """An undeliverable notice is hearsay: what its recipient has signed for stays delivered."""
    async with a_world() as world:
        alice, bob = Machine("alice"), Machine("bob")
        async with connected(world, alice, bob) as (a, _):
            sent = await a.send_message(OWNER, "requester", "@bob/writer", "hello", (), "", "")

            async def delivered():
                shown = await a.message(OWNER, sent.message.hex())
                return shown.delivery is not None and shown.delivery.rung == "delivered"

            await until(delivered)
        forger = await forger_between(world, bob, alice)
        at = RelayCursor(URL, OTHER, Offset(1))
        await forger.inbound.take(Notice(1, sent.message, RejectCode.EXPIRED), at)
        assert await delivered()


async def test_a_relays_word_about_what_it_never_took_ends_nothing():
    """What still waits here is not over because a relay says so: it is sent once one takes it."""
    async with a_world() as world:
        alice, bob = Machine("alice"), Machine("bob")
        async with connected(world, alice, bob) as (a, _):
            world.stop_relay()
            sent = await a.send_message(OWNER, "requester", "@bob/writer", "hello", (), "", "")
        forger = await forger_between(world, bob, alice)
        at = RelayCursor(URL, OTHER, Offset(1))
        await forger.inbound.take(Notice(1, sent.message, RejectCode.EXPIRED), at)
        shown = await a.message(OWNER, sent.message.hex())
        assert shown.delivery is not None
        assert shown.delivery.rung == "queued"


async def test_a_request_speaks_for_no_other_agent_than_the_one_it_comes_from():
    """Signed by its owner all the same, and in an envelope of another agent: there is no such request."""
    async with forging() as (forger, bob):
        own, peer = await forger.alice.own_log(), await forger.bob.own_log()
        manage = forger.alice.keys.device.manage
        assert manage is not None
        raw = sign_request(
            AgentRef(own.account, "another"),
            AgentRef(peer.account, "writer"),
            at=forger.clock.now(),
            expires_at=Instant(forger.clock.now() + 1_000_000),
            nonce=bytes(16),
            log=own.position,
            by=manage,
        )
        await forger.deliver(await forger.seal(ConnectionRequested(raw, b"", b"", "", own.statements)))
        assert await codes(bob) == ["wrong-sender"]
        assert await bob.connections(OWNER, "requested_in", "") == ()


async def test_a_third_agent_has_no_say_in_a_task():
    """Another agent of the requester's owner, connected as well, cancels nothing of what is not its own."""
    async with a_world() as world:
        alice, bob = Machine("alice"), Machine("bob")
        async with world.running(alice) as a, world.running(bob) as b:
            await set_up(a, "alice", "requester")
            await set_up(b, "bob", "writer")
            await a.create_agent(OWNER, NewAgent("second"))
            await connect(a, b, "requester", "@bob/writer")
            await connect(a, b, "second", "@bob/writer")
        forger = await forger_between(world, alice, bob)
        daemon = await world.open_daemon(bob)
        request = await forger.seal(TaskRequest("Title", "Brief"), link=FIRST)
        task = request.envelope.hash
        await forger.deliver(request)
        link = TaskLink(task, 1, task, Seen(0, None))
        await forger.deliver(await forger.seal(TaskCancel("mine"), link=link, from_="second"))
        assert await codes(daemon) == ["wrong-party"]
        assert (await daemon.task(OWNER, task.hex())).summary.state == "sent"


async def test_a_log_of_another_account_is_not_taken_for_the_one_asked_for():
    """A relay that shows some good log in place of a peer's has shown nothing."""
    async with forging() as (forger, _):
        keys = DeviceKeys.generate_managing("stranger", system.entropy)
        recovery = SigningKey.from_seed(system.entropy(32))
        stranger = create("stranger", keys, recovery, at=forger.clock.now())
        asked = AccountId(b"\x07" * 32)
        assert await judge(forger.bob, asked, 0, [stranger]) is None
        assert await judge(forger.bob, fold([stranger]).account, 0, [stranger]) is not None


async def test_an_item_that_breaks_the_daemon_is_set_aside_and_blocks_nothing(monkeypatch):
    """Where a fault of ours meets an item, the owner finds it in the quarantine, and the next comes."""
    break_on_poison(monkeypatch)
    async with forging() as (forger, bob):
        await forger.deliver(await forger.seal(TextMessage("poison")))
        assert await codes(bob) == ["internal"]
        await still_arrives(forger, bob)


async def test_a_number_used_twice_is_proof_even_if_the_item_has_another_fault():
    """The second envelope is not allowed anyway; the daemon lives on, and keeps the evidence."""
    async with forging() as (forger, bob):
        await forger.deliver(await forger.seal(TextMessage("first"), sequence=5_000))
        await forger.deliver(await forger.seal(TextMessage("second"), sequence=5_000, from_="somebody"))
        assert await codes(bob) == ["unknown-agent"]
        assert len((await forger.bob.store.evidence(Place(0), 10)).items) == 1
        await still_arrives(forger, bob)


async def test_events_that_come_in_the_wrong_order_make_the_same_task():
    """The cancel comes before the request that it cancels: it waits, and then both count."""
    async with forging() as (forger, bob):
        request = await forger.seal(TaskRequest("Title", "Brief"), link=FIRST)
        task = request.envelope.hash
        link = TaskLink(task, 1, task, Seen(0, None))
        cancel = await forger.seal(TaskCancel("never mind"), link=link)
        await forger.deliver(cancel)
        ((row,), _) = await bob.tasks(OWNER, "", "", "", "", 10)
        assert row.state == "unknown"
        assert (await bob.task(OWNER, task.hex())).waiting
        for again in (request, cancel, request):
            await forger.deliver(again)
        view = await bob.task(OWNER, task.hex())
        assert view.summary.state == "cancelled"
        assert view.summary.title == "Title"
        assert view.waiting == ()
        assert [event.type for event in view.events] == ["task_request", "task_cancel", "task_seen"]


async def test_an_event_that_names_what_was_never_signed_closes_its_chain():
    """Alice claims to have seen an acceptance that bob never signed: set aside, told, without effect."""
    async with forging() as (forger, bob):
        request = await forger.seal(TaskRequest("Title", "Brief"), link=FIRST)
        task = request.envelope.hash
        await forger.deliver(request)
        await bob.act(OWNER, task.hex(), TaskAction("accept"))
        lie = await forger.seal(
            TaskCancel("you said so"), link=TaskLink(task, 1, task, Seen(1, Hash(b"x" * 32)))
        )
        await forger.deliver(lie)
        assert await codes(bob) == ["unknown-seen"]
        view = await bob.task(OWNER, task.hex())
        assert view.summary.state == "accepted"
        assert any("closed" in line for line in view.waiting)


async def test_a_fork_in_a_peers_chain_is_kept_as_evidence_and_told():
    """Two events of one device at one place: one counts, both are kept, the owner sees an alarm."""
    async with forging() as (forger, bob):
        request = await forger.seal(TaskRequest("Title", "Brief"), link=FIRST)
        task = request.envelope.hash
        await forger.deliver(request)
        for reason in ("one", "two"):
            link = TaskLink(task, 1, task, Seen(0, None))
            await forger.deliver(await forger.seal(TaskCancel(reason), link=link))
        assert any("same place" in alarm for alarm in (await bob.status()).alarms)
        assert [item.kind for item in (await forger.bob.store.evidence(Place(0), 9)).items] == ["fork"]
        assert (await bob.task(OWNER, task.hex())).summary.state == "cancelled"


async def test_more_open_tasks_than_granted_are_not_taken():
    """The owner allows one open task; the second request is set aside."""
    async with forging() as (forger, bob):
        await bob.set_permissions(OWNER, ("writer", "@alice/requester"), GrantChange(task_budget=1))
        for title in ("one", "two"):
            await forger.deliver(await forger.seal(TaskRequest(title, ""), link=FIRST))
        ((row,), _) = await bob.tasks(OWNER, "", "", "", "", 10)
        assert row.title == "one"
        assert await codes(bob) == ["not-permitted"]


async def test_an_account_with_two_histories_is_held_and_its_owner_named():
    """Alice's keys sign two next statements; bob, who holds one, is shown the other: held, kept, told."""
    async with forging() as (forger, bob):
        log = await forger.alice.own_log()
        manage = forger.alice.manage
        now = forger.clock.now()
        known = log.extend([rename(log.state, "alice-one", at=now, by=manage)])
        other = log.extend([rename(log.state, "alice-two", at=now, by=manage)])
        other = other.extend([rename(other.state, "alice-three", at=now, by=manage)])
        draft = Draft(forger.bob)
        draft.take_log(await forger.bob.logs.get(log.account), known)
        await draft.commit()

        forger.shown = other.statements
        own_log = forger.alice.logs
        own_log.put(other)
        await forger.deliver(await forger.seal(TextMessage("from the other branch")))
        assert await codes(bob) == ["account-held"]
        assert any("two histories" in alarm for alarm in (await bob.status()).alarms)
        assert [item.kind for item in (await forger.bob.store.evidence(Place(0), 9)).items] == ["forked"]
        await forger.deliver(await forger.seal(TextMessage("once more")))
        assert await codes(bob) == ["account-held", "account-held"]
        assert await texts(bob) == []


async def test_a_second_account_under_a_known_name_is_not_believed():
    """Somebody else's log with alice's name does not replace hers, and the owner is told."""
    async with forging() as (forger, bob):
        keys = DeviceKeys.generate_managing("liar", system.entropy)
        assert keys.manage is not None
        recovery = SigningKey.from_seed(system.entropy(32))
        now = forger.clock.now()
        liar = fold([create("alice", keys, recovery, at=now)])
        liar = liar.extend([set_agent(liar.state, "requester", [keys.id], at=now, by=keys.manage)])
        peer = await forger.bob.own_log()
        mine, to = AgentRef(liar.account, "requester"), AgentRef(peer.account, "writer")
        raw = sign_request(
            mine,
            to,
            at=now,
            expires_at=Instant(now + 1_000_000),
            nonce=bytes(16),
            log=liar.position,
            by=keys.manage,
        )
        sealed = seal_envelope(
            Content(
                ConnectionRequested(raw, b"", b"", "it is me", liar.statements), ConversationId(bytes(16))
            ),
            Address(mine, to, 1, liar.position, peer.position),
            created_at=now,
            expires_at=Instant(now + 1_000_000),
            device_key=keys.signing,
            entropy=system.entropy,
        )
        await forger.deliver(sealed)
        assert await codes(bob) == ["unknown-account"]
        assert any("second account claims" in alarm for alarm in (await bob.status()).alarms)
        assert await bob.connections(OWNER, "requested_in", "") == ()


@pytest.mark.parametrize(
    ("change", "send"),
    [
        (GrantChange(classes=("message",)), TaskRequest("Title", "Brief")),
        (GrantChange(largest_bytes=1_000), TextMessage("x" * 2_000)),
        (GrantChange(until=Instant(1)), TextMessage("late")),
        (GrantChange(rate_per_minute=0), TextMessage("fast")),
        (GrantChange(task_budget=0), TaskRequest("Title", "Brief")),
    ],
)
async def test_each_permission_holds_with_a_relay_that_admits_everything(change, send):
    """Class, size, end, rate and budget are asked again here, and what they refuse has no effect."""
    async with forging() as (forger, bob):
        await bob.set_permissions(OWNER, ("writer", "@alice/requester"), change)
        link = FIRST if isinstance(send, TaskRequest) else None
        await forger.deliver(await forger.seal(send, link=link))
        assert await codes(bob) in (["not-permitted"], ["rate-limited"])
        assert await texts(bob) == []
        assert (await bob.tasks(OWNER, "", "", "", "", 10))[0] == ()
        assert await bob.gates.held_tasks(OWNER) == ()
