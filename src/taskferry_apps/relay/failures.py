"""What went wrong in a crowd of tasks."""

from __future__ import annotations

__all__ = ["first_failure"]


def first_failure(group: BaseExceptionGroup[Exception]) -> Exception:
    """The first failure inside a group."""
    first = group.exceptions[0]
    return first_failure(first) if isinstance(first, BaseExceptionGroup) else first
