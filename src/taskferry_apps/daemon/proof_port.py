"""Checking a task's own proof on this machine, as callers see it; part of `port.DaemonService`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import attrs

from taskferry_protocol.ids import AccountId, Hash, Instant

if TYPE_CHECKING:
    from .port import Caller
    from .views import TaskView

__all__ = ["CheckedTask", "ProofService"]


@attrs.frozen
class CheckedTask:
    """What came of checking the events of a task, as `taskferry verify` does with its export.

    `fault` says what does not hold, "" if all does; `checks` are (what, how many times), and `accounts` the
    (owner's name, account id) that it rests on.
    """

    task: Hash
    at: Instant
    events: int
    fault: str = ""
    checks: tuple[tuple[str, int], ...] = ()
    accounts: tuple[tuple[str, AccountId], ...] = ()

    @property
    def holds(self) -> bool:
        """Whether every signature, key and link does."""
        return not self.fault


class ProofService(Protocol):
    """The owner's alone; raises DaemonRefusal."""

    async def check(self, caller: Caller, task: str) -> CheckedTask:
        """Verify all signatures and both chains now, of one task by id or unique prefix."""

    def last(self, caller: Caller, task: TaskView) -> CheckedTask | None:
        """What the last check of this task said, if it was of these very events; None else."""
