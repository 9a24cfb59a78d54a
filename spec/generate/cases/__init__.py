"""One module for each family of cases; those that yield cases have `vectors()`."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator

from spec.generate.vector import Vector


def all_vectors() -> Iterator[Vector]:
    """Every vector of every module below this package, in a fixed order."""
    for module in sorted(pkgutil.walk_packages(__path__, __name__ + "."), key=lambda found: found.name):
        family = importlib.import_module(module.name)
        if hasattr(family, "vectors"):
            yield from family.vectors()
