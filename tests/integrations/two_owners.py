"""Alice and Bob as real processes, whose agents are connected."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.cli.conftest import Shell, items, owner_with, request_of, until
from tests.warm import WarmStage

__all__ = ["two_owners"]


@contextmanager
def two_owners(folder: Path, **settings: str) -> Iterator[tuple[Shell, Shell]]:
    """Alice's `requester` and Bob's `writer`; Bob's daemon has these variables in its environment."""
    with WarmStage(folder) as stage:
        url, _ = stage.start_relay()
        alice = owner_with(stage, url, "alice", "requester")
        bob = owner_with(stage, url, "bob", "writer", **settings)
        assert alice("connect", "requester", "@bob/writer").code == 0
        assert bob("approve", request_of(bob, "@alice/requester"), "--no-gate").code == 0
        until(
            lambda: alice("connections", "--state", "accepted", "--json"),
            lambda ran: bool(items(ran, "connections")),
        )
        yield alice, bob
