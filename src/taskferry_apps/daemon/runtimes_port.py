"""The programs that act as agents, as callers see them: a part of `port.DaemonService`, with its promises."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import attrs

from taskferry_protocol.ids import DeviceId, Instant

from .port import Caller
from .views import RelayStatus

__all__ = ["BoundView", "Identity", "NewRuntime", "RuntimeService", "RuntimeView"]


@attrs.frozen
class NewRuntime:
    """A program that binds itself to an agent.

    `key` is its own word for what stays when it starts again, such as the id of its session; "" for none.
    """

    agent: str
    program: str
    key: str = ""
    lease_s: int | None = None
    """How long it keeps what it was handed without a sign of life; None for the usual time."""


@attrs.frozen
class RuntimeView:
    """A program that is bound to an agent; `status` is idle, busy or offline, `since` when that began."""

    id: str
    name: str
    agent: str
    program: str
    status: str
    since: Instant
    bound_at: Instant
    seen_at: Instant
    expires_at: Instant


@attrs.frozen
class BoundView:
    """What a program is told that has bound itself; `again` if it was known under its key."""

    runtime: RuntimeView
    lease_s: int
    heartbeat_s: int
    again: bool


@attrs.frozen
class Identity:
    """Who a caller is here. `label` is the credential's, empty for the owner's own."""

    owner: str
    is_owner: bool
    label: str
    agents: tuple[str, ...]
    device: DeviceId
    version: str
    relay: RelayStatus
    runtimes: tuple[RuntimeView, ...]


class RuntimeService(Protocol):
    """Binding, signs of life, and giving back what was handed out."""

    async def bind(self, caller: Caller, wanted: NewRuntime) -> BoundView:
        """Bind a program to an agent. Refusal `too-many` while as many as may be are live."""

    async def heartbeat(self, caller: Caller, runtime: str, status: str) -> BoundView:
        """A sign of life: `status` is idle or busy. Refusal `unknown-runtime`."""

    async def unbind(self, caller: Caller, runtime: str) -> RuntimeView:
        """End a binding: others may have at once what it had in hand. Refusal `unknown-runtime`."""

    async def runtimes(self, caller: Caller, agent: str) -> tuple[RuntimeView, ...]:
        """Programs bound to an agent or, with "", to all that the caller may act as; live ones first."""

    async def in_hand(self, caller: Caller) -> Mapping[str, int]:
        """How many tasks and lone messages each live program has in hand, by its id; none is left out."""

    async def give_back(self, caller: Caller, runtime: str, message: str, fence: int | None) -> None:
        """Let others have an item, and the task that it belongs to. Refusal `taken-over`."""

    async def whoami(self, caller: Caller) -> Identity:
        """Who the caller is here, and what is bound to its agents."""
