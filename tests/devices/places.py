"""Places to meet without HTTP: the relay's own, asked in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from taskferry_apps import system
from taskferry_apps.daemon.meeting_client import MeetingFailed
from taskferry_apps.daemon.service import Daemon
from taskferry_apps.relay.meetings import Meetings, Refused
from tests.daemon.worlds import OWNER, URL, until

__all__ = ["Places", "compared"]


class _Side:
    """One side, as `meeting_client.Meeting`."""

    def __init__(self, meetings: Meetings, place: str) -> None:
        self._meetings = meetings
        self.place = place
        self._token = ""
        self._taken = 0

    async def open(self) -> None:
        """Make the place."""
        self.place, self._token = self._meetings.open("127.0.0.1")
        await trio.lowlevel.checkpoint()

    async def join(self) -> None:
        """Be the second side."""
        self._token = self._meetings.join(self.place)
        await trio.lowlevel.checkpoint()

    async def send(self, letter: bytes) -> None:
        """Leave a letter. Raises MeetingFailed."""
        await trio.lowlevel.checkpoint()
        try:
            self._meetings.leave_letter(self.place, self._token, letter)
        except Refused as refused:
            raise MeetingFailed(str(refused)) from refused

    async def receive(self) -> bytes:
        """The next letter. Raises MeetingFailed."""
        while True:
            try:
                letter = await self._meetings.letter(self.place, self._token, self._taken, 1.0)
            except Refused as refused:
                raise MeetingFailed(str(refused)) from refused
            if letter is not None:
                self._taken += 1
                return letter

    async def end(self) -> None:
        """Leave the place."""
        await trio.lowlevel.checkpoint()


class Places:
    """Stands for `open_meeting`."""

    def __init__(self) -> None:
        self._meetings = Meetings(system.now, system.entropy)

    @asynccontextmanager
    async def __call__(self, relay: str, place: str = "", tls: object = None) -> AsyncIterator[_Side]:
        """A side without a token yet."""
        yield _Side(self._meetings, place)


async def compared(old: Daemon, new: Daemon) -> tuple[str, str]:
    """Two machines that meet and show their words: the old one's, and the new one's."""
    begun = await new.devices.link(OWNER, URL, "another")
    await old.devices.approve(OWNER, begun.place, "all", True)

    async def words(daemon: Daemon) -> str:
        view = await daemon.devices.linking(OWNER, "", 0)
        return view.words if view.phase == "comparing" else ""

    return await until(lambda: words(old)), await until(lambda: words(new))
