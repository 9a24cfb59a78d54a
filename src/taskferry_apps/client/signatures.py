"""Methods made from descriptions: they carry the text and the parameters of what they were made from."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["like_method"]

M = TypeVar("M", bound=Callable[..., Any])


def like_method(method: M, described: Callable[..., Any], *, given: int = 0) -> M:
    """`method` with the name, text and parameters of `described`; `given` of them are not the caller's."""
    for name in ("__name__", "__doc__", "__module__"):
        setattr(method, name, getattr(described, name))
    method.__qualname__ = described.__name__
    kept = list(inspect.signature(described).parameters.values())[given:]
    own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    if kept and kept[0].kind is inspect.Parameter.POSITIONAL_ONLY:
        kept[0] = kept[0].replace(kind=inspect.Parameter.POSITIONAL_OR_KEYWORD)
    method.__signature__ = inspect.Signature([own, *kept])  # type: ignore[attr-defined]
    return method
