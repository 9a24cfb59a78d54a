"""What every part of the daemon shares: the store, the keys, the clock, one lock, and the bells.

Whoever writes holds `lock` from loading to committing, so that no decision rests on something that changed
meanwhile. Reading needs no lock.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final, Protocol

import trio

from taskferry_protocol.accounts import AccountLog
from taskferry_protocol.breakers import DEFAULT_LIMITS, BreakerLimits
from taskferry_protocol.crypto import SigningKey
from taskferry_protocol.errors import RejectCode
from taskferry_protocol.ids import AccountId, AgentRef, DeviceId, Entropy, Hash, Instant, LogPosition
from taskferry_protocol.limits import MINUTE_MS
from taskferry_protocol.rates import RateState
from taskferry_protocol.records import (
    AppendEvent,
    AppendStatements,
    DaemonChange,
    DaemonResult,
    DropOutbox,
    DropQuarantine,
    Flow,
    MarkMessages,
    OweReceipt,
    PutGrant,
    PutOutbox,
    PutSetting,
    RecordReceipt,
    RecordSeen,
    ReleaseName,
    RuntimeId,
    SaveTask,
    SetRung,
    StoreMessage,
    UseSequence,
)
from taskferry_protocol.records.forgetting import ForgetAccount, ForgetAccused
from taskferry_stores.port import DaemonStore

from ..histogram import Histogram
from ..lasting_until import goes_on
from ..relay_answers import Ear
from .beginning import Beginning
from .bell import Bell
from .bounds import BOUNDS, DaemonBounds
from .clock_steps import ClockSteps
from .instance import InstanceMark
from .keys import KeyRing
from .lasting import note_lasting
from .logbook import LogBook
from .manage_port import LONGEST_MINUTES
from .pairs import Pairs
from .port import DaemonRefusal
from .relay_clock import RelayClock

__all__ = ["SEQUENCE_FLOOR", "Core", "Vault", "Watcher"]

#: Of commits, in seconds: a synchronised write takes 1 ms to some 100.
COMMITS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)

#: Numbers of envelopes begin above this after a device was put back from a backup.
SEQUENCE_FLOOR: Final = "sequence-floor"


_MOVED: Final = (
    "This data directory is not where it was: it was moved, restored or copied. Nothing is signed before the "
    "relay has said that no other copy is at work."
)


class Vault(Protocol):
    """Where the private keys are kept."""

    @property
    def kind(self) -> str:
        """`files`, or `keyring` for the system's secret store."""

    async def load(self) -> KeyRing | None:
        """The keys, None if there are none yet."""

    async def save(self, ring: KeyRing) -> None:
        """Keep the keys durably."""

    async def load_beginning(self) -> Beginning | None:
        """A set-up that was not finished."""

    async def save_beginning(self, beginning: Beginning | None) -> None:
        """Keep what an interrupted set-up goes on from, or forget it."""


Watcher = Callable[[Sequence[DaemonChange]], None]
"""Hears of what is on disk."""

#: What there is of for each message, and nobody waits for.
_UNHEARD: Final[frozenset[type[DaemonChange]]] = frozenset(
    {StoreMessage, RecordSeen, RecordReceipt, OweReceipt, SetRung, DropQuarantine, DropOutbox, UseSequence}
)
#: After these somebody may have to be told what became of something.
_OWING: Final[frozenset[type[DaemonChange]]] = frozenset({OweReceipt, MarkMessages})
_CAUGHT_UP: Final = "caught-up"


class Core:
    """Load it before use. `ring` and `account` are None until set-up."""

    def __init__(
        self,
        store: DaemonStore,
        vault: Vault,
        *,
        now: Callable[[], Instant],
        entropy: Entropy,
        jitter: Callable[[], float],
        instance: InstanceMark | None = None,
        limits: BreakerLimits = DEFAULT_LIMITS,
    ) -> None:
        self.store = store
        self.vault = vault
        self.now = now
        self.entropy = entropy
        self.jitter = jitter
        self.instance = instance
        self.bounds: DaemonBounds = BOUNDS
        """The limits that this installation has."""
        self.suspended = _MOVED if instance is not None and instance.moved else ""
        """Why this daemon signs nothing now: another copy of it may be at work."""
        self.lock = trio.Lock()
        self.commits = Histogram(COMMITS_S)
        """How long commits took to be on disk, in seconds."""
        self.logs = LogBook(store)
        self.pairs = Pairs(store, limits)
        """What passed between our agents and peers', for the breakers."""
        self.ring: KeyRing | None = None
        self.account: AccountId | None = None
        self.keyless = ""
        """The owner name of an account that the store knew at the start, and of which no keys were there."""
        self.unlocked: tuple[SigningKey, Instant] | None = None
        """A manage key that its owner has unlocked, and until when."""
        self.sequence_floor = 0
        self.last_seen: dict[str, Instant] = {}
        """When somebody last acted as each agent, since this daemon started."""
        self.ran: dict[str, Instant] = {}
        """When a program last acted as each agent, since this daemon started."""
        self.devices_heard: dict[DeviceId, Instant] = {}
        """When the owner's other devices last said something, by their clocks, since this daemon started."""
        self.acted: dict[RuntimeId, Instant] = {}
        """When each program that sends heartbeats last did something else, since this daemon started."""
        self.passed: dict[RuntimeId, dict[Hash, None]] = {}
        """What each program has given back since it was bound: it is not handed that again."""
        self.arrived: dict[Flow, RateState] = {}
        """What is left of each rate by when things came; after a start every peer has a full minute."""
        self.unanswered: set[Hash] = set()
        """What the relay of this session was handed, and has not answered yet."""
        self.owes_receipts = True
        """Whether receipts may be owed that are not said yet; after a start somebody has to look."""
        self.caught_up: Instant | None = None
        """When this device last held all that the relay had for it; None before its first session."""
        self.given_logs: dict[tuple[DeviceId, AccountId], tuple[LogPosition, Instant]] = {}
        """How much of a peer's log went with late mail to each other device of ours last, and when."""
        self.outgoing = Bell()
        """Something waits to be sent or published."""
        self.feed = Bell()
        """The feed has a new line."""
        self.due = Bell()
        """Something has a deadline that may be the earliest."""
        self.changed = Bell()
        """Account, keys or settings changed."""
        self.shown = Bell()
        """Something changed that the owner's pages may show."""
        self.clock = RelayClock(now)
        """Says how this machine's clock stands to the relay's."""
        self.steps: ClockSteps | None = None
        """Notices steps of the clock, where there is another to compare it with."""
        self.watcher: Watcher | None = None
        """Hears of what is on disk, if somebody wants to."""
        self.ear: Ear | None = None
        """Hears of calls to the relay, in sessions that begin from now on."""

    async def load(self) -> None:
        """Read keys and account. Raises what vault and store raise."""
        self.ring = await self.vault.load()
        own = await self.store.own_account()
        self.account = own.record.account if own is not None and self.ring is not None else None
        self.keyless = own.record.name if own is not None and self.ring is None else ""
        raw = (await self.store.settings((_CAUGHT_UP,))).get(_CAUGHT_UP)
        self.caught_up = Instant(int(raw)) if raw is not None else None
        self.clock.note_caught_up(self.caught_up)
        floor = (await self.store.settings((SEQUENCE_FLOOR,))).get(SEQUENCE_FLOOR)
        self.sequence_floor = int.from_bytes(floor or b"", "big")

    def not_set_up(self) -> DaemonRefusal:
        """What anybody is told who asks for more than set-up before that."""
        what, step = "This daemon has no account yet.", "Run: taskferry setup OWNER --relay URL"
        if self.keyless:
            what = f"This machine knows the account @{self.keyless}, and has no keys of it."
            step = "Take it back with its recovery phrase: taskferry recover"
        return DaemonRefusal("not-set-up", what, step, status=503)

    def keep_caught_up(self) -> tuple[PutSetting, ...]:
        """What to commit now and then, so that the next start knows since when mail may have been waiting."""
        return (PutSetting(_CAUGHT_UP, b"%d" % self.caught_up),) if self.caught_up is not None else ()

    @property
    def keys(self) -> KeyRing:
        """The keys of the device. Raises DaemonRefusal(not-set-up)."""
        if self.ring is None or self.account is None:
            raise self.not_set_up()
        return self.ring

    @property
    def own(self) -> AccountId:
        """The owner's account. Raises DaemonRefusal(not-set-up)."""
        if self.account is None:
            raise self.not_set_up()
        return self.account

    @property
    def device(self) -> DeviceId:
        """The id of the device that this daemon is. Raises DaemonRefusal(not-set-up)."""
        return self.keys.device.id

    @asynccontextmanager
    async def undivided(self) -> AsyncIterator[None]:
        """Hold the lock, to the block's end: no hanging up divides what the relay takes from what is kept."""
        async with self.lock:
            with trio.CancelScope(shield=True):
                yield

    def forget_unlocked(self) -> None:
        """Let go of a manage key whose minutes are over."""
        longest_ms = LONGEST_MINUTES * MINUTE_MS
        if self.unlocked is not None and not goes_on(self.unlocked[1], self.now(), longest_ms):
            self.unlocked = None

    def check_may_sign(self) -> None:
        """Nothing if this is the only installation of this device, as far as is known. DaemonRefusal else."""
        if self.suspended:
            raise DaemonRefusal(
                RejectCode.OTHER_INSTANCE.value,
                self.suspended,
                "Stop the other copy, then start this one with: taskferry up --take-over. To use two "
                "machines, link the second one: taskferry device link",
                status=503,
            )

    @property
    def manage(self) -> SigningKey:
        """The key that signs for the account. Raises DaemonRefusal where this device has none."""
        self.forget_unlocked()
        self.check_may_sign()
        key = self.keys.device.manage
        if key is None and self.unlocked is not None:
            key = self.unlocked[0]
        if key is None and self.keys.locked_manage is not None:
            raise DaemonRefusal(
                "locked",
                "The key that signs for the account is locked by your passphrase.",
                "Unlock it for a while: taskferry manage unlock",
                status=423,
            )
        if key is None:
            raise DaemonRefusal(
                "not-authorized",
                "This device may not sign for the account.",
                "Do this on the device that manages it.",
                status=403,
            )
        return key

    def agent(self, name: str) -> AgentRef:
        """One of the owner's agents."""
        return AgentRef(self.own, name)

    async def save_keys(self, ring: KeyRing) -> None:
        """Keep the keys durably. Raises what the vault raises."""
        await self.vault.save(ring)
        note_lasting()

    async def own_log(self) -> AccountLog:
        """The owner's own log. Raises DaemonRefusal(not-set-up)."""
        log = await self.logs.get(self.own)
        if log is None:
            raise self.not_set_up()
        return log

    async def name_is_free(self, log: AccountLog, name: str = "") -> bool:
        """Whether a log's owner name, or `name`, is this account's here, or nobody's: the first one stays."""
        name = name or log.state.name
        named = (await self.store.accounts_named((name,))).get(name)
        return named is None or named.record.account == log.account

    async def commit(
        self, changes: Sequence[DaemonChange], logs: Sequence[AccountLog] = ()
    ) -> tuple[DaemonResult, ...]:
        """Commit, then let the caches and the waiting know; nothing cancels it in between."""
        with trio.CancelScope(shield=True):
            began = trio.current_time()
            results = await self.store.commit(changes)
            note_lasting()
            self.commits.add(trio.current_time() - began)
        names = {change.account: change.name for change in changes if isinstance(change, AppendStatements)}
        names |= {change.account: change.shown_as for change in changes if isinstance(change, ReleaseName)}
        for log in logs:
            self.logs.put(log, names.get(log.account))
        self.shown.ring()
        if self.watcher is not None:
            self.watcher(changes)
        for change in changes:
            if type(change) in _OWING:
                self.owes_receipts = True
            if type(change) in _UNHEARD:
                continue
            self.pairs.took(change)
            if isinstance(change, ForgetAccount | ForgetAccused):
                self.logs.drop(change.account)
            if isinstance(change, PutOutbox):
                self.outgoing.ring()
            elif isinstance(change, AppendEvent):
                self.feed.ring()
            elif isinstance(change, PutSetting):
                self.outgoing.ring()
            elif isinstance(change, PutGrant) or (
                isinstance(change, SaveTask) and change.task.deadline is not None
            ):
                self.due.ring()
        return results
