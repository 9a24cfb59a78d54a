"""Fixtures: a connected pair of each kind of transport."""

from __future__ import annotations

import pytest

from taskferry_transports.port import Liveness

from .pairs import KINDS, QUICK


@pytest.fixture(params=sorted(KINDS))
async def pair(request):
    """A pair of every kind whose ends never fall silent during a test."""
    async with KINDS[request.param](Liveness()) as made:
        yield made


@pytest.fixture(params=sorted(KINDS))
async def quick_pair(request):
    """A pair of every kind that notices silence within a third of a second."""
    async with KINDS[request.param](QUICK) as made:
        yield made
