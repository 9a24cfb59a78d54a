"""Where a session goes on in the mailbox: at a relay that is known, restored, moved, or another one.

A cursor is an acknowledgement, so it is shown at no other address than the one that it was made at: the
number of a generation is no secret, and whoever names another relay's would have mail there acknowledged that
never came. At a new address the mailbox is read from where that relay has it; what came before is known.
"""

from __future__ import annotations

from typing import Final

import attrs

from taskferry_protocol.errors import RejectCode
from taskferry_protocol.frame_items import Cursor
from taskferry_protocol.records import Generation, Offset, RelayCursor
from taskferry_protocol.sessions import Ready

from ..relay_client import LinkEnded
from .anew import begin_anew
from .core import Core

__all__ = ["NO_GENERATION", "Resumption", "resume"]

#: The generation of no relay: a mailbox is read from its start.
NO_GENERATION: Final = Generation(bytes(16))
_FROM_THE_START: Final = Cursor(NO_GENERATION, Offset(0))


@attrs.frozen
class Resumption:
    """What is shown to the relay at `origin`, and what is to be made of its answer.

    `held` are the cursors of all origins.
    """

    origin: str
    held: tuple[RelayCursor, ...]

    @property
    def offered(self) -> Cursor | None:
        """The cursor for `hello`: None for a device that never had a session.

        One of no relay's generation where this address is new, or was left and its relay went on elsewhere.
        """
        own = next((cursor for cursor in self.held if cursor.relay == self.origin), None)
        if own is None:
            return _FROM_THE_START if self.held else None
        if self._furthest(own.generation) > own.offset:
            return _FROM_THE_START
        return Cursor(own.generation, own.offset)

    def continues(self, ready: Ready) -> bool:
        """Whether the relay goes on after the cursor that it was shown."""
        offered = self.offered
        return offered is not None and offered.generation == ready.generation != NO_GENERATION

    def check(self, ready: Ready) -> None:
        """Refuse to go on as an older copy of this device, which a relay cannot see that saw no cursor.

        Raises LinkEnded(other-instance) where it was acknowledged more than is known here, of a generation
        that is known. One that is not known is a restored relay's, or another one's.
        """
        if self.continues(ready):
            return
        furthest = self._furthest(Generation(ready.generation))
        if 0 <= furthest < _acknowledged(ready):
            raise LinkEnded(
                RejectCode.OTHER_INSTANCE,
                "this device has taken more mail than this store knows: an older copy",
            )

    async def begin(self, core: Core, ready: Ready) -> None:
        """Tell a relay that does not go on everything, and offer again what is not known as delivered."""
        if self.continues(ready):
            return
        # Below `next` nothing comes in this session, and a cursor behind it would be an older copy's.
        at = RelayCursor(self.origin, Generation(ready.generation), Offset(_acknowledged(ready)))
        await begin_anew(core, at)

    def _furthest(self, generation: Generation) -> int:
        """The highest offset of a generation at whichever origin; -1 if there is none."""
        return max((cursor.offset for cursor in self.held if cursor.generation == generation), default=-1)


async def resume(core: Core, origin: str) -> Resumption:
    """How to go on at a relay's origin."""
    return Resumption(origin, await core.store.cursors())


def _acknowledged(ready: Ready) -> int:
    """How far this device has acknowledged its mailbox, as the relay says."""
    return max(0, ready.next_offset - 1)
