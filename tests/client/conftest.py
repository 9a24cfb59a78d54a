"""Two agents' programs, and the daemons that they call at: real servers on this machine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import pytest
import trio

from taskferry_apps.daemon.api import guard_config
from taskferry_apps.settings import DaemonSettings
from taskferry_transports.guarded_server import BoundServer, serve
from tests.daemon.api.house import Api, House, a_house

from .stories import KINDS, Place


@attrs.frozen
class Ferry:
    """The house with its doors open, and the places that two agents' programs call at."""

    house: House
    alice: Place
    bob: Place


@asynccontextmanager
async def _open_door(api: Api, agent: str) -> AsyncIterator[Place]:
    token = (await api.token(agent)).secret
    assert token is not None
    async with trio.open_nursery() as nursery:
        settings = DaemonSettings(addr=("127.0.0.1", 0))
        bound: BoundServer = await nursery.start(serve, api.app, guard_config(settings))
        yield Place(bound.urls[0], token)
        bound.draining.set()


@pytest.fixture
async def ferry():
    """Alice's `requester` and Bob's `writer`, connected, with a credential each."""
    async with (
        a_house() as house,
        _open_door(house.alice, "requester") as alice,
        _open_door(house.bob, "writer") as bob,
    ):
        yield Ferry(house, alice, bob)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """The three kinds of client."""
    return str(request.param)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data directory that is the environment's, and nothing else of ours in the environment."""
    for name in ("TASKFERRY_LOCAL_URL", "TASKFERRY_CLIENT_ADDR", "TASKFERRY_LOCAL_API_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TASKFERRY_DATA", str(tmp_path))
    return tmp_path
