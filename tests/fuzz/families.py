"""Targets by what they need: a process of the fuzzer loads one family; instrumenting all takes a minute."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module

import attrs

from .kinds import Refused, Target

__all__ = ["Family", "family_of"]

#: Module and the name of its table, the quickest to load first.
_FAMILIES = (("wire", "WIRE"), ("documents", "DOCUMENTS"), ("texts", "TEXTS"), ("programs", "PROGRAMS"))


@attrs.frozen
class Family:
    """Targets of one module, and what may come out of them."""

    targets: Mapping[str, Target]
    refusals: tuple[type[Exception], ...]

    def run(self, name: str, data: bytes) -> bool:
        """Whether a target takes one input; any exception but a coded rejection is a finding."""
        refusals: tuple[type[Exception], ...] = (Refused, *self.refusals)
        try:
            self.targets[name](data)
        except refusals:
            return False
        return True


@cache
def family_of(name: str) -> Family:
    """The family of a target. Raises KeyError where there is none of that name."""
    for module, table in _FAMILIES:
        found = import_module(f"tests.fuzz.{module}")
        if name in getattr(found, table):
            return Family(getattr(found, table), found.REFUSALS)
    raise KeyError(name)
