"""Whom many tests of the protocol begin with."""

from __future__ import annotations

import pytest

from .owners import Owner
from .world import World


@pytest.fixture
def ann() -> Owner:
    """An owner with one device."""
    return Owner("ann")


@pytest.fixture
def world() -> World:
    """Two connected owners."""
    return World()
