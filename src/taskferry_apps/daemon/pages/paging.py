"""Where a list goes on: the same page with the same filters, from a cursor on."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

__all__ = ["further"]


def further(path: str, asked: Mapping[str, str], cursor: str) -> str:
    """The address that goes on from `cursor`, without the filters that are empty; "" where there is none."""
    if not cursor:
        return ""
    return (
        f"{path}?{urlencode({name: value for name, value in {**asked, 'cursor': cursor}.items() if value})}"
    )
