"""The clock beside the relay's: what was signed, given up or refused by a wrong one stays so.

A machine without a battery starts in some other year, and is put right minutes later. Until then nothing is
to be done by its clock that cannot be undone. Who lies about the time only keeps mail back, as any relay can.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, NoReturn

import trio

from taskferry_protocol.ids import Instant
from taskferry_protocol.limits import LIFETIME_MS, SKEW_MS

from ..logs import get_logger
from ..relay_answers import LinkEnded
from .port import DaemonRefusal

__all__ = ["PATIENCE_S", "ClockOff", "RelayClock"]

#: How long a clock that has leapt since this machine was last up to date waits for a relay to say the time.
PATIENCE_S: Final = 600.0
#: How long a session is held before the relay is asked again what time it is.
ASK_AGAIN_S: Final = 60.0
#: Between two looks whether the clock was put right.
_LOOK_S: Final = 1.0


class ClockOff(DaemonRefusal):
    """Nothing is signed now; what was to be signed is as good as before once the clock is right."""

    def __init__(self, what: str, next_step: str) -> None:
        super().__init__("clock-off", what, next_step, status=503)


class RelayClock:
    """What the relay said of the time when the last session began, and what was done to the clock since.

    That it was set forward since cannot be told from a sleep of the machine, and does not count.
    """

    def __init__(self, now: Callable[[], Instant]) -> None:
        self._now = now
        self._relay = Instant(0)
        self._heard_ms = 0.0
        self._ahead: int | None = None
        self._apart = 0.0
        self._leapt_until: float | None = None
        self._off_since: float | None = None
        self._over_at: float | None = None
        self.holds_session = False
        """Whether the last session was held, and nothing of ours was compared with what the relay has."""

    def note_caught_up(self, at: Instant | None) -> None:
        """When this device was last up to date: a month later, at a start, the clock may as well be wrong."""
        if at is not None and self._now() - at > LIFETIME_MS:
            self._leapt_until = trio.current_time() + PATIENCE_S

    def compare(self, relay_now: Instant) -> None:
        """A session has begun, at this time of the relay's."""
        self._relay, self._heard_ms = relay_now, trio.current_time() * 1_000
        self._ahead, self._apart = self._now() - relay_now, self._measured()
        self._over_at = None
        self.holds_session = False
        if not self.is_off:
            self._off_since = None
        elif self._off_since is None:
            self._off_since = trio.current_time()

    def note_over(self) -> None:
        """The session is over: if no other begins soon, nobody is there to take or refuse what is signed."""
        if self._over_at is None:
            self._over_at = trio.current_time()

    @property
    def ahead_ms(self) -> int | None:
        """How far this clock is ahead of the relay's, as far as is known."""
        if self._ahead is None:
            return None
        moved = round(self._measured() - self._apart)
        if self._ahead >= 0:
            return self._ahead + min(0, moved)
        return min(0, self._ahead + max(0, moved))

    @property
    def is_off(self) -> bool:
        """Whether the relay takes nothing that is signed by this clock: of the future there, or expired."""
        ahead = self.ahead_ms
        return ahead is not None and not -LIFETIME_MS < ahead < SKEW_MS

    @property
    def is_right(self) -> bool:
        """Whether the relay has said that it is, more or less."""
        ahead = self.ahead_ms
        return ahead is not None and abs(ahead) < SKEW_MS

    @property
    def is_in_question(self) -> bool:
        """Whether nothing is to be ended or erased by it: it is off, or may well be and no relay was asked.

        After a month of running none of that can be too early by any clock; no relay puts it off for longer.
        """
        since = trio.current_time() if self._off_since is None else self._off_since
        stood_ms = (trio.current_time() - since) * 1_000
        return self._is_unasked or (self.is_off and stood_ms < LIFETIME_MS)

    @property
    def _is_unasked(self) -> bool:
        until = self._leapt_until
        return self._ahead is None and until is not None and trio.current_time() < until

    @property
    def _is_refused(self) -> bool:
        is_gone = self._over_at is not None and trio.current_time() - self._over_at >= PATIENCE_S
        return self.is_off and not is_gone

    @property
    def may_sign(self) -> bool:
        """Whether what is signed now may be taken by somebody."""
        return not self._is_refused and not self._is_unasked

    def check(self) -> None:
        """Raises ClockOff unless it `may_sign`."""
        if self._is_refused:
            side = "ahead of" if (self.ahead_ms or 0) > 0 else "more than a month behind"
            what = f"This machine's clock is {side} the relay's, which takes nothing that is signed by it."
            raise ClockOff(what, "Set the clock, then do this again.")
        if self._is_unasked:
            raise ClockOff(
                "By this machine's clock it was away for more than a month. Nothing is signed before the "
                "relay has said what time it is, or ten minutes have passed.",
                "Set the clock if it is wrong, and see that the relay can be reached: taskferry status",
            )

    def finds_in_time(self, created_at: Instant) -> bool:
        """Whether what is of the future by this clock is not by the relay's, so that this one is behind.

        Whoever dates mail as late as a relay takes it holds up what comes after it by as much as this clock
        is behind, however much such mail there is.
        """
        if self._ahead is None or created_at <= self._now() + SKEW_MS:
            return False
        passed = trio.current_time() * 1_000 - self._heard_ms
        return created_at <= self._relay + passed + SKEW_MS

    async def wait_while_off(self, ended: Callable[[], Awaitable[Exception]]) -> NoReturn:
        """Wait until it is put right, or for a minute; mail waits meanwhile.

        Raises what `ended` gives, once it does; else LinkEnded. Where it was put right, a session begins as
        every other does; where not, the relay's clock may be the wrong one, and a relay says the time at the
        beginning of a session alone.
        """
        self.holds_session = True
        get_logger().warning(
            "the clock is too far off the relay's: nothing is sent or taken", ahead_ms=self.ahead_ms
        )

        async def give_up() -> None:
            raise await ended()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(give_up)
            with trio.move_on_after(ASK_AGAIN_S):
                while True:
                    await trio.sleep(_LOOK_S)
                    if not self.is_off:
                        break
            nursery.cancel_scope.cancel()
        self.check_session()
        raise LinkEnded(None, "this machine's clock was put right")

    def check_session(self) -> None:
        """Raises LinkEnded while it is off, as where it was set back by a month in the middle of a session.

        What came could not be answered then, and would be set aside for good.
        """
        if self.is_off:
            raise LinkEnded(None, "this machine's clock is too far off the relay's, which is asked anew")

    async def wait_for(self, created_at: Instant) -> None:
        """Wait until what was created then is not of the future any more. Raises LinkEnded as above."""
        with trio.move_on_after(ASK_AGAIN_S):
            while True:
                early_ms = created_at - self._now() - SKEW_MS
                if early_ms <= 0:
                    return
                # Not a moment longer, or what waits one after another would add up.
                await trio.sleep(min(_LOOK_S, early_ms / 1_000))
        raise LinkEnded(None, "this machine's clock is behind the relay's, which is asked anew")

    def _measured(self) -> float:
        return self._now() - trio.current_time() * 1_000
