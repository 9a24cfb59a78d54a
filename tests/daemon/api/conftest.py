"""The house that most of these tests call at."""

from __future__ import annotations

import pytest

from .house import a_house, a_lone_daemon, a_new_daemon


@pytest.fixture
async def house():
    """Alice and Bob, connected."""
    async with a_house() as made:
        yield made


@pytest.fixture
async def lone():
    """Alice's daemon, with one agent and nobody to talk to."""
    async with a_lone_daemon() as api:
        yield api


@pytest.fixture
async def fresh():
    """A daemon without an account."""
    async with a_new_daemon() as api:
        yield api
