"""The owner's devices as the local API asks for them; `port` has the rest of the daemon."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from .device_views import DevicesView, DeviceView, LinkingView

if TYPE_CHECKING:
    from .port import Caller

__all__ = ["DeviceService"]


class DeviceService(Protocol):
    """The devices as the local API sees them; everything is the owner's. Raises DaemonRefusal."""

    async def overview(self, caller: Caller) -> DevicesView:
        """Every device, and what a new one is being brought up to."""

    async def link(self, caller: Caller, relay: str, label: str) -> LinkingView:
        """On a machine without an account: open a place to meet."""

    async def approve(self, caller: Caller, place: str, history: str, manage: bool) -> LinkingView:
        """On a managing machine: meet the new one."""

    async def confirm(self, caller: Caller, words: str) -> LinkingView:
        """The owner typed in the other machine's words. One try."""

    async def cancel(self, caller: Caller) -> LinkingView:
        """Give the try up."""

    async def linking(self, caller: Caller, phase: str, wait_s: float) -> LinkingView:
        """How the try stands, once it is in another phase than that one."""

    async def rename(self, caller: Caller, device: str, label: str) -> DeviceView:
        """Call a device otherwise, on all of the owner's machines."""

    async def revoke(self, caller: Caller, device: str, reason: str, lose: bool) -> DeviceView:
        """Put a device out; where agents or the account would be left without one, only if `lose`."""

    async def rotate(self, caller: Caller) -> DeviceView:
        """A fresh encryption key for this device, now."""
