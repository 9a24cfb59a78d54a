"""The daemon as its callers see it: what the local API, the command line's server side and tests may ask.

Every method raises `DaemonRefusal` with a code, a sentence and the next step. Writers return once what they
changed is committed; sending goes on by itself, and works while the relay is down.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import attrs

from taskferry_protocol.ids import Instant
from taskferry_protocol.messages import Part

from .action_port import ActionService, AskedView
from .backup_port import BackupService
from .browser_port import BrowserService
from .device_port import DeviceService
from .invite_port import InviteService, LinkService
from .manage_port import ManageService
from .orders import CardChange, GrantChange, Handing, Hold, Look, NewAgent, NewTask, TaskAction
from .recovery_port import RecoveryService
from .views import (
    AccountView,
    AgentView,
    ConnectionView,
    EventView,
    InboxPage,
    IsKnown,
    MessageView,
    QuarantineView,
    Sent,
    SetUp,
    Status,
    TaskSummary,
    TaskView,
    TokenView,
    Window,
)

if TYPE_CHECKING:
    from .alarm_port import AlarmService
    from .audit_port import AuditService
    from .doctor_port import DoctorService
    from .gates_port import GateService
    from .history_port import HistoryService
    from .numbers_port import NumbersService
    from .peers_port import PeerService
    from .proof_port import ProofService
    from .runtimes_port import RuntimeService
    from .sending_port import SendingService
    from .wake_port import WakeHookService

__all__ = [
    "Caller",
    "CardChange",
    "DaemonRefusal",
    "DaemonService",
    "GrantChange",
    "Handing",
    "Hold",
    "Look",
    "NewAgent",
    "NewTask",
    "TaskAction",
]


class DaemonRefusal(Exception):
    """The daemon will not do that.

    `status` is the HTTP status that fits; `detail` may hold state, actions, field, retry_after (seconds),
    approval (its id).
    """

    def __init__(
        self,
        code: str,
        message: str,
        next_step: str = "",
        *,
        status: int = 400,
        detail: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.next_step = next_step
        self.status = status
        self.detail = dict(detail or {})


@attrs.frozen
class Caller:
    """Who asks: the owner (`agents` is None), or a program that may act as these agents (names) alone.

    `label` is what its credential is called, and says nothing about who it is.
    """

    agents: frozenset[str] | None
    label: str = attrs.field(default="", eq=False)

    @property
    def is_owner(self) -> bool:
        """Whether the owner's own credential was shown."""
        return self.agents is None


class DaemonService(Protocol):
    """One owner's daemon. Agents are named `name` or `@owner/name`; peers `@owner/name`."""

    # --- subjects of their own ---
    @property
    def sending(self) -> SendingService:
        """What sends many messages at once."""

    @property
    def audit(self) -> AuditService:
        """What was done, decided and refused."""

    @property
    def recovery(self) -> RecoveryService:
        """The owner's recovery phrase."""

    @property
    def backups(self) -> BackupService:
        """Backups of this machine."""

    @property
    def manage(self) -> ManageService:
        """The passphrase before the key that signs for the account."""

    @property
    def numbers(self) -> NumbersService:
        """What the daemon counts of itself."""

    @property
    def alarms(self) -> AlarmService:
        """What the owner must know."""

    @property
    def doctor(self) -> DoctorService:
        """How the daemon is, seen from inside."""

    @property
    def peers(self) -> PeerService:
        """Other owners, and what is decided about who they are."""

    @property
    def invites(self) -> InviteService:
        """The owner's invites."""

    @property
    def links(self) -> LinkService:
        """Links that the owner opens."""

    @property
    def browsers(self) -> BrowserService:
        """The owner's browsers."""

    @property
    def gates(self) -> GateService:
        """What waits for the owner, and what the owner has decided ahead."""

    @property
    def runtimes(self) -> RuntimeService:
        """The programs that act as agents."""

    @property
    def wakers(self) -> WakeHookService:
        """What is done when something needs an agent that nobody runs."""

    @property
    def devices(self) -> DeviceService:
        """The owner's devices."""

    @property
    def actions(self) -> ActionService:
        """What was passed on to the owner's other devices."""

    @property
    def proofs(self) -> ProofService:
        """What the signatures of a task prove."""

    @property
    def history(self) -> HistoryService:
        """Lists that search, and figures over all that is kept."""

    # --- the owner's ---
    async def status(self) -> Status:
        """How things stand; needs no caller."""

    async def set_up(self, caller: Caller, owner: str, relay: str, label: str, ticket: str = "") -> SetUp:
        """Make the account and its keys, and claim the name at the relay; `ticket` if it wants one."""

    async def account(self, caller: Caller) -> AccountView:
        """The owner's account log in brief."""

    async def create_agent(self, caller: Caller, agent: NewAgent) -> AgentView:
        """Make an agent that others can connect to, and publish its card."""

    async def edit_agent(self, caller: Caller, agent: str, change: CardChange) -> AgentView:
        """Sign the next version of an agent's card, unless nothing changes, and tell whom it concerns."""

    async def withdraw_agent(self, caller: Caller, agent: str) -> int:
        """Let no device serve an agent any more; how many of its connections and requests that ended.

        All that its name was good for ends, on every device: whoever has it later is another agent.
        """

    async def accept_connection(
        self, caller: Caller, connection: str | tuple[str, str], grant: GrantChange
    ) -> ConnectionView:
        """Accept a request; `grant` changes what the peer may send from the default."""

    async def end_connection(
        self,
        caller: Caller,
        connection: str | tuple[str, str],
        kind: str,
        reason: str,
        again: Instant | None = None,
    ) -> ConnectionView:
        """`kind` is declined, revoked or blocked; `connection` an id (prefix) or (mine, peer).

        `again` is from when on one who is declined may ask again; None: after the usual pause.
        """

    async def set_permissions(
        self, caller: Caller, connection: str | tuple[str, str], grant: GrantChange
    ) -> ConnectionView:
        """Sign the next version of what the peer may send."""

    async def quarantine(self, caller: Caller, cursor: str, limit: int) -> tuple[QuarantineView, ...]:
        """What was received and has no effect, newest first."""

    async def tokens(self, caller: Caller) -> tuple[TokenView, ...]:
        """The local credentials, revoked ones too."""

    async def create_token(self, caller: Caller, agents: Sequence[str], label: str) -> tuple[str, TokenView]:
        """The secret, told once, and the credential."""

    async def revoke_token(self, caller: Caller, token: str) -> TokenView:
        """End a credential at once."""

    async def caller_for(self, secret: str) -> Caller | None:
        """Who holds this credential, compared in constant time; None for nobody."""

    # --- agents' and the owner's ---
    async def agents(self, caller: Caller) -> tuple[AgentView, ...]:
        """The agents that the caller may act as."""

    async def connections(self, caller: Caller, state: str, agent: str) -> tuple[ConnectionView, ...]:
        """Connections, filtered by state and agent ("" for all)."""

    async def connected(self, caller: Caller) -> Mapping[str, int]:
        """How many connections are in force, by the name of the agent of ours; none is left out."""

    async def request_connection(self, caller: Caller, mine: str, peer: str, note: str) -> ConnectionView:
        """Ask a peer's owner for a connection."""

    async def send_message(
        self,
        caller: Caller,
        mine: str,
        peer: str,
        text: str,
        parts: Sequence[Part],
        conversation: str,
        reply_to: str,
        cause: str = "",
    ) -> Sent:
        """Send a message; `conversation`, `reply_to` and `cause`, what led to it, may be ""."""

    async def inbox(
        self,
        caller: Caller,
        agent: str,
        unprocessed: bool,
        cursor: str,
        limit: int,
        wait_s: float,
        *,
        look: Look = Look.WHOLE,
        runtime: str = "",
        handing: Handing = Handing.TAKEN,
    ) -> InboxPage:
        """Oldest first. Waits up to `wait_s` when there is nothing; marks what it gives as read, or offered.

        With a bound program's id, what that may have of what is not processed; `handing` says whether it is
        its alone from now on.
        """

    async def messages(self, caller: Caller, agent: str, cursor: str, limit: int) -> InboxPage:
        """Outgoing and incoming messages, newest first."""

    async def message(self, caller: Caller, message: str) -> MessageView:
        """One message by id or unique prefix."""

    async def acknowledge(self, caller: Caller, message: str, hold: Hold | None = None) -> MessageView:
        """Mark a message as processed; again is no error. Refusal `taken-over` if `hold` has it no more."""

    async def create_task(self, caller: Caller, task: NewTask) -> Sent:
        """Ask a peer for work."""

    async def tasks(
        self, caller: Caller, agent: str, state: str, role: str, cursor: str, limit: int
    ) -> tuple[tuple[TaskSummary, ...], str]:
        """Newest first, and the cursor to go on from ("" at the end)."""

    async def task(
        self, caller: Caller, task: str, is_known: IsKnown = None, wait_s: float = 0, window: Window = None
    ) -> TaskView:
        """One task by id or unique prefix, or a window of it. Waits up to `wait_s` while `is_known` holds."""

    async def act(self, caller: Caller, task: str, action: TaskAction) -> Sent | AskedView:
        """Act on a task; refusal `not-possible` carries state and actions.

        Where another device of the owner writes in the task, it is asked to: what was passed on is told.
        """

    async def artifact(self, caller: Caller, task: str, version: int, part: int) -> tuple[str, str, bytes]:
        """(name, media type, bytes) of a part, counted from 0; version 0 is the request's own parts."""

    async def export_task(self, caller: Caller, task: str) -> bytes:
        """The handoff file of spec/tasks.md section 4."""

    def events(self, caller: Caller, after: int | None, agent: str) -> AsyncIterator[EventView]:
        """The feed after an event's id (None: from now on), without end; only what the caller may see."""

    async def feed_start(self, after: int | None) -> int:
        """Where a follower begins that has come to `after`: at the end, if that is None or beyond."""

    def wakes(self, caller: Caller, after: int, agent: str, runtime: str = "") -> AsyncIterator[EventView]:
        """The feed as hints to agents: events of the kind `wake`, each for all that came together.

        With a `runtime`'s id, only for that program: without what another live one has.
        """

    async def recall(self, caller: Caller, key: str, digest: bytes) -> bytes | None:
        """The answer already given under an idempotency key; refusal `conflict` if the request differed."""

    async def remember(self, caller: Caller, key: str, digest: bytes, response: bytes) -> None:
        """Keep an answer under an idempotency key for a day."""
