"""Answers over HTTP that no honest server gives end a dial, and nothing around it."""

from __future__ import annotations

import pytest
import trio

from taskferry_transports.longpoll_client import LongPollDialer, LongPollSettings
from taskferry_transports.port import DialRefused

from .lying_server import LIES, answering


@pytest.mark.parametrize("lie", sorted(LIES))
async def test_a_dial_is_refused_whatever_the_opening_is_answered(lie):
    """A relay, or what stands before it, sends the dialler nowhere, or gives what nests without end."""
    with trio.fail_after(10):
        async with answering(LIES[lie]) as url, trio.open_nursery() as nursery:
            with pytest.raises(DialRefused):
                await LongPollDialer(nursery, LongPollSettings(url)).dial()


@pytest.mark.parametrize("lie", ["mailto", "no-name"])
async def test_a_link_ends_and_is_closed_whatever_its_requests_are_answered(lie):
    """The first answer was a relay's: what comes then breaks the link, also while it says goodbye."""
    opened = b'HTTP/1.1 201 Created\r\nContent-Length: 55\r\n\r\n{"token":"' + b"a" * 43 + b'"}'
    with trio.fail_after(10):
        async with answering(opened, LIES[lie]) as url, trio.open_nursery() as nursery:
            transport = await LongPollDialer(nursery, LongPollSettings(url)).dial()
            await transport.aclose()
