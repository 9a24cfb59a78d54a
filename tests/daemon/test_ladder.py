"""What senders are told of their mail: each rung once it is reached, none before, and only if allowed."""

from __future__ import annotations

import pytest

from taskferry_apps.daemon.delivery import delivery_words, idle_warning
from taskferry_apps.daemon.draft import Draft
from taskferry_apps.daemon.outbound import Outbound
from taskferry_apps.daemon.port import Caller, DaemonRefusal, Look
from taskferry_apps.daemon.runtimes_port import NewRuntime
from taskferry_apps.daemon.views import Delivery
from taskferry_protocol.ids import AccountId, AgentRef, Hash, Instant, sha256
from taskferry_protocol.limits import DAY_MS
from taskferry_protocol.messages import Outcome, Receipt, ReceiptItem
from taskferry_protocol.records import DropOutbox, Flow, PeerWord, Rung, SetRung

from .test_long_queue import HeldBack
from .worlds import OWNER, Machine, a_world, ask, connect, connected, on_rung, set_up, until

WRITER = Caller(frozenset({"writer"}))


async def rung_of(a, message):
    """How far a message has come."""
    return (await a.message(OWNER, message.hex())).delivery.rung


async def say(a, text="hello"):
    """A message to the writer; its id."""
    return (await a.send_message(OWNER, "requester", "@bob/writer", text, (), "", "")).message


async def say_what_is_owed(daemon):
    """Let a daemon say now what it would say within half a minute."""
    daemon._core.outgoing.ring()


async def test_each_rung_is_told_when_it_is_reached_and_not_before():
    """Delivered, offered by a header, read with the content, processed when acknowledged; each in words."""
    async with a_world() as world, connected(world) as (a, b):
        message = await say(a)
        delivered = await on_rung(a, message, "delivered")
        assert delivered.told
        assert "no agent has looked at it yet" in delivered.words
        await b.inbox(WRITER, "writer", True, "", 50, 0, look=Look.HEADERS)
        await say_what_is_owed(b)
        offered = await on_rung(a, message, "offered")
        assert [name for name, _ in offered.history] == ["queued", "relayed", "delivered", "offered"]
        await b.inbox(WRITER, "writer", True, "", 50, 0)
        await say_what_is_owed(b)
        assert (await on_rung(a, message, "read")).words.startswith("Read by @bob/writer at ")
        await b.acknowledge(WRITER, message.hex())
        await say_what_is_owed(b)
        assert "Processed by @bob/writer" in (await on_rung(a, message, "processed")).words


async def test_an_agent_that_opens_a_task_has_read_it():
    """However it comes by the content: an agent that was shown it has read it; an owner's look is none."""
    async with a_world() as world, connected(world) as (a, b):
        task = await ask(a, "requester", "@bob/writer")
        await on_rung(a, task, "delivered")
        await b.task(OWNER, task.hex())
        assert await b._core.store.receipts_owed(9) == ()
        await b.task(WRITER, task.hex())
        await say_what_is_owed(b)
        await on_rung(a, task, "read")


async def test_what_its_owner_forbids_is_not_told_and_that_is_said():
    """With telling off, the sender hears `delivered` and that no more will come, and no receipt is sent."""
    async with a_world() as world, connected(world) as (a, b):
        await b.gates.set_telling(OWNER, "writer", tells=False)
        message = await say(a)
        delivered = await on_rung(a, message, "delivered")
        assert delivered.told is False
        assert "@bob does not let it be told whether it was read" in delivered.words
        await b.inbox(WRITER, "writer", True, "", 50, 0)
        await b.acknowledge(WRITER, message.hex())
        assert await b._core.store.receipts_owed(9) == ()
        # Later mail makes the same way, and nothing comes with it.
        later = await say(a, "again")
        await on_rung(a, later, "delivered")
        assert await rung_of(a, message) == "delivered"
        word = await a._core.store.peer_words([await flow(a, b)])
        assert [(one.tells, one.seen_at) for one in word.values()] == [(False, None)]


async def flow(a, b):
    """From alice's requester to bob's writer."""
    return Flow(
        AgentRef(a._core.own, "requester"),
        AgentRef(b._core.own, "writer"),
    )


async def test_what_was_marked_before_telling_ended_is_not_told_after_it():
    """An owner who stops it in time has stopped it: what is owed and was not said is dropped."""
    async with a_world() as world, connected(world) as (a, b):
        message = await say(a)
        await on_rung(a, message, "delivered")
        await b.inbox(WRITER, "writer", True, "", 50, 0)
        assert await b._core.store.receipts_owed(9) != ()
        await b.gates.set_telling(OWNER, "writer", tells=False)
        await on_rung(a, await say(a, "again"), "delivered")
        assert await b._core.store.receipts_owed(9) == ()
        assert await rung_of(a, message) == "delivered"


async def test_what_the_owner_looks_at_is_nobodys_business():
    """An owner who reads and acknowledges tells nothing; what an agent does then is told all the same."""
    async with a_world() as world, connected(world) as (a, b):
        message = await say(a)
        await on_rung(a, message, "delivered")
        await b.inbox(OWNER, "writer", True, "", 50, 0)
        await b.message(OWNER, message.hex())
        assert await b._core.store.receipts_owed(9) == ()
        assert (await b._core.store.agents_seen()) == {}
        bound = (await b.runtimes.bind(OWNER, NewRuntime("writer", "claude-code"))).runtime
        await b.inbox(OWNER, "writer", True, "", 50, 0, runtime=bound.id)
        await say_what_is_owed(b)
        await on_rung(a, message, "read")


async def test_no_more_than_one_receipt_a_rung_is_owed():
    """However often an agent looks, its sender is told once."""
    async with a_world() as world, connected(world) as (a, b):
        await on_rung(a, await say(a), "delivered")
        for _ in range(5):
            await b.inbox(WRITER, "writer", True, "", 50, 0)
            await b.inbox(WRITER, "writer", True, "", 50, 0, look=Look.HEADERS)
        owed = await b._core.store.receipts_owed(99)
        assert sorted(one.outcome for one in owed) == ["offered", "read"]


async def test_a_third_party_moves_no_rung():
    """Whoever claims to have processed what it never got changes nothing about it, or about any agent."""
    async with a_world() as world, connected(world) as (a, b), world.running(Machine("carol")) as c:
        await set_up(c, "carol", "liar")
        await connect(a, c, "requester", "@carol/liar")
        message = await say(a)
        await on_rung(a, message, "delivered")
        items = (ReceiptItem(message, Outcome.PROCESSED), ReceiptItem(Hash(sha256(b"x")), Outcome.READ))
        core = c._core
        async with core.lock:
            draft = Draft(core)
            lie = Receipt(items, tells=True, seen=Instant(2**52))
            await draft.post_quietly(lie, core.agent("liar"), (await flow(a, b)).from_)
            await draft.commit()
        sent = await c.send_message(OWNER, "liar", "@alice/requester", "after the lie", (), "", "")
        # The mailbox keeps order: once this is there, the lie was taken.
        await until(lambda: arrived(a, sent.message))
        assert await rung_of(a, message) == "delivered"
        known = await a._core.store.receipts_got([message])
        assert {one.outcome for one in known[message]} == {"applied"}
        liar = Flow((await flow(a, b)).from_, core.agent("liar"))
        assert await a._core.store.peer_words([liar]) == {}


async def arrived(daemon, message):
    """Whether a message is there."""
    try:
        return await daemon.message(OWNER, message.hex())
    except DaemonRefusal:
        return None


async def test_a_recipient_that_runs_ahead_speaks_of_its_own_mail_alone():
    """A recipient may claim what it likes of its own mail; when its agent ran is never in the future."""
    async with a_world() as world, connected(world) as (a, b):
        message = await say(a)
        await on_rung(a, message, "delivered")
        core = b._core
        async with core.lock:
            draft = Draft(core)
            claim = Receipt((ReceiptItem(message, Outcome.PROCESSED),), tells=True, seen=Instant(2**52))
            await draft.post_quietly(claim, core.agent("writer"), (await flow(a, b)).from_)
            await draft.commit()
        processed = await on_rung(a, message, "processed")
        assert [name for name, _ in processed.history][-2:] == ["delivered", "processed"]
        (word,) = (await a._core.store.peer_words([await flow(a, b)])).values()
        assert word.seen_at == word.said_at


async def test_whoever_sends_to_an_agent_that_nobody_runs_is_told_at_once():
    """From the last that its daemon said: three days ago, or never; and nothing where nothing may be told."""
    async with a_world() as world, connected(world) as (a, b):
        await on_rung(a, await say(a), "delivered")
        sent = await a.send_message(OWNER, "requester", "@bob/writer", "hello?", (), "", "")
        assert any("No program had run @bob/writer yet" in warning for warning in sent.warnings)
        await on_rung(a, sent.message, "delivered")
        await b.inbox(WRITER, "writer", True, "", 50, 0)
        await say_what_is_owed(b)
        await on_rung(a, sent.message, "read")
        sent = await a.send_message(OWNER, "requester", "@bob/writer", "thanks", (), "", "")
        assert not any("run" in warning for warning in sent.warnings)
        world.clock.ahead_ms = 3 * DAY_MS
        sent = await a.send_message(OWNER, "requester", "@bob/writer", "still there?", (), "", "")
        assert any("@bob/writer has not been run for 3 days" in warning for warning in sent.warnings)


async def test_after_a_connection_ended_nothing_more_is_told():
    """Whoever is not connected learns neither what became of mail nor when an agent ran."""
    async with a_world() as world, connected(world) as (a, b):
        message = await say(a)
        await on_rung(a, message, "delivered")
        await b.end_connection(OWNER, ("writer", "@alice/requester"), "revoked", "")
        await b.inbox(WRITER, "writer", True, "", 50, 0)
        await say_what_is_owed(b)

        async def settled():
            return not await b._core.store.receipts_owed(9)

        await until(settled)
        rows = await a._core.store.receipts_got([message])
        assert {row.outcome for row in rows[message]} == {"applied"}


async def test_only_the_owner_says_what_is_told():
    """An agent's credential does not decide what its owner lets be known."""
    async with a_world() as world, world.running(Machine("bob")) as b:
        await set_up(b, "bob", "writer")
        with pytest.raises(DaemonRefusal) as refused:
            await b.gates.set_telling(WRITER, "writer", tells=True)
        assert refused.value.code == "owner-only"
        await b.gates.set_telling(OWNER, "writer", tells=False)
        assert [mode.tells for mode in await b.gates.modes(OWNER)] == [False]


BOB = AgentRef(AccountId(sha256(b"bob")), "writer")
NOW = Instant(1_700_000_000_000)


def word(tells, seen=None):
    """What a peer's daemon said."""
    return PeerWord(BOB, BOB, tells, seen, NOW)


@pytest.mark.parametrize(
    ("rung", "said", "words"),
    [
        ("queued", None, "Queued here"),
        ("relayed", word(True), "not yet on @bob's machine"),
        ("delivered", None, "whether an agent has looked at it is not told"),
        ("delivered", word(True), "no agent has looked at it yet."),
        ("delivered", word(True, NOW), "@bob/writer was last run at 2023-11-14 22:13 UTC."),
        ("delivered", word(False), "@bob does not let it be told whether it was read"),
        ("offered", word(True), "not read yet"),
        ("offered", word(False), "@bob tells no more of it"),
        ("read", word(True), "Read by @bob/writer at 2023-11-14 22:13 UTC."),
        ("processed", word(True), "Processed by @bob/writer"),
        ("expired", None, "whether it was delivered is not known"),
        ("failed", None, "Failed: mailbox-full."),
    ],
)
def test_each_rung_has_its_words(rung, said, words):
    """Not looked yet, and not told, are different sentences."""
    assert words in delivery_words(Delivery(rung, NOW, "mailbox-full"), "@bob/writer", said)


def test_times_that_no_calendar_has_are_no_trouble():
    """A peer names times as it likes."""
    far = delivery_words(Delivery("delivered", Instant(2**53 - 1), ""), "@bob/writer", word(True))
    assert "9999-12-31" in far
    assert idle_warning("@bob/writer", word(True, NOW), Instant(NOW + 1)) is None
    assert idle_warning("@bob/writer", word(False), Instant(2**52)) is None
    hours = idle_warning("@bob/writer", word(True, NOW), Instant(NOW + 7 * 3_600_000))
    assert hours is not None
    assert "7 hours" in hours


async def test_a_recipients_word_outranks_the_relays_late_answer():
    """What its recipient has set aside is failed, though the relay answers its sending only after that."""
    async with a_world() as world, connected(world) as (a, _):
        world.stop_relay()
        sent = await say(a)
        core = a._core
        relay = HeldBack()
        outbound = Outbound(core, relay, _nothing_new)
        (due,) = [entry for entry in await outbound.due() if entry.hash == sent]
        await outbound.send((due,))
        await core.commit(
            (
                SetRung(sent, "requester", Rung.FAILED, "quarantined: not-permitted", core.now()),
                DropOutbox((sent,)),
            )
        )
        relay.answer(0)
        await outbound.settle()
        delivery = (await a.message(OWNER, sent.hex())).delivery
        assert delivery is not None
        assert (delivery.rung, delivery.code) == ("failed", "quarantined: not-permitted")


async def _nothing_new(account, refusal):
    return False
