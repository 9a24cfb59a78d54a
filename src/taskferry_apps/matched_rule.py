"""Routes that are read once and never built: no page or answer here makes an address from a route's name."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Final, NoReturn

from quart.routing import QuartRule
from werkzeug.routing import BaseConverter
from werkzeug.routing.rules import RulePart

__all__ = ["MatchedRule"]

_Read = tuple[list[RulePart], list[tuple[bool, str]], dict[str, BaseConverter], set[str]]
#: What stands in rules, by all that this depends on: as many as the code has routes.
_READ: Final[dict[Hashable, _Read]] = {}


class MatchedRule(QuartRule):
    """A rule of werkzeug's without its builders, its text read once for all applications of a process.

    Werkzeug compiles two functions for each rule that build addresses. That took most of the time in which a
    daemon's application is made (56 of 66 ms), for something that is never called here. To read the texts
    took most of what was left.
    """

    def compile(self) -> None:
        """Read the text, or know what another application has read in the same."""
        place = self.host if self.map.host_matching else self.subdomain
        defaults = frozenset(self.arguments)
        key = (self.rule, place, self.merge_slashes, defaults, tuple(self.map.converters.items()))
        if key in _READ:
            self._parts, self._trace, self._converters, self.arguments = _READ[key]
            self._build = self._build_unknown = _never
        else:
            super().compile()
            _READ[key] = (self._parts, self._trace, self._converters, self.arguments)

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., NoReturn]:
        return _never


def _never(*_: object, **__: object) -> NoReturn:
    raise NotImplementedError("addresses are not built from routes")
