"""What answers at a place to meet is no relay: the try is over, and the daemon goes on."""

from __future__ import annotations

import pytest
import trio

from taskferry_apps.daemon.meeting_client import MeetingFailed, open_meeting
from tests.transports.lying_server import DEEP, LIES, answering, said

#: A list, whose items are no keys; what nests without end; a name for the header that fits into none.
OPENED = {
    "list": said(b"[5]"),
    "deep": said(DEEP),
    "token": said('{"place":"abcdefghjkmnpqrs","token":"é"}'.encode()),
    "endless": said(b'"' + b"a" * 3_000_000 + b'"'),
}


@pytest.mark.parametrize("lie", sorted(OPENED | LIES))
async def test_a_try_fails_whatever_the_making_of_a_place_is_answered(lie):
    """The relay is not trusted with more than letters: all of it is one plain failure."""
    with trio.fail_after(10):
        async with answering((OPENED | LIES)[lie]) as url, open_meeting(url) as meeting:
            with pytest.raises(MeetingFailed):
                await meeting.open()
                await meeting.send(b"letter")


@pytest.mark.parametrize("lie", sorted(OPENED))
async def test_a_try_fails_whatever_the_joining_is_answered(lie):
    """The managing machine, whose daemon has everything to lose, asks it just the same."""
    with trio.fail_after(10):
        async with answering(OPENED[lie]) as url, open_meeting(url, "abcdefghjkmnpqrs") as meeting:
            with pytest.raises(MeetingFailed):
                await meeting.join()
                await meeting.send(b"letter")


async def test_no_certificates_are_read_to_meet_on_this_machine(monkeypatch):
    """A relay that is reached without TLS costs no list of authorities, and needs none to be there."""
    monkeypatch.setattr("certifi.where", lambda: "/nowhere/gone.pem")
    with trio.fail_after(10):
        opened = said(b'{"place":"abcdefghjkmnpqrs","token":"t"}')
        async with answering(opened) as url, open_meeting(url) as meeting:
            await meeting.open()
            assert meeting.place == "abcdefghjkmnpqrs"
