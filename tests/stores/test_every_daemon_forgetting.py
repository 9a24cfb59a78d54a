"""What every daemon store promises about forgetting: what is over goes, with what it alone kept."""

import attrs
import pytest

from taskferry_protocol.ids import Instant
from taskferry_protocol.records import (
    AddTaskEvent,
    CardRecord,
    Counted,
    Direction,
    DropOutbox,
    EvidenceRecord,
    Flow,
    ForgetTask,
    HoldAccount,
    IdempotencyRecord,
    KeepSealed,
    Place,
    PurgeSeen,
    PutAnswer,
    PutCard,
    PutEvidence,
    PutOutbox,
    PutRule,
    RateRecord,
    ReceiptGot,
    RecordRate,
    RecordReceipt,
    RecordSeen,
    SaveConnection,
    SaveTask,
    SealedRecord,
    SetTrust,
    TaskEventRecord,
    Trust,
    UseSequence,
)
from taskferry_protocol.records import ConnectionState as State
from taskferry_protocol.records.forgetting import (
    ForgetAccount,
    ForgetAccused,
    ForgetAnswers,
    ForgetRequest,
    ForgetSealed,
)
from taskferry_protocol.records.history import MessageFilter
from taskferry_stores.memory import MemoryDaemonStore

from .samples import (
    NOW,
    account,
    agent,
    append,
    device,
    message,
    outbox,
    peer_connection,
    seen,
    sha,
    store,
    task,
)
from .test_every_daemon_gates import RULE
from .test_every_daemon_search import asked, said

HELPER, CODER = agent("alice/helper"), agent("bob/coder")


def request(n=1, state=State.EXPIRED, at=NOW, peer="bob/coder", **changes):
    """A connection between alice's helper and a peer that was asked for at a time."""
    values = {"state": state, "created_at": at, "updated_at": Instant(at + 10), **changes}
    return peer_connection("alice/helper", peer, n=n, **values)


def words(name, at=NOW, **changes):
    """A message of a request, with a note in it that can be found."""
    return said(name, f"may {name} connect", cls="connection", stored_at=at, **changes)


async def held(daemon):
    """The requests that are held."""
    return [one.request for one in (await daemon.connections_of(None, 0, 10)).items]


@pytest.mark.parametrize("state", [State.EXPIRED, State.ENDED])
async def test_a_request_that_came_to_nothing_goes_with_what_was_said_in_it(daemon, state):
    """Nothing of it is found any more, and what goes on between others stays."""
    gone, other = words("request"), words("another", mine=agent("alice/other"))
    record = request(state=state, taken_back=state is State.ENDED)
    later = words("later", at=Instant(NOW + 11))
    await daemon.commit([SaveConnection(record), store(gone), store(other), store(later)])
    await daemon.commit([SaveConnection(request(state=State.ACCEPTED, peer="carol/coder"))])
    assert await daemon.commit([ForgetRequest(record.request)]) == (Counted(1),)
    assert await daemon.commit([ForgetRequest(record.request)]) == (Counted(0),)
    assert record.request not in await held(daemon)
    assert len(await held(daemon)) == 1
    assert set(await daemon.messages([gone.hash, other.hash, later.hash])) == {other.hash, later.hash}
    assert set(await daemon.sealed([gone.hash, other.hash, later.hash])) == {other.hash, later.hash}
    found = await daemon.messages_filtered(MessageFilter(asked("connect ")), None, 10)
    assert [one.hash for one in found.items] == [later.hash, other.hash]


@pytest.mark.parametrize(
    "record",
    [
        request(state=State.REQUESTED_IN),
        request(state=State.ACCEPTED, accept_raw=b"accept"),
        request(state=State.ENDED, end_raw=b"declined", end_kind="declined"),
        request(state=State.ENDED, end_raw=b"end", taken_back=True, accept_raw=b"accept"),
    ],
    ids=lambda record: f"{record.state.value}-{record.taken_back}",
)
async def test_no_other_connection_is_forgotten(daemon, record):
    """One that waits, that stands, that its owner has declined, or that was accepted before its end."""
    note = words("request")
    await daemon.commit([SaveConnection(record), store(note)])
    assert await daemon.commit([ForgetRequest(record.request)]) == (Counted(0),)
    assert await held(daemon) == [record.request]
    assert list(await daemon.messages([note.hash])) == [note.hash]


async def test_what_may_have_come_with_another_connection_stays_with_that(daemon):
    """Of two requests the older one goes first, and takes what came before the other."""
    first, second = request(1), request(2, at=Instant(NOW + 5))
    said_first, said_second = words("first"), words("second", at=Instant(NOW + 5))
    await daemon.commit([SaveConnection(first), store(said_first)])
    await daemon.commit([SaveConnection(second), store(said_second)])
    await daemon.commit([ForgetRequest(first.request)])
    assert list(await daemon.messages([said_first.hash, said_second.hash])) == [said_second.hash]
    await daemon.commit([ForgetRequest(second.request)])
    assert await daemon.messages([said_first.hash, said_second.hash]) == {}


async def test_only_what_a_peer_said_of_a_connection_goes_with_it(daemon):
    """A message of another class stays, and so does what was answered."""
    talk = message("talk", stored_at=NOW)
    answer = attrs.evolve(words("answer"), direction=Direction.OUT)
    await daemon.commit([SaveConnection(request()), store(talk), store(answer)])
    await daemon.commit([ForgetRequest(request().request)])
    assert set(await daemon.messages([talk.hash, answer.hash])) == {talk.hash, answer.hash}


async def test_an_account_that_nothing_is_left_of_goes_with_its_name(daemon):
    """Its log, cards and rates; another may have the name, and it may come again."""
    card = PutCard(CardRecord(CODER, 1, public=True, raw=b"card"))
    rate = RecordRate(Flow(CODER, HELPER), RateRecord(1, NOW))
    await daemon.commit([append("bob", 2), card, rate, UseSequence(CODER, 1)])
    assert await daemon.commit([ForgetAccount(account("bob"), (device("bob"),))]) == (Counted(1),)
    assert await daemon.commit([ForgetAccount(account("bob"), (device("bob"),))]) == (Counted(0),)
    assert await daemon.accounts([account("bob")]) == {}
    assert await daemon.accounts_named(["bob"]) == {}
    assert await daemon.cards([CODER]) == {}
    assert await daemon.rates([Flow(CODER, HELPER)]) == {}
    await daemon.commit([append("carol", name="bob"), append("bob", name="bob2")])
    assert (await daemon.accounts_named(["bob"]))["bob"].record.account == account("carol")


async def test_the_numbers_of_envelopes_to_a_forgotten_account_are_not_used_again(daemon):
    """It may be back within a month, and two envelopes of one number would accuse us."""
    await daemon.commit([append("bob"), UseSequence(CODER, 1)])
    await daemon.commit([ForgetAccount(account("bob"), (device("bob"),))])
    assert await daemon.sequences([CODER]) == {CODER: 1}
    await daemon.commit([append("bob"), UseSequence(CODER, 2)])


KEEPING = {
    "trust": SetTrust(account("bob"), Trust.VERIFIED, NOW),
    "hold": HoldAccount(account("bob"), "forked"),
    "evidence": PutEvidence(EvidenceRecord("forked", account("bob"), b"1", b"2", NOW)),
    "evidence against a device": PutEvidence(EvidenceRecord("fork", device("bob"), b"1", b"2", NOW)),
    "message": store(message("m")),
    "task": SaveTask(task("t")),
    "connection": SaveConnection(request(state=State.ENDED, end_raw=b"end")),
    "outbox": PutOutbox(outbox("o")),
    "rule": PutRule(attrs.evolve(RULE, account=account("bob"))),
}


@pytest.mark.parametrize("what", list(KEEPING))
async def test_an_account_stays_that_is_more_than_a_stranger(daemon, what):
    """Its owner has decided about it, something of it is here, or something is held against it."""
    await daemon.commit([append("bob", 2)])
    await daemon.commit([KEEPING[what]])
    assert await daemon.commit([ForgetAccount(account("bob"), (device("bob"),))]) == (Counted(0),)
    assert len((await daemon.accounts([account("bob")]))[account("bob")].record.statements) == 2


@pytest.mark.parametrize("what", list(KEEPING))
async def test_one_that_is_accused_goes_where_that_alone_kept_it(daemon, what):
    """With the evidence against it and its devices, and no other; whatever else keeps it does so still."""
    against = [EvidenceRecord("forked", one, b"1", b"2", NOW) for one in (device("bob"), account("carol"))]
    await daemon.commit([append("bob", 2), *[PutEvidence(one) for one in against]])
    await daemon.commit([KEEPING[what]])
    goes = what in {"hold", "evidence", "evidence against a device"}
    before = len((await daemon.evidence(Place(0), 9)).items)
    assert await daemon.commit([ForgetAccused(account("bob"), (device("bob"),))]) == (Counted(int(goes)),)
    assert (account("bob") not in await daemon.accounts([account("bob")])) == goes
    left = (await daemon.evidence(Place(0), 9)).items
    assert [one.subject for one in left] == [account("carol")] if goes else len(left) == before


def sealed(name):
    """An envelope that is kept to be sent, as of a receipt."""
    return SealedRecord(sha(name), b"envelope", b"k" * 32, b"content")


async def test_an_envelope_that_was_only_kept_to_be_sent_is_forgotten(daemon):
    """Once it is in the outbox no more; kept once more in the same commit it is there."""
    await daemon.commit([KeepSealed(sealed("a")), PutOutbox(outbox("a")), KeepSealed(sealed("b"))])
    await daemon.commit([ForgetSealed((sha("a"), sha("none")))])
    assert list(await daemon.sealed([sha("a")])) == [sha("a")]
    await daemon.commit([DropOutbox((sha("a"),)), ForgetSealed((sha("a"),))])
    assert list(await daemon.sealed([sha("a"), sha("b")])) == [sha("b")]
    await daemon.commit([ForgetSealed((sha("b"),)), KeepSealed(sealed("b"))])
    assert list(await daemon.sealed([sha("b")])) == [sha("b")]


async def test_an_envelope_that_is_a_message_or_an_event_is_never_forgotten(daemon):
    """Whoever asks: history stays."""
    event = TaskEventRecord(sha("t"), sha("e"), "worker", device("bob"), NOW, NOW)
    await daemon.commit([KeepSealed(sealed("e")), AddTaskEvent(event), store(message("m"))])
    await daemon.commit([ForgetSealed((sha("e"), sha("m")))])
    assert set(await daemon.sealed([sha("e"), sha("m")])) == {sha("e"), sha("m")}
    both = message("both")
    await daemon.commit([store(both), ForgetSealed((both.hash,))])
    assert list(await daemon.sealed([both.hash])) == [both.hash]


async def test_a_request_that_was_taken_back_holds_its_place_until_its_time_is_over(daemon):
    """Of an account or of all, beside those that wait; not what the owner has declined."""
    states = [
        ("bob/coder", State.REQUESTED_IN, False, ""),
        ("bob/tester", State.ENDED, True, "revoked"),
        ("bob/tester", State.ENDED, False, "declined"),
        ("carol/coder", State.ENDED, True, "revoked"),
        ("carol/coder", State.REQUESTED_OUT, False, ""),
    ]
    for n, (peer, state, taken_back, kind) in enumerate(states):
        at = Instant(NOW + 9)
        record = request(n, state, peer=peer, expires_at=at, taken_back=taken_back, end_kind=kind)
        await daemon.commit([SaveConnection(record)])
    counted = [account("bob"), account("carol"), None]
    assert [await daemon.requests_held(one, NOW) for one in counted] == [2, 1, 3]
    assert [await daemon.requests_held(one, Instant(NOW + 9)) for one in counted] == [0, 0, 0]


async def test_answers_of_a_scope_are_forgotten_and_no_others(daemon):
    """Whatever their keys; another may be kept under the same key then."""
    kept = [
        IdempotencyRecord(scope, key, b"d", b"a", NOW) for scope in ("a", "b", "ab") for key in ("1", "2")
    ]
    for answer in kept:
        await daemon.commit([PutAnswer(answer)])
    assert await daemon.commit([ForgetAnswers(("a", "b", "none"))]) == (Counted(4),)
    assert await daemon.answers("a", ["1", "2"]) == {}
    assert set(await daemon.answers("ab", ["1", "2"])) == {"1", "2"}
    await daemon.commit([PutAnswer(kept[0])])


async def test_an_envelope_goes_once_no_message_and_no_event_is_left_of_it(daemon):
    """It may have been both; a task that is forgotten lets go of its events, and a request of its words."""
    event = TaskEventRecord(sha("t"), sha("e"), "worker", device("bob"), NOW, NOW)
    again = attrs.evolve(event, task=sha("other"))
    await daemon.commit([KeepSealed(sealed("e")), AddTaskEvent(event), AddTaskEvent(event)])
    await daemon.commit([AddTaskEvent(again), ForgetTask(sha("t")), ForgetSealed((sha("e"),))])
    assert list(await daemon.sealed([sha("e")])) == [sha("e")]
    await daemon.commit([ForgetTask(sha("other")), ForgetSealed((sha("e"),))])
    assert await daemon.sealed([sha("e")]) == {}


async def test_forgetting_an_envelope_costs_the_same_however_much_is_kept(monkeypatch):
    """In memory as on a disk, where an index is asked: no look at each message."""
    daemon = MemoryDaemonStore()
    state = await daemon._begin()
    looked = []

    class Counting(dict):
        def __iter__(self):
            looked.append(self)
            return super().__iter__()

        values = items = __iter__

    await daemon.commit([store(message(f"m{n}")) for n in range(50)] + [KeepSealed(sealed("a"))])
    monkeypatch.setattr(state, "messages", Counting(state.messages))
    monkeypatch.setattr(state, "task_events", Counting(state.task_events))
    await daemon.commit([ForgetSealed((sha("a"),))])
    assert await daemon.sealed([sha("a")]) == {}
    assert looked == []


async def test_what_was_received_and_is_no_message_goes_with_the_memory_of_it(daemon):
    """A message, an event, the proof of a delivery and what is to be sent stay."""
    names = ["news", "message", "event", "proof", "sent", "young"]
    event = TaskEventRecord(sha("t"), sha("event"), "worker", device("bob"), NOW, NOW)
    got = ReceiptGot(sha("m"), device("bob"), "applied", "", sha("proof"), NOW)
    kept = [KeepSealed(sealed(name)) for name in names if name != "message"]
    known = [
        RecordSeen(attrs.evolve(seen(name, n, at=Instant(NOW + 9 * (name == "young"))), hash=sha(name)))
        for n, name in enumerate(names, 1)
    ]
    others = [store(message("message")), AddTaskEvent(event), RecordReceipt(got), PutOutbox(outbox("sent"))]
    await daemon.commit([*kept, *known, *others])
    assert await daemon.commit([PurgeSeen(Instant(NOW + 1), 99)]) == (Counted(5),)
    hashes = [sha(name) for name in names]
    assert set(await daemon.sealed(hashes)) == set(hashes[1:])
