"""One writer that commits whatever is waiting as one group, and some readers beside it.

There is no background task. Of the callers that wait to commit, one leads: it takes everything that waits,
has it written in a thread, hands out the results, and appoints the first of those that came meanwhile.
So a group is as large as the disk is slow, and one synchronisation serves all of its callers.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Generic, Protocol, TypeVar, TypeVarTuple, Unpack

import trio

from ..errors import StoreClosed, StoreConflict, StoreError, StoreFailed
from .faults import is_fault_of_storage, no_thread, translate
from .files import OpenFile, begin_log_anew
from .log_length import LogLength

C = TypeVar("C")
R = TypeVar("R")
C_contra = TypeVar("C_contra", contravariant=True)
R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")
Ts = TypeVarTuple("Ts")

LINGER_SECONDS = 0.002
LINGER_ABOVE_CALLERS = 6
"""Measured: when many callers commit at once, waiting 2 ms for more of them pays; for few it only delays."""
GROUP_CHANGES = 4_096
"""A group ends here, so that nobody waits long for the neighbours' changes."""
LONGEST_LOG_FRAMES = 65_536
"""Pages in the log, 256 MiB, beyond which the readers have to let it begin anew."""


class Session(Protocol[C_contra, R_co]):
    """Writes changes inside a transaction; may hold back rows until `flush`."""

    def apply_all(self, changes: Sequence[C_contra]) -> tuple[R_co, ...]:
        """Make changes in their order, or raise `StoreConflict`."""

    def flush(self) -> None:
        """Write what was held back."""


class Writer(Protocol[C_contra, R_co]):
    """Knows how a store's changes become SQL."""

    def may_conflict(self, change: C_contra) -> bool:
        """Whether the change can raise `StoreConflict`, so that its commit needs a savepoint."""

    def weight(self, change: C_contra) -> int:
        """The bytes that the change carries."""

    def session(self, connection: sqlite3.Connection, changes: Iterable[C_contra]) -> Session[C_contra, R_co]:
        """Begin to write these changes; they are named so that what they need is read in one go."""

    def forget(self) -> None:
        """What was written since the last commit is taken back."""


class _Request(Generic[C, R]):
    """A commit that waits, is under way or has its outcome."""

    def __init__(self, changes: Sequence[C]) -> None:
        self.changes = changes
        self.outcome: tuple[R, ...] | Exception | None = None
        self.leads = False
        self.woken = trio.Event()


class Engine(Generic[C, R]):
    """Commits and reads on an open file."""

    def __init__(self, file: OpenFile, writer: Writer[C, R]) -> None:
        self._file = file
        self._writer = writer
        self._queue: deque[_Request[C, R]] = deque()
        self._leading = False
        self._idle = trio.Event()
        self._idle.set()
        self._last_callers = 0
        self._log = LogLength()
        self._closed = False
        self._released = trio.Event()
        self._failure: StoreFailed | None = None
        self._broken = trio.Event()
        self._write_limit = trio.CapacityLimiter(1)
        self._read_limit = trio.CapacityLimiter(len(file.readers))
        self._readers = deque(file.readers)

    def check_open(self) -> None:
        """Nothing while commits and reads are taken. Raises StoreClosed, StoreFailed."""
        if self._closed:
            raise StoreClosed("the store is closed")
        self._check_sound()

    def _check_sound(self) -> None:
        if self._failure is not None:
            raise type(self._failure)(*self._failure.args)

    async def failed(self) -> StoreFailed:
        """Wait until nothing more can be done here; why."""
        await self._broken.wait()
        assert self._failure is not None  # noqa: S101 - it is set before the event
        return self._failure

    async def _in_thread(
        self, call: Callable[[Unpack[Ts]], T], *arguments: *Ts, limiter: trio.CapacityLimiter
    ) -> T:
        try:
            return await trio.to_thread.run_sync(call, *arguments, limiter=limiter)
        finally:
            if self._failure is not None:
                self._broken.set()

    # --- commits -----------------------------------------------------------------------------------------

    async def commit(self, changes: Sequence[C]) -> tuple[R, ...]:
        """Make the changes durable, all or none."""
        await trio.lowlevel.checkpoint()
        self.check_open()
        request: _Request[C, R] = _Request(changes)
        self._queue.append(request)
        if self._leading:
            await self._follow(request)
        else:
            self._leading = True
            self._idle = trio.Event()
        if request.outcome is None:
            await self._lead(request)
        if isinstance(request.outcome, Exception):
            raise request.outcome
        assert request.outcome is not None  # noqa: S101 - a leader's own request is in its group
        return request.outcome

    async def _follow(self, request: _Request[C, R]) -> None:
        """Wait until the commit has its outcome or is to lead. Raises Cancelled if it was not begun."""
        try:
            await request.woken.wait()
        except BaseException as error:
            if request in self._queue:
                self._queue.remove(request)
            elif not request.woken.is_set():
                # It is being written, and whoever drops what it knew before must not do so too early.
                with trio.CancelScope(shield=True):
                    await request.woken.wait()
            if request.leads:
                self._appoint()
            if request.outcome is None or not isinstance(error, trio.Cancelled):
                raise
            # It is written, and its caller has to do what follows from that, as one who led it does.

    async def _lead(self, request: _Request[C, R]) -> None:
        try:
            if self._last_callers > LINGER_ABOVE_CALLERS:
                await trio.sleep(LINGER_SECONDS)
        except BaseException:
            if request in self._queue:
                self._queue.remove(request)
            self._appoint()
            raise
        group = self._take_group()
        # From here on the commit is under way, and whoever gives up leaves it to finish.
        with trio.CancelScope(shield=True):
            if group:
                try:
                    await self._in_thread(self._write, group, limiter=self._write_limit)
                except RuntimeError as error:
                    # Raised, it would leave without an answer whoever shares the group or comes after it.
                    for member in group:
                        member.outcome = no_thread(self._file.path, error)
            for member in group:
                member.woken.set()
            if self._log.is_long and self._failure is None:
                # Left to the next time where there is no thread.
                with suppress(RuntimeError):
                    await self._in_thread(self._checkpoint, limiter=self._write_limit)
        self._appoint()

    def _take_group(self) -> list[_Request[C, R]]:
        """The requests that wait, the leader's first, as many as one group holds."""
        group: list[_Request[C, R]] = []
        size = 0
        while self._queue and (not group or size + len(self._queue[0].changes) <= GROUP_CHANGES):
            group.append(self._queue.popleft())
            size += len(group[-1].changes)
        self._last_callers = len(group)
        return group

    def _appoint(self) -> None:
        """Let the first of those that wait lead, or rest. Once closed or failed, all are told so."""
        if self._closed or self._failure is not None:
            while self._queue:
                request = self._queue.popleft()
                try:
                    self.check_open()
                except StoreError as error:
                    request.outcome = error
                request.woken.set()
        if self._queue:
            self._queue[0].leads = True
            self._queue[0].woken.set()
        else:
            self._leading = False
            self._idle.set()

    # --- in the writer's thread --------------------------------------------------------------------------

    def _write(self, group: list[_Request[C, R]]) -> None:
        """Commit a group. Every request of it has an outcome afterwards."""
        if len(group) == 1:
            # A conflict of one without neighbours takes all back. In a savepoint, every statement copies the
            # pages that it changes, which for many changes takes longer than all else.
            group[0].outcome = self._write_alone(group[0].changes)
            return
        try:
            outcomes = self._write_guarding_where_needed(group)
        except sqlite3.Error as error:
            failure = self._failed(error)
            outcomes = [type(failure)(*failure.args) for _ in group]
        if outcomes is None:
            outcomes = [self._write_alone(request.changes) for request in group]
        for request, outcome in zip(group, outcomes, strict=True):
            request.outcome = outcome

    def _write_guarding_where_needed(
        self, group: list[_Request[C, R]]
    ) -> list[tuple[R, ...] | Exception] | None:
        """Commit a group in one transaction; None, with nothing written, if a change is itself at fault."""
        connection = self._file.writer
        outcomes: list[tuple[R, ...] | Exception] = []
        plain: list[Sequence[C]] = []
        connection.execute("BEGIN IMMEDIATE")
        try:
            for request in group:
                if any(self._writer.may_conflict(change) for change in request.changes):
                    outcomes += self._apply_plain(plain)
                    plain = []
                    outcomes.append(self._apply_guarded(request.changes))
                else:
                    plain.append(request.changes)
            outcomes += self._apply_plain(plain)
            connection.execute("COMMIT")
        except Exception as error:
            # The committer's one boundary: a change that is itself at fault is its caller's alone.
            self._roll_back()
            if is_fault_of_storage(error):
                raise
            return None
        self._weigh([change for request in group for change in request.changes])
        return outcomes

    def _write_alone(self, changes: Sequence[C]) -> tuple[R, ...] | Exception:
        """Commit one caller's changes by themselves; the outcome of a bad change is its error."""
        try:
            # What has begun is finished, also where the store is being closed.
            self._check_sound()
            self._file.writer.execute("BEGIN IMMEDIATE")
            session = self._writer.session(self._file.writer, changes)
            results = session.apply_all(changes)
            session.flush()
            self._file.writer.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - the same boundary, for one caller
            self._roll_back()
            if isinstance(error, sqlite3.Error) and is_fault_of_storage(error):
                return self._failed(error)
            return error
        self._weigh(changes)
        return results

    def _weigh(self, changes: Sequence[C]) -> None:
        """Reckon what the log has grown by."""
        self._log.add(len(changes), sum(map(self._writer.weight, changes)))

    def _apply_plain(self, lists: list[Sequence[C]]) -> list[tuple[R, ...] | Exception]:
        """Write what cannot conflict, all of it in one session."""
        session = self._writer.session(self._file.writer, [c for changes in lists for c in changes])
        outcomes: list[tuple[R, ...] | Exception] = [session.apply_all(changes) for changes in lists]
        session.flush()
        return outcomes

    def _apply_guarded(self, changes: Sequence[C]) -> tuple[R, ...] | StoreConflict:
        """Write one caller's changes so that a conflict takes back only them."""
        connection = self._file.writer
        connection.execute("SAVEPOINT caller")
        try:
            session = self._writer.session(connection, changes)
            results = session.apply_all(changes)
            session.flush()
        except StoreConflict as conflict:
            self._writer.forget()
            connection.execute("ROLLBACK TO caller")
            connection.execute("RELEASE caller")
            return conflict
        connection.execute("RELEASE caller")
        return results

    def _roll_back(self) -> None:
        self._writer.forget()
        # SQLite has rolled back by itself after some errors.
        if not self._file.writer.in_transaction:
            return
        try:
            self._file.writer.execute("ROLLBACK")
        except sqlite3.Error as error:
            # Raised, it would leave without an answer whoever waits.
            self._failure = StoreFailed(
                f"Reading or writing {self._file.path} failed ({error}); check the disk and start again."
            )

    def _checkpoint(self) -> None:
        """Copy the log into the database. What stands in the way of it for now is left to the next time."""
        reckoned = self._log.begin_copy()
        try:
            _, frames, _ = self._file.writer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            # How long the log had really become tells how soon to come again.
            self._log.copied(reckoned, frames)
            if frames > LONGEST_LOG_FRAMES:
                # Readers followed one another so closely that the log never began anew: hold them off once.
                begin_log_anew(self._file.writer)
        except sqlite3.Error as error:
            self._failed(error)

    def _failed(self, error: sqlite3.Error) -> StoreError:
        """The port's error for SQLite's; after one that leaves the disk unknown nothing more is done."""
        failure = translate(error, self._file.path)
        if isinstance(failure, StoreFailed):
            self._failure = failure
        return failure

    async def alone(self, write: Callable[[sqlite3.Connection], None], changes: int = 1) -> None:
        """Run `write`, which weighs as much as so many changes, in a transaction of its own."""
        await trio.lowlevel.checkpoint()
        self.check_open()
        with trio.CancelScope(shield=True):
            await self._in_thread(self._write_one, write, limiter=self._write_limit)
            self._log.add(changes)
            if self._log.is_long and self._failure is None:
                await self._in_thread(self._checkpoint, limiter=self._write_limit)

    def _write_one(self, write: Callable[[sqlite3.Connection], None]) -> None:
        self.check_open()
        try:
            self._file.writer.execute("BEGIN IMMEDIATE")
            write(self._file.writer)
            self._file.writer.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            raise self._failed(error) from error

    # --- reads -------------------------------------------------------------------------------------------

    async def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Run `query` on a snapshot, in a thread."""
        await trio.lowlevel.checkpoint()
        self.check_open()
        return await self._in_thread(self._read, query, limiter=self._read_limit)

    def _read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        if self._closed:
            raise StoreClosed("the store is closed")
        connection = self._readers.pop()
        try:
            connection.execute("BEGIN")
            try:
                return query(connection)
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            if not is_fault_of_storage(error):
                raise
            raise self._failed(error) from error
        finally:
            self._readers.append(connection)

    # --- the end -----------------------------------------------------------------------------------------

    async def aclose(self) -> None:
        """Wait for the commit and the reads under way, then close the file."""
        with trio.CancelScope(shield=True):
            if self._closed:
                await self._released.wait()
                return
            self._closed = True
            while self._leading:
                await self._idle.wait()
            for reader in self._file.readers:
                await self._read_limit.acquire_on_behalf_of(reader)
            await trio.to_thread.run_sync(self._release)
            self._released.set()

    def _release(self) -> None:
        if self._failure is None:
            self._checkpoint()
        self._file.close()
