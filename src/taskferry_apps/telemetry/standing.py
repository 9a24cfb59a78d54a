"""How sending to a collector goes: what it took, what is lost, and why the latest was not taken."""

from __future__ import annotations

from typing import Final

import attrs

__all__ = ["QUIET_S", "Standing"]

#: Between two warnings of one kind, for a collector that now takes what it is sent, and now does not.
QUIET_S: Final = 3_600.0


@attrs.define
class Standing:
    """How the export of spans, or of numbers, stands: `failure` is why the latest was not taken, or ""."""

    kind: str
    sent: int = 0
    dropped: int = 0
    failure: str = ""
    failures: int = 0
    """In a row."""
    warned_at: float = -QUIET_S
    """By trio's clock."""
    said: bool = False
    """Whether the failure that lasts was logged."""
