"""One owner's daemon, as `port.DaemonService` promises it: each question handed to the part that knows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence

import trio

from taskferry_protocol.breakers import DEFAULT_LIMITS, BreakerLimits
from taskferry_protocol.ids import Entropy, Instant
from taskferry_protocol.messages import Part
from taskferry_stores.port import DaemonStore

from ..release import version
from . import listing
from .access import Access
from .action_port import AskedView
from .actions import Actions
from .alarm_desk import AlarmDesk
from .alarm_port import AlarmService
from .alarms import alarms, clock_alarm
from .audit import AuditBook
from .backups import Backups, Copying
from .bounds import BOUNDS, DaemonBounds
from .browser_port import BrowserService
from .browsers import Browsers
from .cards import Cards
from .clock_steps import ClockSteps
from .connections import PAUSE_MS, Connections
from .core import Core, Vault
from .describe import connection_view
from .devices import Devices
from .directory import Directory
from .doctor import Doctor
from .gates import Gates
from .history import History
from .identity_changes import changed_owners
from .instance import InstanceMark
from .invite_port import InviteService, LinkService
from .invites import Invites
from .link import Link, RouteTo
from .linking import Linking
from .links import Links
from .looking import Looking
from .mail import Mail
from .manage import Manage
from .numbers import NumbersDesk
from .outgoing import posted_before, sent
from .owner import Owner
from .peers import PeerBook
from .port import Caller, CardChange, GrantChange, Handing, Hold, Look, NewAgent, NewTask, TaskAction
from .proofs import Proofs
from .recovery import Recovery
from .rules import Rules
from .runtimes import Runtimes
from .sending_many import Sending
from .sending_port import NewMessage
from .setting_up import set_up
from .sharing import Sharing
from .taskbook import load_task
from .tasks import Tasks
from .upkeep import Upkeep
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
from .wakers import Wakers
from .wakes import Wakes
from .withdrawing import withdraw_agent

__all__ = ["Daemon"]


class Daemon:
    """Made by `open`; works once `run` runs, and answers even before the relay is reached."""

    def __init__(
        self,
        core: Core,
        route_to: RouteTo,
        owner_digest: bytes,
        relay: str | None,
        relay_token: str = "",
        copying: Copying | None = None,
        pause_ms: int = PAUSE_MS,
    ) -> None:
        self._core = core
        self._link = Link(core, route_to, relay, relay_token)
        self._owner = Owner(core, self._link.claim, self._link.append)
        directory = Directory(core, self._link)
        self._connections = Connections(core, directory.look_up, pause_ms)
        self.invites: InviteService = Invites(core, self._link)
        self.links: LinkService = Links(core, self._link, self._connections)
        self.browsers: BrowserService = Browsers(core)
        self._tasks = Tasks(core)
        self._looking = Looking(core, self._tasks)
        self.proofs = Proofs(core)
        """What the signatures of a task prove."""
        self.actions = Actions(core, self._link, self._tasks)
        """What is done in tasks, here or on another device."""
        self.gates = Gates(core, self._link, self._connections, self._tasks, Rules(core, directory.look_up))
        """What waits for the owner, and what the owner has decided ahead."""
        self._mail = Mail(core)
        self.sending = Sending(core, self._link)
        """Messages, one or many at once."""
        self.history = History(core)
        """Lists that search, and figures over all that is kept."""
        self._wakes = Wakes(core)
        self.runtimes = Runtimes(core, self._link, self._mail)
        """The programs that act as agents."""
        self.wakers = Wakers(core)
        """What is done when something needs an agent that nobody runs."""
        self._access = Access(core, owner_digest)
        self.audit = AuditBook(core)
        """What was done, decided and refused."""
        self.alarms: AlarmService = AlarmDesk(core)
        """What the owner must know, until it is dismissed or its cause is gone."""
        self.numbers = NumbersDesk(core, self._link)
        """What the daemon counts of itself."""
        self.doctor = Doctor(core, self._link, self.audit)
        """How this daemon is, seen from inside."""
        self.peers = PeerBook(core, directory.find)
        """Other owners, and what is decided about who they are."""
        self.recovery = Recovery(core, self._link)
        self.backups = Backups(core, copying)
        self.manage = Manage(core)
        self._upkeep = Upkeep(core, self._owner, self._tasks, self._link, self._connections)
        self._sharing = Sharing(core, self._link, self._owner)
        self._linking = Linking(core, self._link, self._owner, self._sharing, route_to)
        self.devices = Devices(core, self._owner, self._linking, self._sharing)
        """The owner's devices."""

    @classmethod
    async def open(
        cls,
        store: DaemonStore,
        vault: Vault,
        route_to: RouteTo,
        *,
        owner_digest: bytes,
        now: Callable[[], Instant],
        entropy: Entropy,
        jitter: Callable[[], float],
        uptime: Callable[[], float] | None = None,
        relay: str | None = None,
        relay_token: str = "",
        copying: Copying | None = None,
        pause_ms: int = PAUSE_MS,
        instance: InstanceMark | None = None,
        limits: BreakerLimits = DEFAULT_LIMITS,
        bounds: DaemonBounds = BOUNDS,
    ) -> Daemon:
        """A daemon over a store and keys; `owner_digest` is the SHA-256 of the owner's credential.

        `relay` outranks the one that set-up named, `relay_token` lets a new account in there; `copying` says
        how backups copy the store, where they can, `pause_ms` how long one who was declined waits, `limits`
        when breakers trip, `bounds` the rest. By `uptime`, seconds that nobody sets, clock steps are noticed.

        Raises what store and vault raise.
        """
        core = Core(store, vault, now=now, entropy=entropy, jitter=jitter, instance=instance, limits=limits)
        core.bounds = bounds
        core.steps = ClockSteps(now, uptime) if uptime is not None else None
        await core.load()
        return cls(core, route_to, owner_digest, relay, relay_token, copying, pause_ms)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Hold the link and keep house until cancelled. Raises the store's errors."""
        await self.runtimes.bridge()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._link.run)
            nursery.start_soon(self._upkeep.run)
            nursery.start_soon(self._sharing.run)
            await nursery.start(self._linking.run)
            nursery.start_soon(self.wakers.run)
            nursery.start_soon(self.history.run)
            task_status.started()

    # --- The owner's

    async def status(self) -> Status:
        """How things stand."""
        core = self._core
        own = await core.own_log() if core.account is not None else None
        return Status(
            set_up=own is not None,
            owner=own.state.name if own is not None else core.keyless,
            account=core.account,
            device=core.device if own is not None else None,
            relay=await self._link.status() if own is not None else None,
            version=version(),
            alarms=(*clock_alarm(core.clock.ahead_ms), *await alarms(core.store)),
            secrets=core.vault.kind,
            manage=self.manage.state,
            changed=await changed_owners(core.store),
            waiting=await core.store.waiting_counts(core.now()),
        )

    async def set_up(self, caller: Caller, owner: str, relay: str, label: str, ticket: str = "") -> SetUp:
        """Make account and keys, and claim the name; where the relay refused it later, try otherwise."""
        return await set_up(self._core, self._link, self._owner, caller, owner, relay, label, ticket)

    async def account(self, caller: Caller) -> AccountView:
        """The owner's account log in brief."""
        return await listing.account_view(self._core, caller)

    async def create_agent(self, caller: Caller, agent: NewAgent) -> AgentView:
        """Make an agent, and publish its card."""
        await self._owner.create_agent(caller, agent)
        await self._link.wait_published((await self._core.own_log()).state.length)
        return await listing.agent_view(self._core, caller, agent.name)

    async def edit_agent(self, caller: Caller, agent: str, change: CardChange) -> AgentView:
        """Sign the next version of an agent's card."""
        await Cards(self._core).edit(caller, agent, change)
        return await listing.agent_view(self._core, caller, agent)

    async def withdraw_agent(self, caller: Caller, agent: str) -> int:
        """Let no device serve an agent any more."""
        return await withdraw_agent(self._core, self._owner, self._link, caller, agent)

    async def accept_connection(
        self, caller: Caller, connection: str | tuple[str, str], grant: GrantChange
    ) -> ConnectionView:
        """Accept a request."""
        step = await self._connections.accept(caller, connection, grant)
        return await connection_view(self._core, step.bond, step.message)

    async def end_connection(
        self,
        caller: Caller,
        connection: str | tuple[str, str],
        kind: str,
        reason: str,
        again: Instant | None = None,
    ) -> ConnectionView:
        """Decline, revoke or block."""
        step = await self._connections.end(caller, connection, kind, reason, again)
        return await connection_view(self._core, step.bond, step.message)

    async def set_permissions(
        self, caller: Caller, connection: str | tuple[str, str], grant: GrantChange
    ) -> ConnectionView:
        """Sign the next version of what the peer may send."""
        step = await self._connections.permit(caller, connection, grant)
        return await connection_view(self._core, step.bond, step.message)

    async def quarantine(self, caller: Caller, cursor: str, limit: int) -> tuple[QuarantineView, ...]:
        """What was received and has no effect, newest first."""
        return await self._mail.quarantine(caller, cursor, limit)

    async def tokens(self, caller: Caller) -> tuple[TokenView, ...]:
        """The local credentials."""
        return await self._access.tokens(caller)

    async def create_token(self, caller: Caller, agents: Sequence[str], label: str) -> tuple[str, TokenView]:
        """The secret, told once, and the credential."""
        return await self._access.create(caller, agents, label)

    async def revoke_token(self, caller: Caller, token: str) -> TokenView:
        """End a credential at once."""
        return await self._access.revoke(caller, token)

    async def caller_for(self, secret: str) -> Caller | None:
        """Who holds this credential; None for nobody."""
        return await self._access.caller_for(secret)

    # --- Agents' and the owner's

    async def agents(self, caller: Caller) -> tuple[AgentView, ...]:
        """The agents that the caller may act as."""
        return await listing.agent_views(self._core, caller)

    async def connections(self, caller: Caller, state: str, agent: str) -> tuple[ConnectionView, ...]:
        """Connections, newest first."""
        return await listing.connection_views(self._core, caller, state, agent)

    async def connected(self, caller: Caller) -> Mapping[str, int]:
        """How many connections are in force, by agent."""
        return await listing.connection_counts(self._core, caller)

    async def request_connection(self, caller: Caller, mine: str, peer: str, note: str) -> ConnectionView:
        """Ask a peer's owner for a connection."""
        step = await self._connections.request(caller, mine, peer, note)
        return await connection_view(self._core, step.bond, step.message)

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
        """Send a message."""
        said = NewMessage(mine, peer, text, tuple(parts), conversation, reply_to, cause)
        return await self.sending.one(caller, said)

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
        """Oldest first; waits when there is nothing."""
        if runtime:
            return await self._mail.leased(caller, agent, runtime, cursor, limit, wait_s, look, handing)
        return await self._mail.inbox(caller, agent, unprocessed, cursor, limit, wait_s, look)

    async def messages(self, caller: Caller, agent: str, cursor: str, limit: int) -> InboxPage:
        """Outgoing and incoming messages, newest first."""
        return await self._mail.messages(caller, agent, cursor, limit)

    async def message(self, caller: Caller, message: str) -> MessageView:
        """One message."""
        return await self._mail.message(caller, message)

    async def acknowledge(self, caller: Caller, message: str, hold: Hold | None = None) -> MessageView:
        """Mark a message as processed."""
        return await self._mail.acknowledge(caller, message, hold)

    def events(self, caller: Caller, after: int | None, agent: str) -> AsyncIterator[EventView]:
        """The feed, without end."""
        return self._mail.events(caller, after, agent)

    async def feed_start(self, after: int | None) -> int:
        """Where a follower of the feed begins."""
        return await self._wakes.start(after)

    def wakes(self, caller: Caller, after: int, agent: str, runtime: str = "") -> AsyncIterator[EventView]:
        """The feed as hints to agents, or to one program of an agent."""
        if runtime:
            return self._wakes.follow_for(caller, after, runtime)
        return self._wakes.follow(caller, after, agent)

    async def recall(self, caller: Caller, key: str, digest: bytes) -> bytes | None:
        """The answer already given under an idempotency key."""
        return await self._access.recall(caller, key, digest)

    async def remember(self, caller: Caller, key: str, digest: bytes, response: bytes) -> None:
        """Keep an answer under an idempotency key."""
        await self._access.remember(caller, key, digest, response)

    # --- Tasks

    async def create_task(self, caller: Caller, task: NewTask) -> Sent:
        """Ask a peer for work."""
        posted = await posted_before(self._core)
        if posted is None:
            posted, held = await self._tasks.create(caller, task)
        else:
            held = await load_task(self._core, posted.hash)
        return await sent(self._core, self._link, posted, held)

    async def tasks(
        self, caller: Caller, agent: str, state: str, role: str, cursor: str, limit: int
    ) -> tuple[tuple[TaskSummary, ...], str]:
        """Newest first, and the cursor to go on from."""
        return await listing.task_list(self._core, caller, agent, state, role, cursor, limit)

    async def task(
        self, caller: Caller, task: str, is_known: IsKnown = None, wait_s: float = 0, window: Window = None
    ) -> TaskView:
        """One task; an agent that looks at it has read what it was asked to revise."""
        return await self._looking.task(caller, task, is_known, wait_s, window)

    async def act(self, caller: Caller, task: str, action: TaskAction) -> Sent | AskedView:
        """Act on a task, or let the device act that writes in it."""
        return await self.actions.act(caller, task, action)

    async def artifact(self, caller: Caller, task: str, version: int, part: int) -> tuple[str, str, bytes]:
        """(name, media type, bytes) of a part, counted from 0."""
        return await self._looking.artifact(caller, task, version, part)

    async def export_task(self, caller: Caller, task: str) -> bytes:
        """The handoff file."""
        return await self._looking.export(caller, task)
