"""What the daemon tells its callers: frozen values, with handles and hashes instead of rows.

The local API turns them into JSON, the dashboard into pages; neither looks into the store.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import attrs

from taskferry_protocol.ids import AccountId, ConversationId, DeviceId, Hash, Instant
from taskferry_protocol.messages import Part
from taskferry_protocol.records import WaitingCounts
from taskferry_protocol.values import value

from .action_port import AskedView
from .bounds import BOUNDS

__all__ = [
    "AccountView",
    "AgentView",
    "ConnectionView",
    "Delivery",
    "EventView",
    "GrantView",
    "InboxPage",
    "IsKnown",
    "LeaseView",
    "MessageView",
    "QuarantineView",
    "RelayStatus",
    "Sent",
    "SetUp",
    "Status",
    "TaskEventView",
    "TaskSummary",
    "TaskView",
    "TaskWindow",
    "TokenView",
    "VersionView",
    "Window",
]


@attrs.frozen
class RelayStatus:
    """The link to the relay. `transport` is "websocket", "longpoll", "memory" or "" while there is none."""

    url: str
    connected: bool
    transport: str
    since: Instant | None
    queued: int
    last_error: str
    notice: str = ""
    """Something the owner should know of the link, such as a fallback to long-polling and why."""


@attrs.frozen
class Status:
    """All is well, or what is not."""

    set_up: bool
    owner: str
    """Also before set-up where the store knows an account without keys; else "" then."""
    account: AccountId | None
    device: DeviceId | None
    relay: RelayStatus | None
    version: str
    alarms: tuple[str, ...] = ()
    secrets: str = "files"
    """Where keys are kept: `files` or `keyring`."""
    manage: str = "none"
    """Of the key that signs for the account: `none`, `open`, `locked` or `unlocked`."""
    waiting: WaitingCounts | None = None
    """The owner's to know; None for others."""
    changed: tuple[str, ...] = ()
    """Owners whose identity is in question, as `@owner`."""


@attrs.frozen
class SetUp:
    """The outcome of a set-up. The recovery key is told once and kept nowhere."""

    owner: str
    account: AccountId
    device: DeviceId
    recovery_key: str = attrs.field(repr=False)
    name_claimed: bool


@attrs.frozen
class AccountView:
    """The owner's account log in brief."""

    owner: str
    account: AccountId
    length: int
    head: Hash
    devices: tuple[tuple[DeviceId, str, str], ...]
    """(id, label, status)."""
    agents: Mapping[str, tuple[DeviceId, ...]]


@attrs.frozen
class AgentView:
    """An agent of this owner. `last_seen_at` is when somebody last acted as it here, bound or not.

    `version` is its card's. `status` is what the programs say that are bound to it: idle, busy, or
    offline without any; `since` when that began, None if no program ever ran. `runtimes` is how many are
    live.
    """

    handle: str
    name: str
    display_name: str
    tagline: str
    description: str
    capabilities: tuple[str, ...]
    public: bool
    created_at: Instant
    last_seen_at: Instant | None
    status: str = "offline"
    since: Instant | None = None
    runtimes: int = 0
    version: int = 1


@attrs.frozen
class GrantView:
    """What one side may send to the other."""

    version: int
    classes: tuple[str, ...]
    rate_per_minute: int
    largest_bytes: int
    until: Instant | None
    auto_trigger: bool
    human_gate: bool
    task_budget: int
    largest_artifact: int


@attrs.frozen
class CardView:
    """What another owner says of its agent. Nobody has checked a word of it."""

    version: int
    display_name: str
    tagline: str
    description: str
    capabilities: tuple[str, ...]


@attrs.frozen
class ConnectionView:
    """A connection or a request for one. `given` is what the peer may send to us."""

    id: Hash
    mine: str
    peer: str
    state: str
    end_kind: str
    note: str
    trust: str
    given: GrantView | None
    received: GrantView | None
    created_at: Instant
    updated_at: Instant
    invite: bytes
    """The invite that the request named; `invite_state` is `valid`, or the code of what is wrong with it."""
    invite_state: str
    expires_at: Instant
    again_at: Instant | None = None
    """From when on the one who was declined may ask again."""
    card: CardView | None = None
    """The peer's card as its owner last told it; None where nothing was told."""
    message: Hash | None = None
    """The envelope of the step that was just taken, where this answers one."""
    ended_here: bool = False
    """Whether it was this owner who ended it."""
    barred: int = 0
    """How many words in tasks were refused for want of permission alone: they come back with more of it."""


@value
class Delivery:
    """The truthful ladder of one outgoing message: the rung, since when, and every rung with its time."""

    rung: str
    at: Instant
    code: str
    history: tuple[tuple[str, Instant], ...] = ()
    told: bool | None = None
    """Whether its recipient's owner lets the later rungs be told; None where nothing was said of it."""
    words: str = ""
    """What is known of it, in a sentence."""


@value
class Sent:
    """An outgoing message that is committed here. `warnings` are sentences for the sending agent."""

    message: Hash
    conversation: ConversationId
    delivery: Delivery
    warnings: tuple[str, ...] = ()
    task: Hash | None = None
    state: str = ""
    version: int | None = None


@attrs.frozen
class LeaseView:
    """Under which an item was handed to a bound program: named again, the fence proves who answers."""

    runtime: str
    fence: int
    expires_at: Instant


@attrs.frozen
class MessageView:
    """One message with its content as JSON; `direction` is in, out or copy."""

    id: Hash
    direction: str
    type: str
    mine: str
    peer: str
    conversation: ConversationId
    task: Hash | None
    title: str
    created_at: Instant
    received_at: Instant | None
    state: str
    """Of incoming ones: unread, read, processed, or held while its task waits for the owner; else ""."""
    trust: str
    payload: Mapping[str, object]
    delivery: Delivery | None
    code: str = ""
    auto_start: bool = False
    """Of incoming ones: whether a program may begin on it by itself."""
    lease: LeaseView | None = None
    """Where it is given to a bound program."""


@attrs.frozen
class InboxPage:
    """Some messages, and where to go on."""

    messages: tuple[MessageView, ...]
    cursor: str
    more: bool


@attrs.frozen
class QuarantineView:
    """An item that was received, has no effect, and waits for the owner's eyes."""

    id: Hash
    peer: str
    code: str
    reason: str
    received_at: Instant
    size: int
    barred: bool = False
    """Whether it stands in a task and comes back once its sender may send it."""
    cursor: str = ""
    """Where a list goes on after this item."""
    next_step: str = ""
    """What its owner can do about it, or why nothing."""


@attrs.frozen
class VersionView:
    """One submission of the worker: `status` is effective, kept or superseded."""

    version: int
    hash: Hash
    status: str
    note: str
    parts: tuple[Part, ...]
    submitted_at: Instant


@attrs.frozen
class TaskEventView:
    """One event of a task's two chains as taken by the fold. `side` is requester or worker."""

    n: int
    side: str
    type: str
    hash: Hash
    prev: Hash | None
    seen: int
    device: DeviceId
    at: Instant
    effect: str
    confirmed: bool
    note: str
    delivery: Delivery | None


@attrs.frozen
class TaskSummary:
    """A task in a list."""

    id: Hash
    title: str
    mine: str
    peer: str
    role: str
    state: str
    confirmed: bool
    final: bool
    versions: int
    deadline: Instant | None
    created_at: Instant
    updated_at: Instant
    waiting_for: str = ""
    """Whose turn it is: me, peer or, when the task is over or a former agent's, nobody ("")."""
    unread: int = 0
    """Messages about it that its agent has not read."""
    percent: int | None = None
    progress: str = ""
    """The worker's last word on how far it is, one short line, and the percent that it gave."""
    at_gate: bool = False
    """Whether it waits for the owner, who is told so, and its agent is shown nothing of it."""


@attrs.frozen
class TaskView:
    """A task in full. `actions` are what this side may do now."""

    summary: TaskSummary
    brief: str
    requirements: tuple[str, ...]
    parts: tuple[Part, ...]
    asks: int
    revisions: int
    budget: int | None
    versions: tuple[VersionView, ...]
    revision_requests: tuple[tuple[int, tuple[str, ...]], ...]
    """(version it names, reasons)."""
    events: tuple[TaskEventView, ...]
    waiting: tuple[str, ...]
    """Sentences on gaps, forks, closed chains, and on the first word of ours that did not arrive."""
    actions: tuple[str, ...]
    delivery: Delivery | None
    acts_on: str = ""
    """The owner's device that carries actions out, if that is another one."""
    requests: tuple[AskedView, ...] = ()
    """What was passed on to it, oldest first."""
    usual_budget: int | None = None
    """How many messages it may take where its request names no number; for its owner alone."""
    events_cursor: str = ""
    """Where to go on to earlier events; "" where they are all here."""
    versions_cursor: str = ""
    """The same of versions."""


@attrs.frozen
class TaskWindow:
    """How many of a task's newest events and versions, or of those before the ones that cursors name."""

    events: int = BOUNDS.events_shown
    events_cursor: str = ""
    versions: int = BOUNDS.versions_shown
    versions_cursor: str = ""


IsKnown = Callable[[TaskView], bool] | None
"""Whether a task is as its reader knows it; None: its reader knows nothing."""
Window = TaskWindow | None
"""None: all of it."""


@attrs.frozen
class EventView:
    """One line of the feed. `text` is small JSON."""

    id: int
    kind: str
    agent: str
    refs: tuple[Hash, ...]
    text: str
    at: Instant


@attrs.frozen
class TokenView:
    """A local credential without its secret."""

    id: str
    label: str
    agents: tuple[str, ...]
    created_at: Instant
    revoked_at: Instant | None
