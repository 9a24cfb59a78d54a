"""What the daemon does when something needs an agent that nobody runs: a part of `port.DaemonService`."""

from __future__ import annotations

from typing import Protocol

import attrs

from taskferry_protocol.ids import Instant

from .port import Caller

__all__ = ["KINDS", "NewWake", "WakeHookService", "WakeView"]

KINDS = ("webhook", "desktop", "command", "openclaw", "codex")


@attrs.frozen
class NewWake:
    """A wake as the owner wants it; what its kind does not need is left empty.

    `command` is an argument vector: of a `command` wake all of it, of `codex` and `desktop` the program.
    `secret` is OpenClaw's hook token.
    """

    agent: str
    kind: str
    url: str = ""
    command: tuple[str, ...] = ()
    thread: str = ""
    secret: str = ""
    allow_private: bool = False


@attrs.frozen
class WakeView:
    """A wake without its secret. `failure` says why the last hint did not get through, empty if it did."""

    id: str
    agent: str
    kind: str
    target: str
    created_at: Instant
    hinted_at: Instant | None
    hints: int
    failure: str


class WakeHookService(Protocol):
    """The owner's alone. Every method raises DaemonRefusal."""

    async def add(self, caller: Caller, wanted: NewWake) -> tuple[WakeView, str]:
        """Keep a wake; the secret that signs a webhook, told once, else an empty text."""

    async def wakes(self, caller: Caller) -> tuple[WakeView, ...]:
        """All of them, the oldest first."""

    async def remove(self, caller: Caller, wake: str) -> WakeView:
        """Forget one, by its id or the beginning of it."""

    async def test(self, caller: Caller, wake: str) -> WakeView:
        """Give a hint now, with a count of 0; `failure` says how it went."""
