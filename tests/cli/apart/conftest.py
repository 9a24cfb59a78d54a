"""Owners of one file's own: what is tested here changes how an owner's daemon treats whoever comes later."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from taskferry_apps.demo.stage import Stage
from tests.cli.conftest import Shell, owner_with
from tests.warm import WarmStage


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A folder for processes that end with the file's tests."""
    with WarmStage(tmp_path_factory.mktemp("stage")) as stage:
        yield stage


@pytest.fixture(scope="module")
def relay(stage: Stage) -> str:
    """A relay's address."""
    url, _ = stage.start_relay()
    return url


@pytest.fixture(scope="module")
def alice(stage: Stage, relay: str) -> Shell:
    """Alice's shell, with an account and the agent `requester`."""
    return owner_with(stage, relay, "alice", "requester")


@pytest.fixture(scope="module")
def bob(stage: Stage, relay: str) -> Shell:
    """Bob's shell, with an account and the agent `writer`."""
    return owner_with(stage, relay, "bob", "writer")
