"""Each parcel is judged alone, and its sender is told what would do better."""

from __future__ import annotations

import attrs
import pytest

from taskferry_protocol.accounts import rotate_keys, set_agent
from taskferry_protocol.calls import AppendStatements, PutGrant
from taskferry_protocol.cbor import decode
from taskferry_protocol.connections import read_request
from taskferry_protocol.crypto import EncryptionKey, Kind
from taskferry_protocol.envelope import encode_header, encode_parcel, encode_payload, read_parcel
from taskferry_protocol.frame_items import ParcelAccepted, Refusal
from taskferry_protocol.ids import AgentRef
from taskferry_protocol.messages import MessageClass
from taskferry_protocol.permissions import read_grant

from .conftest import codes, mails, take
from .people import connect, end, grant, person, read_text, seal, seal_raw, wrap


async def refusal(world, parcel) -> Refusal:
    """What the relay refuses alice's parcel with."""
    async with world.open(world.alice) as alice:
        (outcome,) = await alice.send([parcel])
        assert isinstance(outcome, Refusal)
        return outcome


async def test_strangers_are_refused(world):
    """Without a connection nothing but a request passes."""
    async with world.open(world.bob):
        pass
    found = await refusal(world, seal(world.alice, world.bob, "hi", world.now).parcel)
    assert found.code == "not-connected"


async def test_an_unknown_recipient_is_refused(world):
    """Somebody who never joined cannot be written to."""
    found = await refusal(world, seal(world.alice, world.bob, "hi", world.now).parcel)
    assert found.code == "unknown-recipient"


async def test_an_envelope_of_another_device_is_refused(friends):
    """A session sends for its own device alone."""
    found = await refusal(friends, seal(friends.bob, friends.alice, "hi", friends.now).parcel)
    assert found.code == "not-your-device"


async def test_a_broken_signature_is_refused(friends):
    """A bit flipped in the ciphertext is noticed by the relay already."""
    sent = seal(friends.alice, friends.bob, "hi", friends.now)
    at = sent.parcel.index(sent.sealed.envelope.raw) + len(sent.sealed.envelope.raw) - 100
    broken = sent.parcel[:at] + bytes([sent.parcel[at] ^ 1]) + sent.parcel[at + 1 :]
    assert (await refusal(friends, broken)).code == "bad-signature"


async def test_an_expired_envelope_is_refused(friends):
    """What would be too old on arrival is not taken."""
    parcel = seal(friends.alice, friends.bob, "hi", friends.now, life_ms=1_000).parcel
    friends.clock.ahead_ms = 60_000
    assert (await refusal(friends, parcel)).code == "expired"


async def test_garbage_among_parcels_harms_only_itself(friends):
    """What is no parcel is refused, and its neighbours in the batch pass."""
    good = [seal(friends.alice, friends.bob, text, friends.now).parcel for text in ("one", "two")]
    async with friends.open(friends.alice) as alice, friends.open(friends.bob) as bob:
        outcomes = await alice.send([good[0], b"\x80", b"\xf6", good[1]])
        assert codes(outcomes) == ["accepted", "bad-value", "wrong-type", "accepted"]
        assert [read_text(friends.bob, entry) for entry in mails(await take(bob, 2))] == ["one", "two"]


async def test_the_rate_of_a_grant_is_kept(world):
    """Beyond the granted rate the sender is told when to come back."""
    async with world.open(world.bob), world.open(world.alice) as alice:
        await alice.call(connect(world.alice, world.bob, world.now, rate=5))
        parcels = [seal(world.alice, world.bob, f"{n}", world.now).parcel for n in range(7)]
        outcomes = await alice.send(parcels)
        assert codes(outcomes) == ["accepted"] * 5 + ["rate-limited"] * 2
        last = outcomes[-1]
        assert isinstance(last, Refusal)
        assert last.detail.retry_after is not None
        assert 0 < last.detail.retry_after <= 12_000


async def test_what_was_accepted_is_never_refused_later(world):
    """Sent again when the rate is spent or the connection ended, an accepted envelope keeps its place."""
    async with world.open(world.bob), world.open(world.alice) as alice:
        call = connect(world.alice, world.bob, world.now, rate=1)
        await alice.call(call)
        sent = seal(world.alice, world.bob, "one", world.now).parcel
        assert await alice.send([sent]) == (ParcelAccepted(1),)
        assert await alice.send([sent]) == (ParcelAccepted(1),)
        request = read_request(call.request, world.alice.log)
        await alice.call(end(world.alice, request, world.now))
        assert await alice.send([sent]) == (ParcelAccepted(1),)
        new = seal(world.alice, world.bob, "two", world.now).parcel
        assert codes(await alice.send([new])) == ["not-connected"]


async def test_a_new_grant_counts_at_once(friends):
    """Classes that a later version takes back are refused from then on."""
    async with friends.open(friends.alice) as alice, friends.open(friends.bob) as bob:
        call = connect(friends.alice, friends.bob, friends.now)
        await alice.call(call)
        assert codes(await alice.send([seal(friends.alice, friends.bob, "1", friends.now).parcel])) == [
            "accepted"
        ]
        request = read_request(call.request, friends.alice.log)
        first = read_grant(call.grants[1], friends.bob.log)
        tasks_only = frozenset({MessageClass.TASK})
        await bob.call(PutGrant(grant(friends.bob, request, friends.now, classes=tasks_only, before=first)))
        refused = await alice.send([seal(friends.alice, friends.bob, "2", friends.now).parcel])
        assert codes(refused) == ["not-permitted"]


async def test_a_stale_log_is_answered_with_what_is_missing(friends):
    """The sender takes the statements, wraps the same envelope again, and it passes."""
    alice, bob = friends.alice, friends.bob
    async with friends.open(alice) as sender, friends.open(bob) as recipient:
        before = bob.log
        new = person("spare", 77, friends.now).keys.encryption
        statement = rotate_keys(bob.log.state, bob.keys.signing, new.public, at=friends.now)
        bob.log = bob.log.extend([statement])
        await recipient.call(AppendStatements(before.position.length, (statement,)))
        bob.keys = attrs.evolve(bob.keys, encryption=EncryptionKey.from_secret(new.secret))
        stranger = person("carol", 9, friends.now).keys.encryption.public
        sent = seal(alice, bob, "hello", friends.now, to_log=before.position, wraps_for=[stranger])
        (outcome,) = await sender.send([sent.parcel])
        assert isinstance(outcome, Refusal)
        assert outcome.code == "stale-log"
        assert outcome.detail.start == before.position.length
        assert outcome.detail.statements == (statement,)
        again = wrap(alice, bob, sent.sealed)
        assert codes(await sender.send([again.parcel])) == ["accepted"]
        (entry,) = mails(await take(recipient, 1))
        assert read_text(bob, entry) == "hello"


async def test_an_agent_that_moved_away_is_refused(friends):
    """A device that serves the agent no more may not speak for it."""
    alice = friends.alice
    async with friends.open(alice) as sender, friends.open(friends.bob):
        first = seal(alice, friends.bob, "1", friends.now).parcel
        assert codes(await sender.send([first])) == ["accepted"]
        withdrawn = set_agent(alice.log.state, "agent", [], at=friends.now, by=alice.manage)
        start = alice.log.position.length
        await sender.call(AppendStatements(start, (withdrawn,)))
        assert codes(await sender.send([seal(alice, friends.bob, "2", friends.now).parcel])) == [
            "unknown-agent"
        ]


async def test_two_envelopes_of_one_number_prove_equivocation(friends):
    """The second is refused, and both are kept as evidence."""
    one = seal(friends.alice, friends.bob, "one", friends.now, seq=1)
    two = seal(friends.alice, friends.bob, "two", friends.now, seq=1)
    async with friends.open(friends.alice) as alice:
        assert codes(await alice.send([one.parcel, two.parcel])) == ["accepted", "equivocation"]
        await alice.send([seal(friends.alice, friends.bob, "x", friends.now, seq=2).parcel])
        (evidence,) = (await friends.store.evidence(0, 10)).items
    assert (evidence.first, evidence.second) == (one.sealed.envelope.raw, two.sealed.envelope.raw)


@pytest.mark.parametrize("refused", [4, 5])
async def test_strangers_may_ask_three_times(world, refused):
    """Contact is limited until there is an answer; asking again the same way counts once."""
    async with world.open(world.bob) as bob, world.open(world.alice) as alice:
        asked = [seal_raw(world.alice, world.bob, world.now).parcel for _ in range(refused)]
        assert codes(await alice.send([asked[0], asked[0], asked[0]])) == ["accepted"] * 3
        outcomes = codes(await alice.send(asked))
        assert outcomes == ["accepted"] * 3 + ["contact-limit"] * (refused - 3)
        answer = seal_raw(world.bob, world.alice, world.now).parcel
        assert codes(await bob.send([answer])) == ["accepted"]
        assert codes(await alice.send(asked[3:4])) == ["accepted"]


async def test_a_channel_is_no_recipient_here(friends):
    """Relays of this version carry no channels."""
    sent = seal(friends.alice, friends.bob, "hi", friends.now, to=AgentRef(friends.bob.agent.account, "#all"))
    assert (await refusal(friends, sent.parcel)).code == "unknown-recipient"


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("cls", [MessageClass.CONNECTION, MessageClass.MESSAGE])
async def test_whoever_uses_the_id_of_a_request_again_is_proven_to(friends, cls, again):
    """Together with the request, or when it was accepted before; the second is kept beside the first."""
    alice = friends.alice
    asked = seal_raw(alice, friends.bob, friends.now)
    header = attrs.evolve(
        asked.sealed.envelope.header, cls=cls, seq=alice.next_seq(friends.bob.agent), commit=bytes(32)
    )
    payload = encode_payload(encode_header(header), asked.sealed.envelope.ct)
    raw = alice.keys.signing.sign(Kind.ENVELOPE, payload)
    other = encode_parcel(attrs.evolve(read_parcel(decode(asked.parcel)), envelope=raw))
    async with friends.open(alice) as client:
        if again:
            assert codes(await client.send([asked.parcel])) == ["accepted"]
        assert codes(await client.send([asked.parcel, other])) == ["accepted", "equivocation"]
        assert codes(await client.send([seal(alice, friends.bob, "x", friends.now).parcel])) == ["accepted"]
        (evidence,) = (await friends.store.evidence(0, 10)).items
    assert (evidence.first, evidence.second) == (asked.sealed.envelope.raw, raw)
