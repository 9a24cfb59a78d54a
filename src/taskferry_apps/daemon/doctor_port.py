"""What a daemon finds when it looks at itself."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

import attrs

from .port import Caller

__all__ = ["DoctorService", "Finding", "Level"]


class Level(StrEnum):
    """How well something is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@attrs.frozen
class Finding:
    """What was looked at, how it is, what was found, and what to do about it ("" for nothing)."""

    check: str
    level: Level
    text: str
    remedy: str = ""


class DoctorService(Protocol):
    """Looks, and changes nothing."""

    async def examine(self, caller: Caller) -> tuple[Finding, ...]:
        """Everything that can be seen from inside. The owner's alone."""
