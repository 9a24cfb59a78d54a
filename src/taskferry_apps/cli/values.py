"""Reading the daemon's JSON answers without surprises: what is absent or of another type is empty."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["object_in", "objects", "texts"]


def objects(answer: Mapping[str, object], key: str) -> list[dict[str, object]]:
    """The objects in the list at `key`."""
    value = answer.get(key)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def object_in(answer: Mapping[str, object], key: str) -> dict[str, object]:
    """The object at `key`."""
    value = answer.get(key)
    return value if isinstance(value, dict) else {}


def texts(answer: Mapping[str, object], key: str) -> list[str]:
    """The texts in the list at `key`."""
    value = answer.get(key)
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
