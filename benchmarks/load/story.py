"""What two agents say to each other in one task or talk, in turn: every kind of message, of real sizes."""

from __future__ import annotations

import random
from collections.abc import Iterator

import attrs

from taskferry_protocol.ids import Hash, sha256
from taskferry_protocol.links import Seen, TaskLink
from taskferry_protocol.messages import (
    ArtifactSubmit,
    Body,
    FilePart,
    RevisionRequest,
    TaskAccept,
    TaskCancel,
    TaskComplete,
    TaskDecline,
    TaskFail,
    TaskProgress,
    TaskRequest,
    TextMessage,
)

__all__ = ["Chains", "Line", "story"]

Line = tuple[bool, Body]
"""Whether the requester says it, and what."""

#: Bytes of a file that is handed in; the last is as large as an envelope holds with ease.
_SIZES = (600, 600, 2_000, 2_000, 8_000, 30_000, 120_000)
_VERSION = sha256(b"a version")


@attrs.define
class Chains:
    """Both chains of one task, as those who speak in it link their events."""

    task: Hash | None = None
    ends: dict[bool, tuple[int, Hash | None]] = attrs.field(
        factory=lambda: {True: (0, None), False: (0, None)}
    )

    def link(self, by_requester: bool, body: Body) -> TaskLink | None:
        """Where the next event stands; None for what is said outside of a task."""
        if isinstance(body, TextMessage):
            return None
        count, before = self.ends[by_requester]
        return TaskLink(self.task, count, before, Seen(*self.ends[not by_requester]))

    def said(self, by_requester: bool, hash: Hash) -> None:
        """An event was sealed."""
        self.task = self.task or hash
        self.ends[by_requester] = (self.ends[by_requester][0] + 1, hash)


def story(dice: random.Random) -> Iterator[Line]:
    """One talk or one task, from its first message to its last."""
    kind = dice.random()
    if kind < 0.3:
        for turn in range(dice.randint(1, 4)):
            yield turn % 2 == 0, TextMessage(_prose(dice, 40, 1_500))
        return
    yield (
        True,
        TaskRequest("A task of the long run", _prose(dice, 200, 3_000), revisions=3),
    )
    if kind < 0.36:
        yield False, TaskDecline("No time this week")
        return
    yield False, TaskAccept()
    if kind < 0.42:
        yield True, TaskCancel("Not needed any more")
        return
    for percent in range(0, 100, dice.choice((25, 50))):
        yield False, TaskProgress(_prose(dice, 20, 200), percent)
    if kind < 0.48:
        yield False, TaskFail("The sources are missing")
        return
    for version in range(1, dice.choice((1, 1, 2, 3)) + 1):
        if version > 1:
            yield True, RevisionRequest(version - 1, _VERSION, (_prose(dice, 40, 400),))
        file = FilePart.of("work.bin", "application/octet-stream", dice.randbytes(dice.choice(_SIZES)))
        yield False, ArtifactSubmit("Here it is", (file,), version - 1)
    yield True, TaskComplete(1, _VERSION)


def _prose(dice: random.Random, least: int, most: int) -> str:
    return dice.randbytes(dice.randint(least, most) // 2).hex()
