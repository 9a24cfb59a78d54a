"""Checking on this machine what an export of a task would prove elsewhere; the last answers are kept."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import trio

from taskferry_protocol.errors import LocalProtocolError, RemoteProtocolError
from taskferry_protocol.handoff import HandoffReport, verify_handoff
from taskferry_protocol.ids import AccountId, Hash, sha256

from .bounds import BOUNDS
from .core import Core
from .export import handoff_of
from .names import not_found, require_owner
from .port import Caller
from .proof_port import CheckedTask
from .search import find_task
from .taskbook import load_task
from .views import TaskView

__all__ = ["Proofs"]

_KEPT: Final = BOUNDS.proofs


class Proofs:
    """Verifies, and remembers what came of it by the hashes of all events that were looked at."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._kept: dict[bytes, CheckedTask] = {}

    async def check(self, caller: Caller, task: str) -> CheckedTask:
        """Verify all signatures and both chains now."""
        require_owner(caller)
        core = self._core
        held = await load_task(core, await find_task(core.store, task))
        if not held.rows:
            raise not_found("task")
        hashes = [event.hash for event in held.events]
        key = _key(hashes)
        at = core.now()
        try:
            raw = await handoff_of(core, held, held.rows[0])
            # A long history takes a while: whoever waits for mail meanwhile is served.
            report = await trio.to_thread.run_sync(verify_handoff, raw)
        except RemoteProtocolError as error:
            where = f" at {error.field}" if error.field else ""
            text = f"It does not hold{where}: {error.text or error.code.value} ({error.code.value})."
            checked = CheckedTask(held.task, at, len(hashes), text)
        except LocalProtocolError as error:
            checked = CheckedTask(held.task, at, len(hashes), f"It does not hold: {error}.")
        else:
            checked = CheckedTask(
                held.task,
                at,
                len(hashes),
                checks=tuple((check.what, check.count) for check in report.checks),
                accounts=_accounts(report),
            )
        while len(self._kept) >= _KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept.pop(key, None)
        self._kept[key] = checked
        core.shown.ring()
        return checked

    def last(self, caller: Caller, task: TaskView) -> CheckedTask | None:
        """What the last check said, if it was of these very events."""
        require_owner(caller)
        return self._kept.get(_key(event.hash for event in task.events))


def _accounts(report: HandoffReport) -> tuple[tuple[str, AccountId], ...]:
    return tuple((log.state.name, account) for account, log in report.accounts.items())


def _key(hashes: Iterable[Hash]) -> bytes:
    return sha256(b"".join(sorted(hashes)))
