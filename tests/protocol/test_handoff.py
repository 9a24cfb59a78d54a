"""The handoff export: anybody verifies it offline, and nobody can make it say something else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskferry_protocol.cbor import decode, encode
from taskferry_protocol.connections import sign_accept
from taskferry_protocol.crypto import SigningKey
from taskferry_protocol.errors import LocalProtocolError, RemoteProtocolError
from taskferry_protocol.handoff import HandoffReport, Kept, Said, export_handoff, verify_handoff
from taskferry_protocol.ids import AccountId, Hash, Instant
from taskferry_protocol.links import Role, Seen, TaskLink
from taskferry_protocol.messages import (
    ArtifactSubmit,
    Body,
    Content,
    Outcome,
    Receipt,
    ReceiptItem,
    RevisionRequest,
    TaskAccept,
    TaskComplete,
    TaskRequest,
    TaskSeen,
    TextPart,
)
from taskferry_protocol.sealing import Sealed
from taskferry_protocol.task_messages import task_event
from taskferry_protocol.tasks import Gap, TaskState

from .owners import NOW, Owner, Refused, plain_device
from .world import CONV, MINUTE, World, said


class Story:
    """A task between Alice's coder and Bob's tester, as their two daemons would write it."""

    def __init__(self) -> None:
        self.world = World()
        self.events: list[Sealed] = []
        self.chains: dict[Role, list[Hash]] = {Role.REQUESTER: [], Role.WORKER: []}
        self.receipts: list[Sealed] = []
        self.connection: tuple[bytes, bytes] | None = None

    @property
    def task(self) -> Hash:
        """The request's hash."""
        return self.chains[Role.REQUESTER][0]

    def link(self, role: Role) -> TaskLink:
        """The next link of a side that has seen everything."""
        mine, theirs = self.chains[role], self.chains[role.other]
        if not mine and role is Role.REQUESTER:
            return TaskLink(None, 0, None, Seen(0, None))
        last = theirs[-1] if theirs else None
        return TaskLink(self.task, len(mine), mine[-1] if mine else None, Seen(len(theirs), last))

    def write(self, role: Role, body: Body, *, by: SigningKey | None = None) -> Hash:
        """Sign one event."""
        sealed = self.send(role, Content(body, CONV, link=self.link(role)), by=by)
        self.events.append(sealed)
        self.chains[role].append(sealed.envelope.hash)
        return sealed.envelope.hash

    def send(self, role: Role, content: Content, *, by: SigningKey | None = None) -> Sealed:
        """An envelope of a side to the other."""
        world = self.world
        owner, from_, to = (
            (world.alice, world.coder, world.tester)
            if role is Role.REQUESTER
            else (world.bob, world.tester, world.coder)
        )
        at = Instant(NOW + len(self.events) * MINUTE)
        key = by or owner.laptop.signing
        return world.sealed(content, from_=from_, to=to, by=key, log=owner.log.position, at=at)

    def exported(self, **changes: Any) -> bytes:
        """The export, with some arguments changed."""
        arguments = {
            "logs": [self.world.alice.log, self.world.bob.log],
            "events": kept(*self.events),
            "connection": self.connection,
            "receipts": kept(*self.receipts),
            "at": NOW,
        }
        return export_handoff(self.task, **{**arguments, **changes})


def kept(*sealed: Sealed) -> list[Kept]:
    """Envelopes with their keys, as a store holds them."""
    return [Kept(item.envelope.raw, item.key) for item in sealed]


def told() -> Story:
    """Asked, taken on, submitted, revised, submitted again, taken; with a receipt and the connection."""
    story = Story()
    request = story.write(Role.REQUESTER, TaskRequest("Tidy up", "all of it", revisions=1))
    story.write(Role.WORKER, TaskAccept("gladly"))
    first = story.write(Role.WORKER, ArtifactSubmit("", (TextPart("one"),), 0))
    story.write(Role.REQUESTER, RevisionRequest(1, first, ("more",)))
    second = story.write(Role.WORKER, ArtifactSubmit("", (TextPart("two"),), 1))
    story.write(Role.REQUESTER, TaskComplete(2, second))
    items = (ReceiptItem(request, Outcome.APPLIED), ReceiptItem(first, Outcome.APPLIED))
    story.receipts.append(story.send(Role.WORKER, Content(Receipt(items), CONV)))
    world = story.world
    accept = sign_accept(world.request, at=NOW, log=world.bob.log.position, by=world.bob.manage)
    story.connection = (world.request.raw, accept)
    return story


STORY = told()
EXPORT = STORY.exported()


def changed(change: Callable[[dict[str, Any]], object], raw: bytes = EXPORT) -> bytes:
    """The export after somebody's change to its map."""
    value: Any = decode(raw)
    change(value)
    return encode(value)


def test_a_history_is_verified_from_its_bytes_alone() -> None:
    """State, chain of events, versions, connection and receipts, and the accounts that it rests on."""
    report = verify_handoff(EXPORT)
    world = STORY.world
    assert isinstance(report, HandoffReport)
    assert (report.requester, report.worker) == (world.coder, world.tester)
    assert report.view.state is TaskState.COMPLETED
    assert report.view.is_final
    assert [line.event.hash for line in report.view.taken] == [
        sealed.envelope.hash for sealed in STORY.events
    ]
    assert [version.number for version in report.view.versions] == [1, 2]
    assert set(report.accounts) == {world.alice.log.account, world.bob.log.account}
    assert report.connection is not None
    assert report.connection[0].hash == world.request.hash
    # The receipt about Bob's own submission proves nothing: only Alice could say what became of it.
    applied = ReceiptItem(STORY.task, Outcome.APPLIED)
    assert report.receipts == (Said(world.tester, applied, STORY.receipts[0].envelope.hash),)
    assert {check.count for check in report.checks} == {2, 6, 7}
    assert report.messages[STORY.task].content.body == TaskRequest("Tidy up", "all of it", revisions=1)


def test_events_are_exported_in_the_order_of_their_chains() -> None:
    """The requester's, then the worker's, each by n, whatever order the store has."""
    assert STORY.exported(events=list(reversed(kept(*STORY.events)))) == EXPORT
    value: Any = decode(EXPORT)
    hashes = [STORY.chains[Role.REQUESTER], STORY.chains[Role.WORKER]]
    envelopes = {sealed.envelope.hash: sealed.envelope.raw for sealed in STORY.events}
    assert [raw for raw, _ in value["events"]] == [envelopes[hash] for chain in hashes for hash in chain]


@pytest.mark.parametrize("missing", range(6))
def test_a_missing_event_is_a_gap_and_no_fault(missing: int) -> None:
    """The export says what it does not hold, the request itself included."""
    events = [event for index, event in enumerate(STORY.events) if index != missing]
    report = verify_handoff(STORY.exported(events=kept(*events)))
    assert (report.requester, report.worker) == (STORY.world.coder, STORY.world.tester)
    left_out = STORY.events[missing].envelope.hash
    role = Role.REQUESTER if left_out in STORY.chains[Role.REQUESTER] else Role.WORKER
    n = STORY.chains[role].index(left_out)
    last_of_all = missing == len(STORY.events) - 1
    assert report.view.gaps == (() if last_of_all else (Gap(role, n, n),))
    assert report.view.state is not TaskState.COMPLETED


def test_what_came_after_changes_nothing() -> None:
    """Devices that were revoked later, names that changed: what they signed before stays proven."""
    story = told()
    story.world.alice.rename("alicia")
    story.world.bob.serve("tester")
    assert verify_handoff(story.exported()).view.state is TaskState.COMPLETED
    story.world.bob.revoke(story.world.bob.laptop)
    assert verify_handoff(story.exported()).view.state is TaskState.COMPLETED


def edit(path: str, value: object) -> Callable[[dict[str, Any]], object]:
    """A change of one member."""
    return lambda members: members.__setitem__(path, value)


FAULTS: list[tuple[Callable[[dict[str, Any]], object], str, str]] = [
    (edit("format", "taskferry-handoff/2"), "unknown-version", "format"),
    (edit("format", 1), "wrong-type", "format"),
    (edit("more", 1), "unknown-field", "more"),
    (lambda members: members.pop("receipts"), "missing-field", "receipts"),
    (edit("task", bytes(31)), "bad-value", "task"),
    (edit("task", bytes(32)), "unknown-task", "events[0].link.task"),
    (edit("exported_at", -1), "bad-value", "exported_at"),
    (edit("logs", []), "wrong-type", "logs"),
    (edit("logs", {str(n): [] for n in range(65)}), "too-many", "logs"),
    (edit("logs", {}), "unknown-account", "events[0]"),
    (edit("logs", {"00": []}), "empty-log", "logs.00"),
    (edit("events", []), "bad-value", "events"),
    (edit("events", [[b"", bytes(32)]]), "bad-cose", "events[0]"),
    (edit("events", [b""]), "wrong-type", "events[0]"),
    (edit("connection", [b""]), "bad-value", "connection"),
    (edit("connection", [b"", b"", b""]), "too-many", "connection"),
    (edit("connection", [b"", b""]), "bad-cose", "connection"),
    (edit("connection", list(reversed(STORY.connection or ()))), "missing-field", "connection"),
]


@pytest.mark.parametrize(("change", "code", "field"), FAULTS)
def test_every_fault_has_its_code_and_place(
    change: Callable[[dict[str, Any]], object], code: str, field: str
) -> None:
    """A reader learns what is wrong, and where."""
    with pytest.raises(RemoteProtocolError) as caught:
        verify_handoff(changed(change))
    assert caught.value.code.value == code
    assert caught.value.field.startswith(field)


def test_no_event_can_be_altered() -> None:
    """Neither envelope nor key nor log."""

    def damage(*path: int | str) -> Callable[[dict[str, Any]], object]:
        def change(members: Any) -> None:
            for step in path[:-1]:
                members = members[step]
            raw = bytearray(members[path[-1]])
            raw[-1] ^= 1
            members[path[-1]] = bytes(raw)

        return change

    alice = STORY.world.alice.log.account.hex()
    for path, code in (
        (("events", 2, 0), "bad-signature"),
        (("events", 2, 1), "bad-commit"),
        (("receipts", 0, 0), "bad-signature"),
        (("logs", alice, 1), "bad-signature"),
        (("connection", 1), "bad-signature"),
    ):
        with Refused(code):
            verify_handoff(changed(damage(*path)))


def test_a_log_under_another_name_is_refused() -> None:
    """The map's key is the account id that the log certifies."""
    world = STORY.world
    swapped = {
        world.alice.log.account.hex(): list(world.bob.log.statements),
        world.bob.log.account.hex(): list(world.alice.log.statements),
    }
    with Refused("wrong-account"):
        verify_handoff(changed(edit("logs", swapped)))


def test_a_log_that_stops_too_early_proves_too_little() -> None:
    """What an event quotes has to be in the export."""
    world = STORY.world
    shortened = {
        world.alice.log.account.hex(): list(world.alice.log.statements[:1]),
        world.bob.log.account.hex(): list(world.bob.log.statements),
    }
    with Refused("not-an-extension"):
        verify_handoff(changed(edit("logs", shortened)))


def test_devices_must_have_stood_in_the_log_as_quoted() -> None:
    """Somebody else's device, one that was gone, one that serves another agent."""
    for prepare, code in (
        (lambda owner, keys: None, "unknown-device"),
        (lambda owner, keys: (owner.add(keys), owner.revoke(keys)), "device-gone"),
        (lambda owner, keys: owner.add(keys), "unknown-agent"),
    ):
        story = Story()
        story.write(Role.REQUESTER, TaskRequest("Tidy up", ""))
        keys = plain_device("bob spare")
        prepare(story.world.bob, keys)
        story.write(Role.WORKER, TaskAccept(), by=keys.signing)
        with Refused(code):
            verify_handoff(story.exported())


def test_events_of_others_do_not_slip_in() -> None:
    """Another task's event, another pair's, and what is no event at all."""
    other = Story()
    other.write(Role.REQUESTER, TaskRequest("Something else", ""))
    with Refused("unknown-task"):
        verify_handoff(STORY.exported(events=kept(*STORY.events, other.events[0])))
    carol = Owner("carol")
    carol.serve("tester", carol.laptop)
    link = TaskLink(STORY.task, 0, None, Seen(1, STORY.task))
    intruder = STORY.world.sealed(
        Content(TaskAccept(), CONV, link=link),
        from_=carol.agent("tester"),
        to=STORY.world.coder,
        by=carol.laptop.signing,
        log=carol.log.position,
    )
    logs = [STORY.world.alice.log, STORY.world.bob.log, carol.log]
    with Refused("wrong-party"):
        verify_handoff(STORY.exported(logs=logs, events=kept(*STORY.events, intruder)))
    message = STORY.world.sealed(said())
    plain = [message.envelope.raw, message.key]
    with Refused("unknown-task"):
        verify_handoff(changed(lambda members: members["events"].append(plain)))
    with Refused("class-mismatch"):
        verify_handoff(changed(edit("receipts", [plain])))


def test_receipts_and_connections_are_those_of_the_two() -> None:
    """A receipt from a third, and the consent of others, prove nothing here."""
    world = STORY.world
    carol = Owner("carol")
    carol.serve("tester", carol.laptop)
    logs = [world.alice.log, world.bob.log, carol.log]
    receipt = world.sealed(
        Content(Receipt((ReceiptItem(STORY.task, Outcome.APPLIED),)), CONV),
        from_=carol.agent("tester"),
        to=world.coder,
        by=carol.laptop.signing,
        log=carol.log.position,
    )
    with Refused("wrong-party"):
        verify_handoff(STORY.exported(logs=logs, receipts=kept(receipt)))
    other = Story()
    other.world.tester = carol.agent("tester")
    request = other.world.asked()
    accept = sign_accept(request, at=NOW, log=carol.log.position, by=carol.manage)
    with Refused("unknown-request"):
        verify_handoff(STORY.exported(logs=logs, connection=(request.raw, accept)))


def test_only_the_accounts_of_the_events_are_named() -> None:
    """A log that nothing rests on is not shown as a witness."""
    carol = Owner("carol")
    logs = [STORY.world.alice.log, STORY.world.bob.log, carol.log]
    accounts: Mapping[AccountId, object] = verify_handoff(STORY.exported(logs=logs)).accounts
    assert carol.log.account not in accounts


def test_what_does_not_open_cannot_be_exported() -> None:
    """A store that lost a key says so instead of writing a file that proves nothing."""
    envelope = STORY.events[0].envelope.raw
    for events in ([Kept(envelope, bytes(32))], [], kept(STORY.world.sealed(said()))):
        with pytest.raises(LocalProtocolError):
            STORY.exported(events=events)


def test_even_a_lone_confirmation_can_be_looked_at() -> None:
    """Its type is of either side, so whoever sent it is shown as the requester until more is there."""
    story = Story()
    story.write(Role.REQUESTER, TaskRequest("Tidy up", ""))
    story.write(Role.WORKER, TaskAccept())
    story.write(Role.REQUESTER, TaskSeen())
    report = verify_handoff(story.exported(events=kept(story.events[2])))
    assert (report.requester, report.connection, report.receipts) == (story.world.coder, None, ())
    assert report.view.state is None
    both = verify_handoff(story.exported(events=kept(story.events[2], story.events[1])))
    assert both.requester == story.world.coder


def test_only_task_events_are_folded() -> None:
    """Whoever makes an event of another message has made a mistake of its own."""
    with pytest.raises(LocalProtocolError):
        task_event(said(), hash=STORY.task, role=Role.WORKER, device=plain_device("x").id, created_at=NOW)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_handoff_or_a_refusal(raw: bytes) -> None:
    """A file from anywhere can be looked at."""
    with pytest.raises(RemoteProtocolError):
        verify_handoff(raw)


@given(st.data())
def test_a_damaged_export_is_refused_or_says_the_same(data: st.DataObject) -> None:
    """One byte changed anywhere: a code, or nothing that was proven is different."""
    index = data.draw(st.integers(0, len(EXPORT) - 1))
    damaged = EXPORT[:index] + bytes((EXPORT[index] ^ data.draw(st.integers(1, 255)),)) + EXPORT[index + 1 :]
    try:
        report = verify_handoff(damaged)
    except RemoteProtocolError:
        return
    good = verify_handoff(EXPORT)
    assert (report.view, report.messages, report.accounts) == (good.view, good.messages, good.accounts)
