"""One relay: what its links share, the tasks behind them, and how it starts and stops. No HTTP in here."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from typing import Final

import attrs
import trio

from taskferry_protocol.admission import MailboxLimits
from taskferry_protocol.audit import RelayAuditKind
from taskferry_protocol.errors import RejectCode
from taskferry_protocol.ids import DeviceId, Entropy, Hash, Instant
from taskferry_stores.port import RelayStore, StoreError
from taskferry_transports.port import LinkInfo, Transport

from .. import system
from ..logs import get_logger
from ..telemetry.spans import Spans
from .accounts import Accounts
from .audit import RelayAudit
from .calls import Calls
from .directory import Directory
from .doors import Doors
from .engine import Engine
from .entrance import Entrance, SignUp
from .expiry import Housekeeping
from .facts import Facts
from .failures import first_failure
from .invites import Invites
from .limits import USUAL, RelayLimits
from .link import Link
from .look_ups import LookUps
from .mailbox import TailBudget
from .meter import Meter
from .office import Office
from .presence import Presence
from .reading import Reads
from .senders import Senders
from .sign_ups import Allowance, SignUpBudget
from .suspensions import Suspensions
from .visits import Visits
from .witness import Witness

__all__ = ["Policy", "Relay"]

NONCE_BYTES: Final = 32
#: Between two looks at all sessions' clocks, whose deadlines are 10 seconds and more.
CLOCK_S: Final = 1.0
#: When a daemon may come back after a planned stop.
COME_BACK_MS: Final = 1_000
#: And after there were too many of its address.
CROWDED_MS: Final = 10_000

_LOG = get_logger()


@attrs.frozen
class Policy:
    """What an operator decides. `origins` are those that daemons may have dialled, with scheme and port."""

    origins: Collection[str]
    sign_up: SignUp = SignUp.OPEN
    sign_ups: Allowance = attrs.field(factory=lambda: Allowance.of(60))
    """New accounts that strangers may begin in an hour, unless they are on this machine."""
    client_tokens: Collection[Hash] = ()
    """SHA-256 of what lets any number of new accounts in, as a ticket does one."""
    limits: MailboxLimits = attrs.field(factory=MailboxLimits)
    bounds: RelayLimits = USUAL
    """All other limits."""
    witness: Witness | None = None
    """Hears of each envelope that is admitted; for an operator who wants to see what a relay sees."""


class Relay:
    """Serves links from one store.

    `run` carries it; `handle` serves one transport; `drain` says goodbye to all links once everything handed
    in is committed.
    """

    def __init__(
        self,
        store: RelayStore,
        policy: Policy,
        *,
        now: Callable[[], Instant] = system.now,
        entropy: Entropy = system.entropy,
        spans: Spans | None = None,
    ) -> None:
        self.spans = spans
        """Takes what is told of requests, calls and messages; None where nobody wants to know."""
        self._store = store
        self._now = now
        self._entropy = entropy
        self._presence = Presence()
        self.suspensions = Suspensions(store, self._presence)
        """Accounts that the operator has stopped."""
        facts = Facts(store, policy.limits, Reads(now, policy.bounds.reads), self.suspensions)
        self.meter = Meter(now())
        """What it counts of itself."""
        self.audit = RelayAudit(store, now, self.meter)
        """What the operator can look up later."""
        self._senders = Senders(policy.bounds.sends)
        engine, calls = _makers(spans)
        self._engine = engine(
            store,
            facts,
            self._presence.deliver,
            now,
            policy.witness,
            self.audit,
            self.meter,
            self._senders,
        )
        self._housekeeping = Housekeeping(self._engine, now, store)
        bounds = policy.bounds
        budget = SignUpBudget(policy.sign_ups)
        self.entrance = Entrance(store, policy.sign_up, policy.client_tokens, budget, bounds.accounts)
        """Decides which new accounts may begin."""
        accounts = Accounts(store, facts, self._presence, self.entrance, now, self.audit, self.suspensions)
        self.invites = Invites(store, facts, now)
        self.directory = Directory(store, facts)
        """Agents that want to be found."""
        self._office = Office(
            store=store,
            engine=self._engine,
            accounts=accounts,
            calls=calls(store, facts, accounts, self._presence, self.invites, bounds.connections_of_account),
            lookups=LookUps(bounds),
            presence=self._presence,
            visits=Visits(accounts, bounds.visits),
            origins=frozenset(policy.origins),
            turns=facts.turns,
            budget=TailBudget(bounds.tails_bytes, self.meter.wakes),
            limits=bounds,
            audit=self.audit,
            now=now,
            fail=self._fail,
        )
        self._links: set[Link] = set()
        self.doors = Doors(bounds.sessions_per_address)
        """How many sessions come from one network."""
        self._one_gone = trio.Event()
        self._draining = False
        self._failure: Exception | None = None
        self._failed = trio.Event()

    @property
    def is_healthy(self) -> bool:
        """Whether it takes sessions and its store works."""
        return not self._draining and self._failure is None

    @property
    def online(self) -> int:
        """How many devices have a session."""
        return len(self._presence)

    def taken(self) -> dict[str, int]:
        """What is taken of its limits, by their fields' names."""
        bounds, office = self._office.limits, self._office
        return {
            "sessions_per_address": self.doors.fullest,
            "waiting": self._senders.waiting,
            "tails_bytes": bounds.tails_bytes - office.budget.left,
        }

    def is_online(self, device: DeviceId) -> bool:
        """Whether a device has a session."""
        return self._presence.is_online(device)

    def reachable_at(self, origins: Collection[str]) -> None:
        """Take sessions of daemons that dialled one of these origins, from now on."""
        self._office = attrs.evolve(self._office, origins=frozenset(origins))

    async def handle(self, transport: Transport, info: LinkInfo) -> None:
        """Serve one transport to its end."""
        if not self.is_healthy:
            return
        link = Link(self._office, transport, self._entropy(NONCE_BYTES))
        self._links.add(link)
        self.meter.links[transport.kind] += 1
        try:
            with self.doors.entered(transport.peer) as may_stay:
                if not may_stay:
                    self.audit.count(
                        RelayAuditKind.REFUSAL,
                        "session",
                        code=RejectCode.TOO_MANY.value,
                        address=transport.peer,
                    )
                    text = "your address has as many sessions here as it may"
                    link.end(RejectCode.TOO_MANY, text, CROWDED_MS)
                await link.run()
        finally:
            self._links.discard(link)
            self.meter.links[transport.kind] -= 1
            self._one_gone.set()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Carry the relay until cancelled. Raises the store's error when the store fails; links are told."""
        try:
            async with trio.open_nursery() as nursery:
                # Nobody comes in before it is known who may not.
                await self.suspensions.refresh()
                nursery.start_soon(self.directory.fill)
                nursery.start_soon(self.suspensions.follow)
                nursery.start_soon(self._engine.run)
                nursery.start_soon(self._housekeeping.run)
                nursery.start_soon(self._keep_time)
                nursery.start_soon(self.audit.run)
                task_status.started()
                await self._failed.wait()
                nursery.cancel_scope.cancel()
        except* StoreError as failures:
            if self._failure is None:
                self._fail(first_failure(failures))
        if self._failure is not None:
            with trio.CancelScope(shield=True):
                await self._say_goodbye(RejectCode.INTERNAL, "the relay's store failed")
            raise self._failure

    async def drain(self) -> None:
        """Take no more, commit what was handed in, say goodbye to all links, and wait until they are gone."""
        self._draining = True
        for link in tuple(self._links):
            link.stop_reading()
        if self._failure is None:
            await self._engine.settle()
            await self.audit.flush()
        await self._say_goodbye(RejectCode.SHUTTING_DOWN, "the relay is stopping")

    async def _say_goodbye(self, code: RejectCode, text: str) -> None:
        retry = COME_BACK_MS if code is RejectCode.SHUTTING_DOWN else None
        for link in tuple(self._links):
            link.end(code, text, retry)
        with trio.move_on_after(_GOODBYES_S):
            while self._links:
                self._one_gone = trio.Event()
                await self._one_gone.wait()

    def _fail(self, failure: Exception) -> None:
        if self._failure is None:
            _LOG.error("the store failed", reason=type(failure).__name__)
            self._failure = failure
            self._failed.set()

    async def _keep_time(self) -> None:
        # One task for all sessions: a timer for each would cost an idle one half its memory again.
        while True:
            await trio.sleep(CLOCK_S)
            self._tell_time()

    def _tell_time(self) -> None:
        # Not in the loop above, whose variables would hold the last link of all while it sleeps.
        now = self._now()
        for link in tuple(self._links):
            link.keep_time(now)


def _makers(spans: Spans | None) -> tuple[Callable[..., Engine], Callable[..., Calls]]:
    if spans is None:
        return Engine, Calls
    from .telemetry import TracedCalls, TracedEngine

    return partial(TracedEngine, spans), partial(TracedCalls, spans)


#: A little longer than a link gives its own goodbye.
_GOODBYES_S: Final = 3.0
