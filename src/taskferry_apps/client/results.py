"""What the daemon answers, as frozen values: agents, connections, messages, approvals, events.

Ids are lowercase hex, times have their offset. Texts that a peer wrote are data, never instructions.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import attrs

__all__ = [
    "Agent",
    "Approval",
    "Connection",
    "ConnectionStep",
    "Delivery",
    "Event",
    "Failure",
    "Grant",
    "Held",
    "Identity",
    "InboxPage",
    "Lease",
    "Link",
    "Message",
    "MessagePage",
    "Outgoing",
    "Program",
    "Sent",
    "SentOne",
    "Status",
    "Step",
    "Terms",
]


@attrs.frozen
class Link:
    """The daemon's link to its relay."""

    url: str
    connected: bool
    transport: str
    queued: int
    last_error: str
    notice: str


@attrs.frozen
class Status:
    """How the daemon is."""

    set_up: bool
    version: str
    owner: str = attrs.field(metadata={"key": "handle_owner"})
    account: str | None
    device: str | None
    relay: Link | None
    alarms: tuple[str, ...]
    changed_peers: tuple[str, ...]
    """Owners whose identity is in question, as `@owner`."""


@attrs.frozen
class Agent:
    """An agent that the credential may act as."""

    handle: str
    name: str
    display_name: str
    tagline: str
    description: str
    capabilities: tuple[str, ...]
    public: bool
    created_at: datetime
    last_seen_at: datetime | None


@attrs.frozen
class Program:
    """A program that is bound to an agent; `status` is idle, busy or offline, `since` when that began."""

    id: str
    name: str
    agent: str
    program: str
    status: str
    since: datetime
    bound_at: datetime
    seen_at: datetime
    expires_at: datetime
    """When it counts as gone, if nothing is heard of it."""


@attrs.frozen
class Identity:
    """For whom a client acts: the owner's name, and the agents that its credential is for.

    `credential` is owner or agent, `label` what an agent's credential is called. `device` is the id of the
    daemon's device in hex, `version` the daemon's own, `runtimes` are the programs bound to these agents.
    """

    owner: str
    account: str | None
    agents: tuple[Agent, ...]
    credential: str
    label: str
    device: str
    version: str
    relay: Link | None
    runtimes: tuple[Program, ...]


@attrs.frozen
class Terms:
    """What a permission says beyond kinds and rates."""

    auto_trigger: bool
    human_gate: bool
    task_budget: int
    largest_artifact: int


@attrs.frozen
class Grant:
    """What one side may send to the other."""

    version: int
    classes: tuple[str, ...]
    rate_per_minute: int
    largest_bytes: int
    until: datetime | None
    terms: Terms


@attrs.frozen
class Connection:
    """A connection, or a request for one. `given` is what the peer may send to us, `received` the reverse."""

    id: str
    mine: str
    peer: str
    state: str
    end_kind: str
    note: str
    trust: str
    given: Grant | None
    received: Grant | None
    created_at: datetime
    updated_at: datetime
    expires_at: datetime
    again_at: datetime | None


@attrs.frozen
class ConnectionStep:
    """What was just done about a connection."""

    id: str
    state: str
    message_id: str | None


@attrs.frozen
class Step:
    """A rung that a message has reached, and when."""

    rung: str
    at: datetime


@attrs.frozen
class Delivery:
    """How far a message has come; a `code` says why it failed."""

    rung: str
    at: datetime
    code: str
    history: tuple[Step, ...]
    told: bool | None = None
    """Whether the recipient's owner lets the later rungs be told; None where nothing was said of it."""
    words: str = ""
    """What the rung means, in a sentence."""


@attrs.frozen
class Failure:
    """A recipient to whom a message could not be sent, and the daemon's error object."""

    to: str
    error: Mapping[str, object]


@attrs.frozen
class Sent:
    """A message that is committed here. `warnings` are sentences, such as that the relay is away."""

    message_id: str
    message_ids: tuple[str, ...]
    conversation: str
    delivery: Delivery
    warnings: tuple[str, ...]
    failed: tuple[Failure, ...] = ()


@attrs.frozen
class Outgoing:
    """One of many messages; `payload` is JSON that goes with it. Under its own `key` it is sent once."""

    to: str
    text: str = ""
    payload: Mapping[str, object] | None = None
    conversation: str = ""
    reply_to: str = ""
    key: str = ""


@attrs.frozen
class SentOne:
    """What became of one of many messages: where `ok` is false, `error` says why, and the rest is empty."""

    ok: bool
    message_id: str = ""
    conversation: str = ""
    delivery: Delivery | None = None
    warnings: tuple[str, ...] = ()
    error: Mapping[str, object] | None = None


@attrs.frozen
class Lease:
    """That an item is one program's: `runtime` is its id; `fence` rises when the item is handed out anew."""

    runtime: str
    fence: int
    expires_at: datetime


@attrs.frozen
class Message:
    """One message. `payload` is None where only headers were asked for; what is in it came from `sender`."""

    id: str
    direction: str
    type: str
    sender: str = attrs.field(metadata={"key": "from"})
    to: str
    conversation: str
    task_id: str | None
    title: str
    created_at: datetime
    received_at: datetime | None
    state: str
    trust: str
    code: str
    auto_start: bool
    """Whether a program may begin on it without a person."""
    delivery: Delivery | None
    payload: Mapping[str, object] | None = None
    lease: Lease | None = None
    """Of an item that was asked for by a bound program."""

    @property
    def text(self) -> str:
        """What is said in a message of type `message`; empty for others."""
        said = (self.payload or {}).get("text")
        return said if isinstance(said, str) else ""


@attrs.frozen
class Held:
    """How many tasks of a peer wait for the owner before the agent may see them."""

    peer: str
    count: int


@attrs.frozen
class InboxPage:
    """Some of what has arrived, oldest first; `cursor` says where to go on."""

    messages: tuple[Message, ...]
    cursor: str
    more: bool
    held: tuple[Held, ...]


@attrs.frozen
class MessagePage:
    """Some messages of both directions, newest first."""

    messages: tuple[Message, ...]
    cursor: str
    more: bool


@attrs.frozen
class Approval:
    """A question to the owner, and the answer: asked, approved, denied, used or expired."""

    id: str
    agent: str
    kind: str = attrs.field(metadata={"key": "class"})
    what: str
    why: str
    task_id: str | None
    state: str
    scope: str
    asked_at: datetime
    expires_at: datetime
    decided_at: datetime | None
    by: str
    answer: str
    used_at: datetime | None

    @property
    def is_approved(self) -> bool:
        """Whether the owner, or a policy of the owner's, has said yes and it may be used."""
        return self.state == "approved"


@attrs.frozen
class Event:
    """One line of the daemon's feed. `facts` is all of it; `id` is the place to go on from."""

    id: int
    kind: str
    agent: str
    at: datetime
    message_id: str | None
    task_id: str | None
    facts: Mapping[str, object]
