"""Targets by what they need: a process of the fuzzer loads one family; instrumenting all takes a minute."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module

import attrs

from .kinds import Refused, Target

__all__ = ["FAMILIES", "Family", "family_of", "module_of"]

#: Module and the name of its table, the quickest to load first.
FAMILIES = (("wire", "WIRE"), ("documents", "DOCUMENTS"), ("texts", "TEXTS"), ("programs", "PROGRAMS"))


@attrs.frozen
class Family:
    """Targets of one module, and what may come out of them."""

    targets: Mapping[str, Target]
    refusals: tuple[type[Exception], ...]

    def run(self, name: str, data: bytes) -> bool:
        """Whether a target takes one input; any exception but a coded rejection is a finding."""
        try:
            self.targets[name](data)
        except self.refusals:
            return False
        return True


@cache
def family_of(name: str) -> Family:
    """The family of a target. Raises KeyError where there is none of that name."""
    module, table = module_of(name)
    found = import_module(f"tests.fuzz.{module}")
    return Family(getattr(found, table), (Refused, *found.REFUSALS))


def module_of(name: str) -> tuple[str, str]:
    """The module of a target and its table there; loads no further. Raises KeyError."""
    for module, table in FAMILIES:
        if name in getattr(import_module(f"tests.fuzz.{module}"), table):
            return module, table
    raise KeyError(name)
