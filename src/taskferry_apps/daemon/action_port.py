"""Actions on tasks that another device of the owner carries out, as callers see them; `port` has the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import attrs

from taskferry_protocol.ids import Hash, Instant

if TYPE_CHECKING:
    from .port import Caller

__all__ = ["ActionService", "AskedView"]


@attrs.frozen
class AskedView:
    """An action that was passed on to `device`, as the owner calls it, and what came of it.

    `state` is waiting, done or refused; overdue once its time is over without an answer; lost where that
    device never got it, or was put out before it answered. `code`, `text` and `next_step` say why it was not
    done, `event` is what was signed.
    """

    id: Hash
    task: Hash
    device: str
    agent: str
    action: str
    state: str
    asked_at: Instant
    until: Instant
    ended_at: Instant | None = None
    event: Hash | None = None
    code: str = ""
    text: str = ""
    next_step: str = ""


class ActionService(Protocol):
    """What was passed on, as the local API sees it. Raises DaemonRefusal."""

    async def one(self, caller: Caller, task: str, request: str, wait_s: float) -> AskedView:
        """One request by id or unique prefix, once it is answered or `wait_s` have passed."""
