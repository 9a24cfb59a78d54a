"""The environment of programs that are not ours: as it is here, without what is set for TaskFerry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["without_ours"]

_OURS: Final = "TASKFERRY_"


def without_ours(around: Mapping[str, str]) -> dict[str, str]:
    """`around` without our settings: a credential of the owner's may be among them."""
    return {name: value for name, value in around.items() if not name.startswith(_OURS)}
