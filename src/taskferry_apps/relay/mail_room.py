"""Mail on its way: whoever asked for it has their answer already, and what the mail server does is not in it.

Letters wait in memory alone, bounded, since an address or a code on the relay's disk would be a thief's
(docs/decisions/0022-mail-waits-in-memory.md). One that is lost with the process is asked for again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final

import attrs
import trio

from taskferry_protocol.audit import RelayAuditKind
from taskferry_stores.port import StoreFull

from ..logs import get_logger
from .audit import RelayAudit
from .limits import USUAL
from .mail import Mailer, MailFailed, MailFault

__all__ = ["Letter", "MailRoom", "NoMailNow"]

LETTERS: Final = USUAL.letters
#: Before each try. What a mail's link is good for is an hour; who waits longer than this has asked again.
PAUSES_S: Final = (0.0, 30.0, 120.0, 480.0)
#: For how long a mail server that could not be used counts as down, unless another try says otherwise.
DOWN_S: Final = 60.0
#: What an orderly stop gives to letters that had no try yet, or are under way.
STOP_S: Final = 5.0

_LOG = get_logger()


class NoMailNow(Exception):
    """No letter is taken: the mail server is down, or too many wait. It holds for all addresses alike."""


@attrs.frozen
class Letter:
    """To whom, and how it is written once its turn comes: whatever depends on who that is, happens then."""

    to: str = attrs.field(repr=False)
    write: Callable[[], Awaitable[tuple[str, str] | None]] = attrs.field(repr=False)
    """Subject and text; None: nothing is to be sent."""
    unsent: Callable[[], Awaitable[None]] = attrs.field(repr=False)
    """It came to nothing for certain: where a server may have taken it, this is not called."""


class MailRoom:
    """Sends letters, each by a few tries. `run` carries it; `finish` is for an orderly stop."""

    def __init__(self, mailer: Mailer, audit: RelayAudit) -> None:
        self._mailer = mailer
        self._audit = audit
        self._nursery: trio.Nursery | None = None
        self._held = 0
        self._down_until = 0.0
        self._stopping = trio.Event()
        self._empty = trio.Event()

    @contextmanager
    def place(self) -> Iterator[Callable[[Letter], None]]:
        """Room for one letter, to be handed in before the block ends, or not at all. Raises NoMailNow."""
        nursery = self._nursery
        if nursery is None or self._stopping.is_set() or self._held >= LETTERS:
            raise NoMailNow
        if trio.current_time() < self._down_until:
            raise NoMailNow
        self._held += 1
        handed_in = False

        def hand_in(letter: Letter) -> None:
            nonlocal handed_in
            handed_in = True
            nursery.start_soon(self._carry, letter)

        try:
            yield hand_in
        finally:
            if not handed_in:
                self._release()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Carry letters until cancelled. Raises the store's errors, but for a full disk."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            try:
                await trio.sleep_forever()
            finally:
                self._nursery = None

    async def finish(self) -> None:
        """Take no more letters; give those that are here a last, short chance."""
        self._stopping.set()
        with trio.move_on_after(STOP_S):
            while self._held:
                self._empty = trio.Event()
                await self._empty.wait()
        if self._held:
            _LOG.warning("mails were lost", count=self._held, reason="the relay stops")
            self._audit.note(RelayAuditKind.MAIL_FAILED, "mail", reason="the relay stopped", lost=self._held)

    async def _carry(self, letter: Letter) -> None:
        try:
            mail = await letter.write()
            if mail is None:
                await self._probe()
            elif not await self._may_be_sent(letter.to, *mail):
                await letter.unsent()
        except StoreFull:
            _LOG.warning("a mail came to nothing", reason="the disk is full")
        finally:
            self._release()

    async def _probe(self) -> None:
        """Where mail was down and nobody knows how it is, find out, as a letter would that is sent.

        Otherwise the desk's being open or closed would tell whether there was one to send.
        """
        if self._down_until:
            try:
                await self._mailer.probe()
            except MailFailed as failed:
                self._note(failed, "nothing was to be sent")
            else:
                self._works()

    async def _may_be_sent(self, to: str, subject: str, text: str) -> bool:
        """Try a few times. False: no server has taken it."""
        for number, pause in enumerate(PAUSES_S, 1):
            with trio.move_on_after(pause):
                await self._stopping.wait()
            if number > 1 and self._stopping.is_set():
                return False
            try:
                await self._mailer.send(to, subject, text)
            except MailFailed as failed:
                last = number == len(PAUSES_S) or not failed.fault.is_worth_another_try
                self._note(failed, "given up" if last else "to be tried again")
                if last:
                    return failed.fault is MailFault.UNKNOWN
            else:
                self._works()
                return True
        return False

    def _note(self, failed: MailFailed, then: str) -> None:
        if failed.fault is MailFault.SERVER:
            self._down_until = trio.current_time() + DOWN_S
        _LOG.warning("a mail was not sent", reason=failed.reason, state=then)
        self._audit.count(RelayAuditKind.MAIL_FAILED, "mail", reason=failed.reason, then=then)

    def _works(self) -> None:
        if self._down_until:
            _LOG.info("mail works again")
        self._down_until = 0.0

    def _release(self) -> None:
        self._held -= 1
        if not self._held:
            self._empty.set()
