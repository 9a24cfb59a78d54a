"""What a daemon's store answers from memory: who is who, who may what, how far numbers and rates are.

A daemon asks these before each message, and they change seldom. Whatever a commit touches is dropped when it
begins and when it ends, so that whoever asks after a commit is told what it made; and an answer that was read
while one was under way is not kept. Each kind is bounded in number and in bytes.
"""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import Enum
from typing import Final, Generic, Protocol, TypeVar

from taskferry_protocol.ids import AccountId, AgentRef, Hash, Instant
from taskferry_protocol.records import (
    AppendEvent,
    AppendStatements,
    CountExchange,
    DaemonChange,
    DaemonResult,
    DropAgent,
    DropOutbox,
    DropQuarantine,
    DropSetting,
    Flow,
    HoldAccount,
    LocalAgent,
    NoteSeen,
    OweReceipt,
    PeerConnection,
    PeerWord,
    PinnedAccount,
    PutAgent,
    PutGrant,
    PutOutbox,
    PutPeerWord,
    PutSetting,
    PutToken,
    RateRecord,
    RecordRate,
    RecordReceipt,
    RecordSeen,
    RelayedOutbox,
    ReleaseName,
    RevokeToken,
    SaveConnection,
    SetRung,
    SetTrust,
    StoreMessage,
    TokenRecord,
    UseSequence,
)
from taskferry_protocol.records.forgetting import ForgetAccount, ForgetAccused, ForgetRequest, SetApart

from .engine import Engine

__all__ = ["Facts", "Kept", "KnownReads"]

K = TypeVar("K")
V = TypeVar("V")

MOST: Final = 4_096
"""Answers of one kind."""
MOST_BYTES: Final = 8 * 1024 * 1024
"""The same in bytes: a log of the largest statements has 32 MiB, and is then read each time."""
#: What there is of for each message: most of what is committed.
_TOUCHING_NONE: Final[frozenset[type[DaemonChange]]] = frozenset(
    {
        AppendEvent,
        CountExchange,
        DropOutbox,
        DropQuarantine,
        OweReceipt,
        PutOutbox,
        RecordReceipt,
        RecordSeen,
        RelayedOutbox,
        SetRung,
        StoreMessage,
    }
)


class _Absent(Enum):
    ABSENT = 0


_ABSENT: Final = _Absent.ABSENT


def _few_bytes(_: object) -> int:
    return 128


class Kept(Generic[K, V]):
    """The answers of one kind, the ones asked for last."""

    def __init__(self, weigh: Callable[[V], int] = _few_bytes) -> None:
        self._weigh = weigh
        self._held: OrderedDict[K, V | _Absent] = OrderedDict()
        self._bytes = 0
        self._turn = 0
        self._commits = 0

    async def of(
        self, keys: Collection[K], read: Callable[[Collection[K]], Awaitable[Mapping[K, V]]]
    ) -> dict[K, V]:
        """The answers under `keys`, those that are there; what is not held is read, all at once."""
        held, found, missing = self._held, dict[K, V](), list[K]()
        for key in keys:
            value = held.get(key)
            if value is None:
                missing.append(key)
                continue
            held.move_to_end(key)
            if value is not _ABSENT:
                found[key] = value
        if not missing:
            return found
        turn, busy = self._turn, self._commits > 0
        fresh = await read(missing)
        if not busy and turn == self._turn:
            for key in missing:
                self._put(key, fresh.get(key, _ABSENT))
        return {**found, **fresh}

    def held(self, key: K) -> V | None:
        """The answer that is kept under a key, if there is one."""
        value = self._held.get(key)
        return None if isinstance(value, _Absent) else value

    def begin(self) -> int:
        """A commit begins that touches this kind; its turn."""
        self._commits += 1
        self._turn += 1
        return self._turn

    def end_all(self) -> None:
        """It is over, and nothing that stood here is an answer."""
        self._commits -= 1
        self._turn += 1
        self._held.clear()
        self._bytes = 0

    def end(self, began: int, gone: Iterable[K], made: Mapping[K, V]) -> None:
        """It is over: what stood under the keys `gone` is no answer; what stands there now is `made`.

        Where others were under way beside it nobody knows which was the last: then nothing is kept of it.
        """
        self._commits -= 1
        self._turn += 1
        for key in gone:
            self._drop(key)
        # The last turn but one was this commit's beginning, if no other began or ended meanwhile.
        if self._commits == 0 and self._turn == began + 1:
            for key, value in made.items():
                self._put(key, value)

    def _put(self, key: K, value: V | _Absent) -> None:
        self._drop(key)
        self._held[key] = value
        self._bytes += self._cost(value)
        while len(self._held) > MOST or self._bytes > MOST_BYTES:
            _, last = self._held.popitem(last=False)
            self._bytes -= self._cost(last)

    def _drop(self, key: K) -> None:
        if key in self._held:
            self._bytes -= self._cost(self._held.pop(key))

    def _cost(self, value: V | _Absent) -> int:
        return _few_bytes(value) if isinstance(value, _Absent) else self._weigh(value)


def _account_bytes(pinned: PinnedAccount) -> int:
    return 512 + sum(map(len, pinned.record.statements))


def _connection_bytes(record: PeerConnection) -> int:
    grants = sum(len(grant.raw) + len(grant.terms) for grant in record.grants)
    return 1_024 + len(record.request_raw) + len(record.accept_raw) + len(record.end_raw) + grants


def _bond_bytes(records: tuple[PeerConnection, ...]) -> int:
    return 128 + sum(map(_connection_bytes, records))


def _setting_bytes(value: bytes) -> int:
    return 256 + len(value)


def _agents_bytes(agents: tuple[LocalAgent, ...]) -> int:
    return sum(256 + len(agent.settings) for agent in agents)


def _seen_bytes(seen: Mapping[str, Instant]) -> int:
    return 128 * (1 + len(seen))


class _Kind(Protocol):
    """A kind of which nothing is kept once a commit has touched it."""

    def begin(self) -> int:
        """A commit begins."""

    def end_all(self) -> None:
        """It is over."""


class Facts:
    """Every kind that is kept. What is asked of all together stands under None."""

    def __init__(self) -> None:
        self.accounts: Kept[AccountId, PinnedAccount] = Kept(_account_bytes)
        self.named: Kept[str, PinnedAccount] = Kept(_account_bytes)
        self.agents: Kept[None, tuple[LocalAgent, ...]] = Kept(_agents_bytes)
        self.connections: Kept[Hash, PeerConnection] = Kept(_connection_bytes)
        self.bonds: Kept[Flow, tuple[PeerConnection, ...]] = Kept(_bond_bytes)
        self.rates: Kept[Flow, RateRecord] = Kept()
        self.settings: Kept[str, bytes] = Kept(_setting_bytes)
        self.sequences: Kept[AgentRef, int] = Kept()
        self.tokens: Kept[bytes, TokenRecord] = Kept()
        self.agents_seen: Kept[None, Mapping[str, Instant]] = Kept(_seen_bytes)
        self.words: Kept[Flow, PeerWord] = Kept()

    @contextmanager
    def touched_by(self, changes: Sequence[DaemonChange]) -> Iterator[None]:
        """While these are committed. Left without an exception, they are made."""
        whole, settings, words = set[_Kind](), set[str](), list[PeerWord]()
        rates, sequences = dict[Flow, RateRecord](), dict[AgentRef, int]()
        for change in changes:
            if type(change) in _TOUCHING_NONE:
                continue
            match change:
                case UseSequence():
                    sequences[change.to] = change.seq
                case RecordRate():
                    rates[change.flow] = change.rate
                case PutSetting() | DropSetting():
                    settings.add(change.key)
                case PutPeerWord():
                    words.append(change.word)
                case AppendStatements() | HoldAccount() | SetTrust() | ReleaseName():
                    whole |= {self.accounts, self.named}
                case ForgetAccount() | ForgetAccused():
                    whole |= {self.accounts, self.named, self.rates}
                case SaveConnection() | PutGrant() | ForgetRequest():
                    whole |= {self.connections, self.bonds}
                case PutAgent() | DropAgent():
                    whole.add(self.agents)
                case PutToken() | RevokeToken():
                    whole.add(self.tokens)
                case NoteSeen() | SetApart():
                    whole.add(self.agents_seen)
                case _:
                    pass
        ends = [_begin(kind) for kind in whole]
        if settings:
            ends.append(_begin_some(self.settings, settings, {}))
        if words:
            said = {Flow(word.mine, word.peer) for word in words}
            ends.append(_begin_some(self.words, said, self._last_words(words)))
        if rates:
            ends.append(_begin_some(self.rates, rates, rates))
        if sequences:
            ends.append(_begin_some(self.sequences, sequences, sequences))
        made = False
        try:
            yield
            made = True
        finally:
            for end in ends:
                end(made)

    def _last_words(self, words: Iterable[PeerWord]) -> dict[Flow, PeerWord]:
        """What will stand where what stands is held: what was said last, in whatever order it comes."""
        last: dict[Flow, PeerWord] = {}
        for word in words:
            flow = Flow(word.mine, word.peer)
            before = last.get(flow) or self.words.held(flow)
            if before is not None:
                last[flow] = word if before.said_at <= word.said_at else before
        return last


def _begin(kind: _Kind) -> Callable[[bool], None]:
    kind.begin()
    return lambda _: kind.end_all()


def _begin_some(kept: Kept[K, V], keys: Collection[K], made: Mapping[K, V]) -> Callable[[bool], None]:
    began = kept.begin()
    return lambda is_made: kept.end(began, keys, made if is_made else {})


class KnownReads:
    """A part of the daemon's store, which owns the engine and the facts."""

    _engine: Engine[DaemonChange, DaemonResult]
    _facts: Facts

    async def _known(
        self,
        kept: Kept[K, V],
        keys: Collection[K],
        read: Callable[[sqlite3.Connection, Collection[K]], Mapping[K, V]],
    ) -> dict[K, V]:
        """Answers by key, read where they are not held."""
        self._engine.check_open()

        async def fresh(missing: Collection[K]) -> Mapping[K, V]:
            return await self._engine.read(lambda connection: read(connection, missing))

        return await kept.of(keys, fresh)

    async def _whole(self, kept: Kept[None, V], read: Callable[[sqlite3.Connection], V]) -> V:
        """The one answer of its kind."""

        def only(connection: sqlite3.Connection, _: Collection[None]) -> dict[None, V]:
            return {None: read(connection)}

        return (await self._known(kept, (None,), only))[None]
