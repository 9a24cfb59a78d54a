"""Which release of TaskFerry this is."""

from __future__ import annotations

from functools import cache
from importlib import metadata

__all__ = ["version"]


@cache
def version() -> str:
    """The version of the installed package; 0 where it runs without having been installed."""
    try:
        return metadata.version("taskferry")
    except metadata.PackageNotFoundError:
        return "0"
