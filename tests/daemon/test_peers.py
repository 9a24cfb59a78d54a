"""Who peers are: compared, pinned, in question. What is for one in question waits, and is not lost."""

from __future__ import annotations

import pytest
import trio

from taskferry_apps import system
from taskferry_apps.daemon.core import Core
from taskferry_apps.daemon.names import handle_of
from taskferry_apps.daemon.outbound import HELD_BACK_MS, Outbound
from taskferry_apps.daemon.peers import PeerBook
from taskferry_apps.daemon.port import Caller, DaemonRefusal
from taskferry_apps.daemon.service import Daemon
from taskferry_protocol import accounts
from taskferry_protocol.accounts import AccountLog, rename, revoke_device
from taskferry_protocol.crypto import SigningKey
from taskferry_protocol.devices import DeviceKeys
from taskferry_protocol.frame_items import Refusal
from taskferry_protocol.ids import AgentRef, ConversationId, Hash, Instant, LogPosition
from taskferry_protocol.messages import ConnectionEnded, Content, TextMessage
from taskferry_protocol.records import Place
from taskferry_protocol.safety import SafetyCode, safety_code
from taskferry_protocol.sealing import Address, Sealed, seal_envelope

from .forger import Forger, codes, forging
from .test_long_queue import HeldBack
from .worlds import OWNER, a_world, connected, texts

ALICE = "@alice/requester"


async def nobody_answers(account: bytes, refusal: Refusal) -> bool:
    """The relay has nothing more to tell."""
    await trio.lowlevel.checkpoint()
    return False


async def going_out(core: Core) -> int:
    """How much would be sent to the relay now."""
    return len(await Outbound(core, HeldBack(), nobody_answers).due())


async def say(bob: Daemon, text: str):
    """A message from bob to alice."""
    return await bob.send_message(OWNER, "writer", ALICE, text, (), "", "")


async def trust_of(bob: Daemon) -> str:
    """How alice stands at bob, where connections are listed."""
    (connection,) = await bob.connections(OWNER, "", "")
    assert connection.trust == (await bob.peers.peer(OWNER, "@alice")).trust
    return connection.trust


def a_namesake(forger: Forger) -> tuple[AccountLog, DeviceKeys]:
    """An account that a lying relay has made under alice's name."""
    keys = DeviceKeys.generate_managing("laptop", system.entropy)
    recovery = SigningKey.from_seed(system.entropy(32))
    now = forger.clock.now()
    log = accounts.fold([accounts.create("alice", keys, recovery, at=now)])
    manage = keys.manage
    assert manage is not None
    return log.extend([accounts.set_agent(log.state, "requester", (keys.id,), at=now, by=manage)]), keys


async def its_message(forger: Forger, log: AccountLog, keys: DeviceKeys) -> Sealed:
    """A message of the namesake's to bob."""
    peer = await forger.bob.own_log()
    return seal_envelope(
        Content(ConnectionEnded(b"a statement", "it is me, alice"), ConversationId(bytes(16))),
        Address(
            AgentRef(log.account, "requester"),
            AgentRef(peer.account, "writer"),
            1,
            log.position,
            peer.position,
        ),
        created_at=forger.clock.now(),
        expires_at=Instant(forger.clock.now() + 3_600_000),
        device_key=keys.signing,
        entropy=system.entropy,
    )


# --- Comparing


async def test_both_sides_see_one_code_and_verify_by_it():
    """The code that one side shows verifies the other; trust is shown wherever the peer is."""
    async with a_world() as world, connected(world) as (a, b):
        at_alice, at_bob = await a.peers.peer(OWNER, "@bob/writer"), await b.peers.peer(OWNER, ALICE)
        assert at_alice.code == at_bob.code
        assert (at_alice.trust, at_bob.trust) == ("unverified", "unverified")
        assert [device.label for device in at_bob.devices] == ["laptop"]
        verified = await b.peers.verify(OWNER, ALICE, at_alice.code.digits.replace(" ", "-"))
        assert verified.trust == await trust_of(b) == "verified"
        assert (await b.peers.unverify(OWNER, "@alice")).trust == "unverified"
        assert (await b.peers.trust(OWNER, at_bob.account.hex()[:12])).trust == await trust_of(b) == "pinned"
        assert [peer.owner for peer in await b.peers.peers(OWNER)] == ["alice"]
        found = (await b.audit.entries(OWNER, "trust_changed", "", 10)).entries
        assert [dict(entry.note.facts)["to"] for entry in found] == ["pinned", "unverified", "verified"]


async def test_a_relay_that_shows_each_another_account_is_found_out():
    """Both compare, and the digits differ: nothing is verified, and the attempt is written down."""
    async with forging() as (forger, bob):
        impostor, _ = a_namesake(forger)
        as_alice_sees_it = safety_code(forger.alice.own, impostor.account)
        for read_out in (as_alice_sees_it.digits, " ".join(as_alice_sees_it.words)):
            with pytest.raises(DaemonRefusal) as refused:
                await bob.peers.verify(OWNER, ALICE, read_out)
            assert (refused.value.code, await trust_of(bob)) == ("wrong-code", "unverified")
        found = (await bob.audit.entries(OWNER, "trust_changed", "", 10)).entries
        assert [dict(entry.note.facts)["to"] for entry in found] == ["not verified"] * 2


async def test_the_safety_words_verify_as_the_digits_do():
    """However they are set apart and in whatever case; they are 24 words of the project's list."""
    async with forging() as (_, bob):
        code = (await bob.peers.peer(OWNER, ALICE)).code
        assert len(code.words) == 24
        said = ", ".join(f"{n}. {word.capitalize()}" for n, word in enumerate(code.words, 1))
        assert (await bob.peers.verify(OWNER, ALICE, said)).trust == "verified"


def short_of_it(code: SafetyCode) -> list[tuple[str, str]]:
    """What is no code at all, and what is said of it."""
    words = list(code.words)
    return [
        (" ".join(words[:6]), "has 24 words; this has 6"),
        (" ".join([*words, words[0]]), "has 24 words; this has 25"),
        (" ".join(["acron", *words[1:]]), "acron is not on the list"),
        (" ".join(["ａｃｏｒｎ", *words[1:]]), "is not on the list"),
        (code.digits[:-1], "has 60 digits; this has 59"),
        ("１" + code.digits[1:], "24 words, or 60 digits"),
        ("- . -", "60 digits; this has 0"),
        ("?", "24 words, or 60 digits"),
    ]


async def test_what_is_no_whole_code_is_a_slip_and_no_alarm():
    """Too few words, a word of no list, a digit short: said so, nothing written down, nothing verified."""
    async with forging() as (_, bob):
        for typed, told in short_of_it((await bob.peers.peer(OWNER, ALICE)).code):
            with pytest.raises(DaemonRefusal, match=told) as refused:
                await bob.peers.verify(OWNER, ALICE, typed)
            assert (refused.value.code, await trust_of(bob)) == ("bad-value", "unverified")
        assert (await bob.audit.entries(OWNER, "trust_changed", "", 10)).entries == ()


@pytest.mark.parametrize("named", ["@nobody", "@nobody/x", "00000000", "@bob", "@", "zz"])
async def test_who_is_not_known_is_said(named):
    """Neither strangers nor oneself are other owners that are known here."""
    async with forging() as (_, bob):
        for act in (bob.peers.peer, bob.peers.trust, bob.peers.keep):
            with pytest.raises(DaemonRefusal):
                await act(OWNER, named)


async def test_a_program_decides_nothing():
    """What talks an agent into something reaches no identity."""
    async with forging() as (_, bob):
        program, peers = Caller(frozenset({"writer"})), bob.peers
        code = (await peers.peer(OWNER, ALICE)).code
        for attempt in (
            peers.peers(program),
            peers.peer(program, ALICE),
            peers.verify(program, ALICE, code.digits),
            peers.trust(program, ALICE),
            peers.unverify(program, ALICE),
            peers.keep(program, ALICE),
            peers.accept_change(program, ALICE),
        ):
            with pytest.raises(DaemonRefusal) as refused:
                await attempt
            assert refused.value.code == "owner-only"
        assert await trust_of(bob) == "unverified"


# --- Attacks


async def a_second_claim(forger: Forger) -> AccountLog:
    """A lying relay delivers a message of another account that has alice's name."""
    log, keys = a_namesake(forger)
    forger.shown = log.statements
    await forger.deliver(await its_message(forger, log, keys))
    return log


async def an_unknown_history(forger: Forger) -> None:
    """Alice has revoked a device, and the relay hides it: what she sends quotes a log that nobody shows."""
    log = await forger.alice.own_log()
    forger.shown = log.statements
    manage = forger.alice.manage
    other = DeviceKeys.generate("lost phone", system.entropy)
    consent = accounts.consent_to_stand(other, log.account, log.state.length)
    now = forger.clock.now()
    grown = log.extend([accounts.add_device(log.state, other.record, consent, at=now, by=manage)])
    grown = grown.extend([revoke_device(grown.state, other.id, at=now, by=manage, reason="lost")])
    forger.alice.logs.put(grown)
    await forger.deliver(await forger.seal(TextMessage("my phone was stolen")))


async def a_fork(forger: Forger) -> None:
    """Two histories, each signed by alice's manage key."""
    log, manage, now = await forger.alice.own_log(), forger.alice.manage, forger.clock.now()
    one, two = (log.extend([rename(log.state, name, at=now, by=manage)]) for name in ("alice-1", "alice-2"))
    for shown in (one, two):
        forger.shown = shown.statements
        forger.alice.logs.put(shown)
        await forger.deliver(await forger.seal(TextMessage("hello")))


async def test_a_second_account_under_a_pinned_name_stops_what_is_sent():
    """What waits says why; the owner is told at once; the pinned account stays, and its mail still comes."""
    async with forging() as (forger, bob):
        before = await going_out(forger.bob)
        other = await a_second_claim(forger)
        assert await trust_of(bob) == "changed"
        assert (await bob.status()).changed == ("@alice",)
        assert any("second account" in alarm for alarm in (await bob.status()).alarms)
        sent = await say(bob, "secret")
        assert "in question" in sent.warnings[0]
        assert await going_out(forger.bob) == 0
        delivery = (await bob.message(OWNER, sent.message.hex())).delivery
        assert delivery is not None
        assert (delivery.rung, delivery.code) == ("queued", "identity-changed")
        shown = await bob.peers.peer(OWNER, ALICE)
        assert shown.change is not None
        assert (shown.change.what, shown.change.other) == ("second_claim", other.account)
        assert shown.account == forger.alice.own
        await forger.deliver(await forger.seal(TextMessage("the true one")))
        assert await texts(bob) == ["the true one"]
        forger.clock.ahead_ms += HELD_BACK_MS
        assert await going_out(forger.bob) == 0
        assert (await bob.peers.keep(OWNER, ALICE)).trust == "unverified"
        assert await going_out(forger.bob) == before + 1


@pytest.mark.parametrize("doubt", [a_second_claim, an_unknown_history])
@pytest.mark.parametrize("decided", ["keep", "verify"])
async def test_no_alarm_stands_once_the_owner_has_decided(doubt, decided):
    """Its cause is gone: what stands from then on is something else."""
    async with forging() as (forger, bob):
        await doubt(forger)
        assert len((await bob.status()).alarms) == 1
        if decided == "keep":
            await bob.peers.keep(OWNER, ALICE)
        else:
            code = safety_code(forger.alice.own, forger.bob.own)
            await bob.peers.verify(OWNER, ALICE, code.digits)
        status = await bob.status()
        assert (status.changed, status.alarms) == ((), ())


async def test_what_was_shown_is_kept_and_nothing_that_came_later():
    """A page may be older than the press on it: another question is not settled with the one on it."""
    async with forging() as (forger, bob):
        await an_unknown_history(forger)
        shown = (await bob.peers.peer(OWNER, ALICE)).change
        assert shown is not None
        await bob.peers.keep(OWNER, ALICE, shown.at)
        await a_second_claim(forger)
        with pytest.raises(DaemonRefusal) as refused:
            await bob.peers.keep(OWNER, ALICE, shown.at)
        assert refused.value.code == "conflict"
        assert (await bob.status()).changed == ("@alice",)


async def test_comparing_the_code_settles_a_second_claim():
    """The pinned account is the true one, by its owner's own voice: verified, and what waits goes out."""
    async with forging() as (forger, bob):
        await a_second_claim(forger)
        await say(bob, "secret")
        assert await going_out(forger.bob) == 0
        code = safety_code(forger.alice.own, forger.bob.own)
        assert (await bob.peers.verify(OWNER, ALICE, code.digits)).trust == "verified"
        assert await going_out(forger.bob) >= 1
        assert (await bob.status()).changed == ()


async def test_accepting_a_change_gives_the_name_away_and_sends_nothing_to_the_former_account():
    """The other account is unverified and unconnected; the former one keeps a name that nobody can claim."""
    async with forging() as (forger, bob):
        other = await a_second_claim(forger)
        await say(bob, "sealed for the former account")

        async def find(name: str) -> AccountLog:
            await trio.lowlevel.checkpoint()
            assert name == "alice"
            return other

        book = PeerBook(forger.bob, find)
        accepted = await book.accept_change(OWNER, ALICE)
        assert (accepted.account, accepted.trust, accepted.owner) == (other.account, "unverified", "alice")
        assert (await bob.status()).alarms == ()
        former = await book.peer(OWNER, forger.alice.own.hex())
        assert (former.trust, former.owner) == ("changed", f"alice~{forger.alice.own.hex()[:12]}")
        forger.clock.ahead_ms += HELD_BACK_MS
        assert await going_out(forger.bob) == 0
        asking = AgentRef(forger.alice.own, "requester")
        assert await handle_of(forger.bob, asking) == f"@{former.owner}/requester"
        await forger.deliver(await forger.seal(TextMessage("from the former account")))
        assert await texts(bob) == []
        assert "account-held" in await codes(bob)
        for act in (book.keep, book.trust):
            with pytest.raises(DaemonRefusal):
                await act(OWNER, forger.alice.own.hex())
        log = await forger.alice.own_log()
        grown = log.extend([rename(log.state, "alice", at=forger.clock.now(), by=forger.alice.manage)])
        forger.shown = grown.statements
        forger.alice.logs.put(grown)
        await forger.deliver(await forger.seal(TextMessage("with news of its log")))
        assert (await book.peer(OWNER, "@alice")).account == other.account


async def test_a_relay_that_shows_a_third_account_is_not_followed():
    """What is accepted is the account that was shown, or nothing."""
    async with forging() as (forger, _):
        await a_second_claim(forger)
        third, _keys = a_namesake(forger)

        async def find(name: str) -> AccountLog:
            await trio.lowlevel.checkpoint()
            return third

        with pytest.raises(DaemonRefusal) as refused:
            await PeerBook(forger.bob, find).accept_change(OWNER, ALICE)
        assert refused.value.status == 409
        assert (await PeerBook(forger.bob, find).peer(OWNER, ALICE)).account == forger.alice.own


async def test_a_hidden_revocation_is_noticed_by_the_log_that_an_envelope_quotes():
    """The relay withholds the statements: the message has no effect, and sending stops until a decision."""
    async with forging() as (forger, bob):
        await an_unknown_history(forger)
        assert await codes(bob) == ["not-an-extension"]
        assert await trust_of(bob) == "changed"
        await say(bob, "secret")
        assert await going_out(forger.bob) == 0
        with pytest.raises(DaemonRefusal):
            await bob.peers.accept_change(OWNER, ALICE)
        with pytest.raises(DaemonRefusal):
            await bob.peers.trust(OWNER, ALICE)
        assert (await bob.peers.keep(OWNER, ALICE)).trust == "unverified"


async def test_a_forked_account_is_settled_by_its_owner_alone():
    """Neither keeping nor verifying ends the hold of an account with two histories."""
    async with forging() as (forger, bob):
        await a_fork(forger)
        shown = await bob.peers.peer(OWNER, forger.alice.own.hex())
        assert shown.change is not None
        assert (shown.trust, shown.change.what) == ("changed", "forked")
        with pytest.raises(DaemonRefusal) as refused:
            await say_to(bob, shown.owner)
        assert refused.value.code == "account-held"
        for attempt in (
            bob.peers.keep(OWNER, shown.account.hex()),
            bob.peers.verify(OWNER, shown.account.hex(), shown.code.digits),
        ):
            with pytest.raises(DaemonRefusal) as refused:
                await attempt
            assert refused.value.code == "conflict"
        kinds = [entry.note.kind for entry in (await bob.audit.entries(OWNER, "", "", 50)).entries]
        assert "identity_changed" in kinds
        assert len((await forger.bob.store.evidence(Place(0), 9)).items) == 1


async def say_to(bob: Daemon, owner: str) -> None:
    """A message to whatever alice is called now."""
    await bob.send_message(OWNER, "writer", f"@{owner}/requester", "hello", (), "", "")


async def test_a_strangers_noise_puts_no_identity_in_question():
    """Mail that alice's device has not signed, quoting whatever it likes, changes nothing about alice."""
    async with forging() as (forger, bob):
        log = await forger.alice.own_log()
        thief = DeviceKeys.generate("thief", system.entropy)
        forged = seal_envelope(
            Content(TextMessage("x"), ConversationId(bytes(16))),
            Address(
                AgentRef(log.account, "requester"),
                AgentRef(forger.bob.own, "writer"),
                7,
                beyond(log, 9),
                (await forger.bob.own_log()).position,
            ),
            created_at=forger.clock.now(),
            expires_at=Instant(forger.clock.now() + 3_600_000),
            device_key=thief.signing,
            entropy=system.entropy,
        )
        forger.shown = log.statements
        await forger.deliver(forged)
        assert len(await codes(bob)) == 1
        assert await trust_of(bob) == "unverified"


def beyond(log: AccountLog, more: int):
    """A position that the log does not have."""
    return LogPosition(log.state.length + more, Hash(bytes(32)))
