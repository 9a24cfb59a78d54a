"""What the daemon tells of the owner's devices: frozen values, as in `views`."""

from __future__ import annotations

import attrs

from taskferry_protocol.ids import DeviceId, Instant

__all__ = ["DeviceView", "DevicesView", "LinkingView", "ProgressView"]


@attrs.frozen
class DeviceView:
    """One device of the account; `is_here` for the one that answers.

    `since` is when the log says that it came, a claim; `heard_at` when it last said something that has come
    here, None where nothing has since this daemon started.
    """

    id: DeviceId
    label: str
    status: str
    is_here: bool
    manages: bool
    agents: tuple[str, ...]
    rotations: int
    since: Instant | None = None
    heard_at: Instant | None = None


@attrs.frozen
class ProgressView:
    """How far another device has been brought: `phase` is share, serve or history."""

    device: DeviceId
    phase: str
    done: int
    total: int


@attrs.frozen
class DevicesView:
    """All devices. `held` says that the account is forked, `suspended` that this device runs twice.

    `history_done` of `history_total` are what this device has been given of what was before it.
    """

    devices: tuple[DeviceView, ...]
    held: str
    suspended: str
    sharing: tuple[ProgressView, ...]
    history_done: int
    history_total: int


@attrs.frozen
class LinkingView:
    """A try to link two machines, seen from one.

    `phase` is none, waiting, comparing, confirmed, linked or failed. `link` leads a machine that manages the
    account to the new one; it is told on the new one alone.
    """

    side: str = ""
    phase: str = "none"
    place: str = ""
    link: str = ""
    words: str = ""
    expires_at: Instant | None = None
    owner: str = ""
    label: str = ""
    manage: bool = False
    code: str = ""
    error: str = ""
