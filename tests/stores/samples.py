"""Short ways to make records for tests. Ids are made of small numbers, so that failures can be read."""

import hashlib

import pytest

from taskferry_protocol.ids import (
    AccountId,
    AgentRef,
    ConversationId,
    DeviceId,
    Hash,
    Instant,
    LogPosition,
    MessageId,
)
from taskferry_protocol.records import (
    AckMailbox,
    AlreadyStored,
    AppendStatements,
    Direction,
    Flow,
    Generation,
    GrantRecord,
    InboxState,
    MailboxNotice,
    MailboxUsage,
    MessageRecord,
    Offset,
    OutboxRecord,
    PeerConnection,
    PublishedInvite,
    Rung,
    SeenRecord,
    Stored,
    StoredConnection,
    StoreEnvelope,
    StoreMessage,
    TaskRecord,
)
from taskferry_protocol.records import ConnectionState as State
from taskferry_stores.port import StoreConflict

NOW = Instant(1_700_000_000_000)
DAY = 86_400_000
GENERATION = Generation(b"g" * 16)


def digest(text):
    """32 bytes made from a text."""
    return hashlib.sha256(text.encode()).digest()


def account(name):
    """An account id."""
    return AccountId(digest(f"account {name}"))


def device(name):
    """A device id."""
    return DeviceId(digest(f"device {name}"))


def agent(handle):
    """An agent reference out of `owner/agent`."""
    owner, _, name = handle.partition("/")
    return AgentRef(account(owner), name)


def sha(text):
    """A hash."""
    return Hash(digest(text))


def flow(one, other):
    """A flow between two `owner/agent`."""
    return Flow(agent(one), agent(other))


def position(length, name="log"):
    """A log position."""
    return LogPosition(length, sha(f"{name} {length}"))


async def refused(store, kind, *changes):
    """Require that a commit is refused with this kind of conflict."""
    with pytest.raises(StoreConflict) as caught:
        await store.commit(changes)
    assert caught.value.kind is kind


def append(owner, count=1, *, held=0, name=None, keep=None, branch="log"):
    """Statements for a log that holds `held`."""
    keep = held if keep is None else keep
    statements = tuple(f"{owner} {branch} {n}".encode() for n in range(keep, keep + count))
    expected = position(held) if held else None
    return AppendStatements(
        account(owner), name or owner, expected, keep, statements, position(keep + count, branch)
    )


def envelope(sender, n, to, receivers, **changes):
    """An envelope from a device to an agent of `bob`, or whichever `owner/agent`."""
    text = changes.pop("text", f"{sender} {n} {to}")
    raw = text.encode() * 3
    values = {
        "device": device(sender),
        "id": MessageId(n.to_bytes(16, "big")),
        "to": agent(to),
        "seq": n,
        "hash": sha(text),
        "created_at": NOW,
        "expires_at": Instant(NOW + DAY),
        "at": NOW,
        "envelope": raw,
        "entries": tuple((device(r), f"{r} {n}".encode().ljust(80, b".")) for r in receivers),
    }
    return StoreEnvelope(**{**values, **changes})


def offsets(*pairs):
    """Devices with offsets, as results name them."""
    return tuple((device(name), Offset(offset)) for name, offset in pairs)


def stored(place, *pairs):
    """The result of an envelope's first acceptance."""
    return Stored(place, offsets(*pairs))


def stored_before(place, *pairs):
    """The result of an envelope's repeat."""
    return AlreadyStored(place, offsets(*pairs))


def ack(name, offset):
    """A device's acknowledgement."""
    return AckMailbox(device(name), offset)


def usage(count, size, last, acked):
    """How full a mailbox is."""
    return MailboxUsage(count, size, last, acked)


def connection(one, other, *, n=1):
    """A connection as a relay holds it."""
    text = f"request {n} {one} {other}"
    return StoredConnection(sha(text), agent(one), agent(other), text.encode(), b"accept " + text.encode())


def published(name, agent_of="bob/coder", *, expires_at=NOW + DAY, raw="invite"):
    """An invite as a relay keeps it."""
    return PublishedInvite(digest(name)[:16], agent(agent_of), Instant(expires_at), f"{raw} {name}".encode())


def peer_connection(mine, peer, *, n=1, **changes):
    """A connection as a daemon holds it."""
    text = f"request {n} {mine} {peer}"
    values = {
        "request": sha(text),
        "mine": agent(mine),
        "peer": agent(peer),
        "state": State.REQUESTED_OUT,
        "request_raw": text.encode(),
        "created_at": NOW,
        "updated_at": NOW,
        "expires_at": Instant(NOW + DAY),
    }
    return PeerConnection(**{**values, **changes})


def grant(request, grantor, version, raw="grant", terms=b""):
    """A grant."""
    return GrantRecord(request, agent(grantor), version, f"{raw} {version}".encode(), terms)


def message(text, mine="alice/helper", peer="bob/coder", **changes):
    """An inbound, unread message."""
    values = {
        "hash": sha(text),
        "direction": Direction.IN,
        "mine": agent(mine),
        "peer": agent(peer),
        "device": device("bob"),
        "id": MessageId(digest(text)[:16]),
        "seq": 1,
        "cls": "message",
        "type": "message",
        "conv": ConversationId(b"c" * 16),
        "content": f"content of {text}".encode(),
        "created_at": NOW,
        "expires_at": Instant(NOW + DAY),
        "stored_at": Instant(NOW + 1),
        "inbox": InboxState.UNREAD,
    }
    return MessageRecord(**{**values, **changes})


def outbound(text, **changes):
    """An outbound message that waits in the outbox."""
    return message(
        text,
        **{
            "direction": Direction.OUT,
            "rung": Rung.QUEUED,
            "inbox": InboxState.QUIET,
            "device": device("alice"),
            **changes,
        },
    )


def store(record):
    """The change that stores a message."""
    return StoreMessage(record, b"envelope of " + record.hash, b"k" * 32)


def outbox(text, seq=1, to="bob/coder", **changes):
    """An outbox entry that is due."""
    values = {
        "hash": sha(text),
        "to": agent(to),
        "seq": seq,
        "cls": "message",
        "parcel": f"parcel of {text}".encode(),
        "next_attempt_at": NOW,
        "expires_at": Instant(NOW + DAY),
    }
    return OutboxRecord(**{**values, **changes})


def task(text, **changes):
    """A task that one of our agents asked for."""
    values = {
        "task": sha(text),
        "role": "requester",
        "mine": agent("alice/helper"),
        "peer": agent("bob/coder"),
        "conv": ConversationId(b"c" * 16),
        "title": f"Title of {text}",
        "home": device("alice"),
        "state": "sent",
        "open": True,
        "snapshot": b"snapshot",
        "created_at": NOW,
        "updated_at": NOW,
    }
    return TaskRecord(**{**values, **changes})


def seen(text, n=1, **changes):
    """A decision on an envelope of bob's."""
    values = {
        "device": device("bob"),
        "id": MessageId(n.to_bytes(16, "big")),
        "to": agent("alice/helper"),
        "seq": n,
        "hash": sha(text),
        "outcome": "applied",
        "code": "",
        "at": NOW,
    }
    return SeenRecord(**{**values, **changes})


async def texts(store, name, after=0, limit=100, max_bytes=1_000_000):
    """What lies in a mailbox: (offset, text) for envelopes, (offset, notice) for notices."""
    items = await store.mailbox(device(name), after, limit, max_bytes)
    return [
        (item.offset, item.notice)
        if isinstance(item, MailboxNotice)
        else (item.offset, item.envelope[: len(item.envelope) // 3].decode())
        for item in items
    ]
