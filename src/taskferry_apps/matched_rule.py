"""Routes that are matched and never built: no page or answer here makes an address from a route's name."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from quart.routing import QuartRule

__all__ = ["MatchedRule"]


class MatchedRule(QuartRule):
    """A rule of werkzeug's without its builders.

    Werkzeug compiles two functions for each rule that build addresses. That took most of the time in which a
    daemon's application is made (56 of 66 ms), for something that is never called here.
    """

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., NoReturn]:
        return _never


def _never(*_: object, **__: object) -> NoReturn:
    raise NotImplementedError("addresses are not built from routes")
