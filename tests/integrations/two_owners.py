"""Alice and Bob as real processes, whose agents are connected."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.cli.conftest import Shell, connect, owner_with
from tests.warm import WarmStage

__all__ = ["two_owners"]


@contextmanager
def two_owners(folder: Path, **settings: str) -> Iterator[tuple[Shell, Shell]]:
    """Alice's `requester` and Bob's `writer`; Bob's daemon has these variables in its environment."""
    with WarmStage(folder) as stage:
        url, _ = stage.start_relay()
        alice = owner_with(stage, url, "alice", "requester")
        bob = owner_with(stage, url, "bob", "writer", **settings)
        connect(alice, "@alice/requester", bob, "@bob/writer", "--no-gate")
        yield alice, bob
