"""What it means that an upgrade to WebSocket was answered with something else."""

from __future__ import annotations

from collections.abc import Iterable

from taskferry_transports.port import UpgradeRefused

__all__ = ["refusal_of"]


def refusal_of(peer: str, status: int, headers: Iterable[tuple[bytes, bytes]]) -> UpgradeRefused:
    """The refusal, with how long we were asked to stay away, if that is a plain number."""
    retry_after: float | None = None
    for name, value in headers:
        if name.lower() == b"retry-after" and value.isdigit() and len(value) < 6:
            retry_after = float(value)
    return UpgradeRefused(
        f"{peer} answered the upgrade with HTTP status {status}", status=status, retry_after=retry_after
    )
