"""Linking this machine to an account, or another machine to this one's: the two conversations at a meeting.

`taskferry_protocol.linking` decides; here its letters are carried, what it says is made durable before it is
told, and the new machine finds its way to the account, also after a crash.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import attrs
import trio

from taskferry_protocol import accounts
from taskferry_protocol.crypto import KEY_BYTES
from taskferry_protocol.device_links import DeviceLink
from taskferry_protocol.errors import LocalProtocolError, RejectCode, RemoteProtocolError
from taskferry_protocol.ids import Instant
from taskferry_protocol.limits import LINKING_MS
from taskferry_protocol.linking import (
    Approving,
    Joining,
    LinkingPhase,
    Turn,
    abort_letter,
    read_place,
    show_place,
)

from .bell import Bell
from .core import Core
from .device_views import LinkingView
from .draft import Draft, refusal_of
from .entering import GRACE_MS, Entry, Pending
from .keys import KeyRing, make_keys
from .link import Link, RouteTo
from .linking_said import SAID, nothing, starting
from .meeting_client import Meeting, MeetingFailed, open_meeting
from .names import require_owner
from .owner import Owner
from .port import Caller, DaemonRefusal
from .relay_names import relay_host
from .sharing import History, Job, Sharing

__all__ = ["Linking"]

#: How long the relay may take to make or find the place.
_OPEN_S: Final = 20.0


@attrs.define(eq=False)
class _Attempt:
    """One try, until it is linked or given up."""

    meeting: Meeting | None = None
    joining: Joining | None = None
    approving: Approving | None = None
    ring: KeyRing | None = None
    relay: str = ""
    history: History = History.ALL
    error: str = ""
    code: str = ""
    is_over: bool = False
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    changed: Bell = attrs.field(factory=Bell)
    shown: Bell = attrs.field(factory=Bell)

    @property
    def side(self) -> Joining | Approving | None:
        """The machine that decides."""
        return self.joining or self.approving

    def tell(self) -> None:
        """Say to whoever waits, and to open pages, that it stands otherwise now."""
        self.changed.ring()
        self.shown.ring()

    def fail(self, code: str, text: str) -> None:
        """It is over without success; the first reason stands."""
        if not self.is_over:
            self.code, self.error, self.is_over = code, text, True
        self.tell()


class Linking:
    """At most one try at a time. `run` carries it."""

    def __init__(self, core: Core, link: Link, owner: Owner, sharing: Sharing, route_to: RouteTo) -> None:
        self._core = core
        self._link = link
        self._owner = owner
        self._sharing = sharing
        self._entry = Entry(core, route_to)
        self._attempt: _Attempt | None = None
        self._nursery: trio.Nursery | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Carry tries, and finish one that a crash cut off. Raises the store's errors."""
        async with trio.open_nursery() as self._nursery:
            self._nursery.start_soon(self._entry.resume)
            task_status.started()
            await trio.sleep_forever()

    # --- What the owner asks

    async def begin(self, caller: Caller, relay: str, label: str) -> LinkingView:
        """Offer this machine, which has no account, as a device of one."""
        require_owner(caller)
        core = self._core
        if core.account is not None:
            raise DaemonRefusal(
                "conflict",
                "This machine has an account already.",
                "On a second machine run `taskferry device link`, and here `taskferry device approve`.",
                status=409,
            )
        now = core.now()
        ring = make_keys(label or "another device", core.entropy, now)
        attempt = self._start(_Attempt(relay=relay, ring=ring, shown=core.shown))
        attempt.joining = Joining.begin(ring.device, core.entropy(KEY_BYTES), now)
        await self._go(attempt, "", ())
        return await self.view()

    async def approve(self, caller: Caller, place: str, history: History, *, manage: bool) -> LinkingView:
        """Meet the new machine at a place, as the managing side."""
        require_owner(caller)
        core = self._core
        _ = core.manage  # Refuses where this device may not sign for the account.
        try:
            where = read_place(place)
        except RemoteProtocolError as error:
            raise DaemonRefusal(
                "bad-value",
                f"That cannot be a code: {error.text}.",
                "Copy it again.",
                detail={"field": "code"},
            ) from error
        relay = await self._link.url()
        log = await core.own_log()
        side, turn = Approving.begin(log, core.device, core.entropy(KEY_BYTES), core.now(), manage=manage)
        attempt = self._start(_Attempt(relay=relay, history=history, approving=side, shown=core.shown))
        await self._go(attempt, where, turn.letters)
        return await self.view()

    async def confirm(self, caller: Caller, words: str) -> LinkingView:
        """The owner typed in the other machine's words. One try. DaemonRefusal: words-differ, expired."""
        require_owner(caller)
        attempt = self._attempt
        side = attempt.side if attempt is not None else None
        if attempt is None or side is None or attempt.is_over:
            raise nothing()
        try:
            turn = side.confirm(words, now=self._core.now())
        except RemoteProtocolError as error:
            if error.code is RejectCode.UNEXPECTED_FRAME:
                raise nothing() from error
            await self._give_up(attempt, error.code, SAID.get(error.code, error.text))
            raise DaemonRefusal(
                error.code.value,
                attempt.error,
                "Begin anew on both machines. If the words you read did differ, somebody stood in between.",
                status=409,
            ) from error
        await self._to_its_end(partial(self._agree, attempt, turn))
        return await self.view()

    async def _agree(self, attempt: _Attempt, turn: Turn) -> None:
        if attempt.joining is not None:
            await self._promise(attempt)
        await self._send(attempt, turn)
        await self._admit(attempt)
        attempt.tell()

    async def _to_its_end(self, work: Callable[[], Awaitable[None]]) -> None:
        """Have this done, also where whoever asked hangs up: there is one try. Raises what `work` raises."""
        if self._nursery is None:
            raise starting()
        done, failures = trio.Event(), list[Exception]()

        async def carry() -> None:
            try:
                await work()
            except Exception as error:  # noqa: BLE001 - it is the caller's, whose task has it raised
                failures.append(error)
            finally:
                done.set()

        self._nursery.start_soon(carry)
        await done.wait()
        for error in failures:
            raise error

    async def cancel(self, caller: Caller) -> LinkingView:
        """Give the try up."""
        require_owner(caller)
        if self._attempt is not None and not self._attempt.is_over:
            await self._give_up(self._attempt, RejectCode.EXPIRED, "It was given up.")
        return await self.view()

    async def view(self) -> LinkingView:
        """How the try stands."""
        attempt = self._attempt
        if attempt is None or attempt.side is None:
            return LinkingView()
        side = attempt.side
        reveal = side.reveal
        record = attempt.approving.record if attempt.approving is not None else None
        place = attempt.meeting.place if attempt.meeting is not None else ""
        is_new = attempt.joining is not None
        return LinkingView(
            side="new" if is_new else "managing",
            phase=self._phase(attempt, side.phase),
            place=show_place(place),
            link=DeviceLink(relay_host(attempt.relay), place).format() if place and is_new else "",
            words=" ".join(side.words),
            expires_at=side.until,
            owner=reveal.name if reveal is not None else "",
            label=record.label if record is not None else "",
            manage=reveal.manage if reveal is not None else False,
            code=attempt.code,
            error=attempt.error,
        )

    def _phase(self, attempt: _Attempt, phase: LinkingPhase) -> str:
        """What is shown: a new machine is linked once it has found the account."""
        if attempt.joining is not None and self._core.account is not None:
            return LinkingPhase.LINKED.value
        if attempt.error:
            return "failed"
        if attempt.joining is not None and phase is LinkingPhase.LINKED:
            return LinkingPhase.CONFIRMED.value
        return phase.value

    async def wait(self, caller: Caller, phase: str, wait_s: float) -> LinkingView:
        """The same, once it is no longer in that phase or the time is over."""
        require_owner(caller)
        with trio.move_on_after(wait_s):
            while self._attempt is not None:
                heard = self._attempt.changed.next
                if (await self.view()).phase != phase:
                    break
                await heard.wait()
        return await self.view()

    def _start(self, attempt: _Attempt) -> _Attempt:
        before = self._attempt
        if before is not None and not before.is_over:
            raise DaemonRefusal(
                "conflict",
                "Another try is under way here.",
                "Finish it, or give it up with: taskferry device link --cancel",
                status=409,
            )
        self._attempt = attempt
        return attempt

    async def _go(self, attempt: _Attempt, place: str, letters: tuple[bytes, ...]) -> None:
        """Start the conversation, and wait until there is a place."""
        if self._nursery is None:
            raise starting()
        self._nursery.start_soon(self._converse, attempt, place, letters)
        with trio.move_on_after(_OPEN_S):
            while attempt.meeting is None and not attempt.is_over:
                await attempt.changed.next.wait()
        if attempt.meeting is None:
            attempt.fail("relay-unreachable", "The relay did not answer.")
            attempt.scope.cancel()
            raise DaemonRefusal(
                attempt.code,
                attempt.error,
                "Check the code and the relay's address.",
                status=400 if attempt.code == "bad-value" else 409,
            )

    # --- The conversation

    async def _converse(self, attempt: _Attempt, place: str, letters: tuple[bytes, ...]) -> None:
        try:
            with attempt.scope:
                async with open_meeting(attempt.relay, place, self._entry.tls_of(attempt.relay)) as meeting:
                    await (meeting.join() if place else meeting.open())
                    for letter in letters:
                        await meeting.send(letter)
                    attempt.meeting = meeting
                    attempt.tell()
                    with trio.move_on_after(LINKING_MS / 1000):
                        await self._listen(attempt, meeting)
                    if not attempt.is_over:
                        attempt.fail(RejectCode.EXPIRED.value, _over(attempt))
        except MeetingFailed as failed:
            attempt.fail("relay-unreachable", f"The machines could not meet: {failed}.")
        except DaemonRefusal as refused:
            attempt.fail(refused.code, refused.message)
        except RemoteProtocolError as error:
            attempt.fail(error.code.value, SAID.get(error.code, error.text))
        if attempt.joining is not None and attempt.joining.phase is LinkingPhase.CONFIRMED:
            await self._enter(attempt)  # the last letter may be lost; the log tells

    async def _enter(self, attempt: _Attempt) -> None:
        await self._entry.resume()
        if self._core.account is None:
            attempt.fail(RejectCode.UNKNOWN_DEVICE.value, "The account does not name this machine.")
        attempt.is_over = True
        attempt.tell()

    async def _listen(self, attempt: _Attempt, meeting: Meeting) -> None:
        while not attempt.is_over:
            letter = await meeting.receive()
            side = attempt.side
            if side is None:
                return
            try:
                turn = side.receive(letter, now=self._core.now())
            except RemoteProtocolError as error:
                await self._give_up(attempt, error.code, SAID.get(error.code, error.text))
                return
            await self._send(attempt, turn)
            await self._admit(attempt)
            attempt.tell()
            if side.phase is LinkingPhase.LINKED and attempt.joining is not None:
                await self._enter(attempt)
                await meeting.end()

    async def _send(self, attempt: _Attempt, turn: Turn) -> None:
        for letter in turn.letters:
            if attempt.meeting is None:
                return
            try:
                await attempt.meeting.send(letter)
            except MeetingFailed as failed:
                attempt.fail("relay-unreachable", f"The machines could not meet: {failed}.")

    async def _give_up(self, attempt: _Attempt, code: RejectCode, text: str) -> None:
        attempt.fail(code.value, text)
        await self._send(attempt, Turn((abort_letter(code),)))
        attempt.scope.cancel()

    async def _promise(self, attempt: _Attempt) -> None:
        """Make durable what the consent that follows binds us to."""
        joining, ring = attempt.joining, attempt.ring
        if joining is None or ring is None or joining.reveal is None:
            return
        reveal, until = joining.reveal, Instant(joining.until + GRACE_MS)
        kept = attrs.evolve(ring, device=joining.keys)
        await self._entry.promise(kept, Pending(reveal.account, reveal.log, attempt.relay, until))

    # --- The managing side's deed

    async def _admit(self, attempt: _Attempt) -> None:
        """Sign the statement, once both owners' hands have spoken; then say so."""
        side = attempt.approving
        if side is None or not side.is_agreed or attempt.is_over:
            return
        record, consent = side.record, side.consent
        if record is None or consent is None:
            return
        attempt.is_over = True
        core = self._core
        try:
            async with core.undivided():
                draft = Draft(core)
                log = await draft.own_log()
                if log.position != side.reveal.log:
                    raise RemoteProtocolError(
                        RejectCode.NOT_AN_EXTENSION, "the account has changed meanwhile"
                    )
                statement = accounts.add_device(log.state, record, consent, at=draft.now, by=core.manage)
                await self._sharing.begin(draft, Job.begin(record.id, attempt.history, draft.now))
                await draft.commit()
                draft = Draft(core)
                log = await self._owner.extend(draft, statement)
                draft.tell("device", "", state="added", id=record.id.hex(), label=record.label)
                await draft.commit()
        except (RemoteProtocolError, LocalProtocolError) as error:
            attempt.is_over, refused = False, refusal_of(error)
            await self._give_up(attempt, RejectCode.NOT_AN_EXTENSION, refused.message)
            raise refused from error
        except DaemonRefusal as refused:
            attempt.is_over = False
            attempt.fail(refused.code, refused.message)
            await self._give_up(attempt, RejectCode.NOT_AN_EXTENSION, refused.message)
            raise
        core.outgoing.ring()
        # Before anything that is waited for: whoever asked may hang up, and the device stands in the log.
        self._sharing.go()
        await self._link.wait_published(log.state.length)
        await self._send(attempt, side.conclude(log.position))
        attempt.tell()


def _over(attempt: _Attempt) -> str:
    """What is said when the time is over: a consent that was given may still be used."""
    if attempt.joining is not None and attempt.joining.phase is LinkingPhase.CONFIRMED:
        return (
            "Ten minutes are over, and the other machine has not answered. If its owner agreed all the same, "
            "this one is linked in a moment; see: taskferry device list."
        )
    return SAID[RejectCode.EXPIRED]
