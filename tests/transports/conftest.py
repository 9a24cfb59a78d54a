"""Fixtures: a connected pair of each kind of transport. And a deadline over every test: none may hang."""

from __future__ import annotations

import contextlib
import functools
import inspect
from pathlib import Path

import pytest
import trio
import trio.testing

from taskferry_transports.port import Liveness

from .pairs import KINDS, QUICK, running
from .raw import GUARD, HASTY, is_healthy, make_app

LONGEST_TEST_SECONDS = 60
#: By a clock that no busy machine moves on.
LONGEST_LEAPING_SECONDS = 20


def pytest_collection_modifyitems(items):
    """Put each asynchronous test of this folder under a deadline."""
    here = Path(__file__).parent
    files = {path for path in {item.path for item in items} if here in path.parents}
    for item in items:
        if item.path in files and inspect.iscoroutinefunction(item.obj):
            item.obj = _in_time(item.obj)


def _in_time(test):
    leaps = "leaping_clock" in inspect.signature(test).parameters
    seconds = LONGEST_LEAPING_SECONDS if leaps else LONGEST_TEST_SECONDS

    @functools.wraps(test)
    async def limited(*args, **kwargs):
        with trio.fail_after(seconds):
            await test(*args, **kwargs)

    return limited


@pytest.fixture
def leaping_clock() -> trio.testing.MockClock:
    """Time that leaps to the next deadline once nothing happens: a test of deadlines waits for none of them.

    Bytes on their way between two sockets need a moment, in which it must not leap.
    """
    return trio.testing.MockClock(autojump_threshold=0.02)


@pytest.fixture
async def server():
    """The guarded server with low limits, and one of every kind of handler; healthy after every test."""
    async with _healthy(GUARD) as bound:
        yield bound


@pytest.fixture
async def hasty_server():
    """The same, which gives a request and its handler half a second."""
    async with _healthy(HASTY) as bound:
        yield bound


@contextlib.asynccontextmanager
async def _healthy(guard):
    async with running(make_app(), guard) as bound:
        yield bound
        with trio.fail_after(5):
            assert await is_healthy(bound.port)


@pytest.fixture(params=sorted(KINDS))
async def pair(request):
    """A pair of every kind whose ends never fall silent during a test."""
    async with KINDS[request.param](Liveness()) as made:
        yield made


@pytest.fixture(params=sorted(KINDS))
async def quick_pair(request):
    """A pair of every kind that notices silence within a second."""
    async with KINDS[request.param](QUICK) as made:
        yield made
