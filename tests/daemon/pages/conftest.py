"""A daemon of its own for each test of its pages, and a browser that is signed in."""

from __future__ import annotations

import pytest

from tests.daemon.api.house import a_lone_daemon, a_new_daemon

from .browsing import sign_in
from .rooms import a_room


@pytest.fixture
async def alice():
    """Alice's browser: her daemon has one agent, `requester`, and nobody to talk to."""
    async with a_lone_daemon() as api:
        yield await sign_in(api)


@pytest.fixture
async def newcomer():
    """The browser of somebody whose daemon has no account yet."""
    async with a_new_daemon() as api:
        yield await sign_in(api)


@pytest.fixture
async def room():
    """Bob before his dashboard."""
    async with a_room() as made:
        yield made
