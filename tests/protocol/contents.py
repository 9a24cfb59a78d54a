"""Strategies for every message type, and the envelopes around them."""

from __future__ import annotations

import json
import random
from collections.abc import Callable

from hypothesis import strategies as st

from taskferry_protocol.cbor import Value
from taskferry_protocol.crypto import EncryptionKey, SigningKey
from taskferry_protocol.ids import AccountId, AgentRef, ConversationId, Entropy, Hash, Instant, LogPosition
from taskferry_protocol.links import ROLES, EventType, Role, Seen, TaskLink
from taskferry_protocol.messages import (
    BODIES,
    AccountUpdate,
    ActionOutcome,
    ActionRequest,
    ArtifactSubmit,
    BlobPart,
    Body,
    CardUpdate,
    ConnectionAccepted,
    ConnectionEnded,
    ConnectionRequested,
    Content,
    Credential,
    DeviceShare,
    FilePart,
    GrantDigest,
    GrantUpdated,
    InviteProof,
    JsonPart,
    MessageClass,
    Outcome,
    Receipt,
    ReceiptItem,
    RevisionRequest,
    SharedAccount,
    SharedAgent,
    SharedCard,
    SharedConnection,
    SharedLabel,
    SharedMessage,
    TaskAccept,
    TaskCancel,
    TaskComplete,
    TaskDecline,
    TaskExpire,
    TaskFail,
    TaskProgress,
    TaskRepeat,
    TaskRequest,
    TaskSeen,
    TextMessage,
    TextPart,
    Upshot,
    is_task_event,
)
from taskferry_protocol.sealing import Address, Sealed, seal_envelope

NOW = Instant(1_790_000_000_000)
MINUTE = 60_000
DAY = 86_400_000


def entropy_of(seed: int) -> Entropy:
    """A source of the same bytes every time."""
    return random.Random(seed).randbytes


def key_of(seed: int) -> SigningKey:
    """The same signing key every time."""
    return SigningKey.from_seed(random.Random(seed).randbytes(32))


def box_of(seed: int) -> EncryptionKey:
    """The same encryption key every time."""
    return EncryptionKey.from_secret(random.Random(-seed - 1).randbytes(32))


ALICE = AgentRef(AccountId(b"A" * 32), "alice")
BOB = AgentRef(AccountId(b"B" * 32), "bob")
HERE = LogPosition(2, Hash(b"\x01" * 32))
THERE = LogPosition(3, Hash(b"\x02" * 32))
CONV = ConversationId(bytes(range(16)))
FIRST = TaskLink(None, 0, None, Seen(0, None))

SAID = Content(TextMessage("good morning"), CONV)


def sealed_message(content: Content = SAID, *, seed: int = 1, seq: int = 1) -> Sealed:
    """An envelope from Alice's device `key_of(seed)` to Bob, alive for a day from NOW."""
    from_, to = ALICE, BOB
    if content.body.message_class is MessageClass.ACCOUNT:
        from_, to = AgentRef(ALICE.account, ""), AgentRef(BOB.account, "")
    return seal_envelope(
        content,
        Address(from_, to, seq, HERE, THERE),
        created_at=NOW,
        expires_at=Instant(NOW + DAY),
        device_key=key_of(seed),
        entropy=entropy_of(seed),
    )


# --- Strategies ---------------------------------------------------------------------------------------------

hashes = st.binary(min_size=32, max_size=32).map(Hash)
times = st.integers(0, 2**53 - 1).map(Instant)
uints = st.integers(0, 2**64 - 1)
notes = st.text(max_size=40)
reasons = st.lists(st.text(min_size=1, max_size=30), min_size=1, max_size=4).map(tuple)
statements = st.lists(st.binary(max_size=40), min_size=1, max_size=4).map(tuple)
values: st.SearchStrategy[Value] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64 - 1)
    | st.binary(max_size=9)
    | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
#: Keys that no version 1 map knows.
extras = st.dictionaries(st.text(max_size=5).map(lambda text: "x-" + text), values, max_size=3)

file_names = st.text(
    st.characters(exclude_categories=["C"], exclude_characters="/\\"), min_size=1, max_size=20
)
safe_names = file_names.filter(lambda name: name not in (".", ".."))
media = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=20)
json_texts = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
).map(json.dumps)

text_parts = st.builds(TextPart, notes, notes)
json_parts = st.builds(JsonPart, json_texts, notes)
file_parts = st.builds(FilePart.of, safe_names, media, st.binary(max_size=50))
blob_parts = st.builds(
    BlobPart, safe_names, media, uints, hashes, hashes, hashes, uints, st.integers(1_024, 1_048_576)
)
parts = st.lists(text_parts | json_parts | file_parts | blob_parts, max_size=4).map(tuple)
some_parts = parts.filter(bool)
receipt_items = st.builds(
    ReceiptItem, hashes, st.sampled_from(Outcome), st.none() | st.sampled_from(["expired", "a-later-code"])
)

words = st.text("abc", min_size=1, max_size=9)
short = st.binary(max_size=30)
shared = (
    st.builds(SharedAccount, hashes, words, words, notes, uints, statements)
    | st.builds(SharedCard, short)
    | st.builds(
        SharedConnection,
        *[short] * 3,
        notes,
        times,
        st.lists(st.tuples(short, short), max_size=3).map(tuple),
    )
    | st.builds(SharedMessage, short, hashes)
    | st.builds(SharedLabel, hashes, words)
    | st.builds(SharedAgent, words, words, reasons, times)
)

BODY_STRATEGIES: dict[type[Body], st.SearchStrategy[Body]] = {
    TextMessage: st.builds(TextMessage, st.text(min_size=1, max_size=60), parts, extra=extras),
    ConnectionRequested: st.builds(
        ConnectionRequested,
        *[st.binary(max_size=30)] * 3,
        notes,
        statements,
        st.none() | st.builds(InviteProof, st.binary(min_size=16, max_size=16), hashes),
        extra=extras,
    ),
    ConnectionAccepted: st.builds(
        ConnectionAccepted, *[st.binary(max_size=30)] * 3, statements, extra=extras
    ),
    ConnectionEnded: st.builds(ConnectionEnded, st.binary(max_size=30), notes, extra=extras),
    GrantUpdated: st.builds(GrantUpdated, st.binary(max_size=30), st.binary(max_size=30), extra=extras),
    TaskRequest: st.builds(
        TaskRequest,
        st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=40),
        notes,
        parts,
        st.just(()) | reasons,
        st.none() | times,
        st.integers(0, 1000),
        st.none() | uints,
        extra=extras,
    ),
    TaskAccept: st.builds(TaskAccept, notes, extra=extras),
    TaskDecline: st.builds(TaskDecline, notes, extra=extras),
    TaskProgress: st.builds(TaskProgress, notes, st.none() | st.integers(0, 100), extra=extras),
    ArtifactSubmit: st.builds(ArtifactSubmit, notes, some_parts, uints, extra=extras),
    RevisionRequest: st.builds(RevisionRequest, st.integers(1, 2**64 - 1), hashes, reasons, extra=extras),
    TaskComplete: st.builds(TaskComplete, st.integers(1, 2**64 - 1), hashes, notes, extra=extras),
    TaskCancel: st.builds(TaskCancel, notes, extra=extras),
    TaskFail: st.builds(TaskFail, notes, extra=extras),
    TaskExpire: st.builds(TaskExpire, times, extra=extras),
    TaskSeen: st.builds(TaskSeen, extra=extras),
    TaskRepeat: st.builds(TaskRepeat, st.binary(max_size=64), hashes, extra=extras),
    Receipt: st.builds(Receipt, st.lists(receipt_items, min_size=1, max_size=4).map(tuple), extra=extras),
    AccountUpdate: st.builds(AccountUpdate, statements, uints, extra=extras),
    CardUpdate: st.builds(CardUpdate, st.binary(max_size=64), extra=extras),
    GrantDigest: st.builds(GrantDigest, hashes, uints, extra=extras),
    DeviceShare: st.builds(DeviceShare, st.lists(shared, max_size=4).map(tuple), uints, uints, extra=extras),
    ActionRequest: st.builds(
        ActionRequest,
        hashes,
        words,
        words,
        st.sampled_from(Credential),
        times,
        notes,
        st.none() | st.integers(0, 100),
        parts,
        st.just(()) | reasons,
        st.none() | st.integers(1, 2**64 - 1),
        st.none() | hashes,
        st.none() | uints,
        extra=extras,
    ),
    ActionOutcome: st.builds(
        ActionOutcome,
        hashes,
        st.sampled_from(Upshot),
        st.none() | hashes,
        *[st.text(max_size=12)] * 4,
        extra=extras,
    ),
}


@st.composite
def _links(draw: Callable[[st.SearchStrategy[int]], int], event: EventType) -> TaskLink:
    """A link that may stand in this event."""
    if event is EventType.TASK_REQUEST:
        return FIRST
    worker = ROLES[event] == {Role.WORKER}
    n = draw(st.integers(0 if worker else 1, 2**64 - 1))
    count = draw(st.integers(1 if worker else 0, 2**64 - 1))
    return TaskLink(
        Hash(b"t" * 32),
        n,
        Hash(b"p" * 32) if n else None,
        Seen(count, Hash(b"s" * 32) if count else None),
        adopt=not worker and draw(st.integers(0, 1)) == 1,
    )


def contents_of(kind: type[Body]) -> st.SearchStrategy[Content]:
    """Content of one type."""
    links = _links(EventType(kind.type_name)) if is_task_event(kind) else st.none()
    return st.builds(
        Content,
        BODY_STRATEGIES[kind],
        st.binary(min_size=16, max_size=16).map(ConversationId),
        st.integers(0, 16),
        st.lists(hashes, max_size=8).map(tuple),
        st.none() | hashes,
        links,
        uints,
        extras,
    )


contents = st.sampled_from(sorted(BODIES.values(), key=lambda kind: kind.type_name)).flatmap(contents_of)
