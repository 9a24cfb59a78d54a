"""Packages that are loaded when something of them is first used, and not where they are only named.

For programs that look into them by one thread first: a second one would not wait until they are loaded.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec, module_from_spec
from types import ModuleType

__all__ = ["load_when_used"]


class _Late(ModuleType):
    """A package not loaded yet. The standard library's lazy loader loads it where it is imported again."""

    def __getattr__(self, name: str) -> object:
        spec = self.__spec__
        if spec is None or spec.loader is None:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        object.__setattr__(self, "__class__", ModuleType)
        self.__path__ = spec.submodule_search_locations or []
        spec.loader.exec_module(self)
        return getattr(self, name)


def load_when_used(name: str) -> None:
    """Whoever imports this package from now on gets one that is loaded by the first look into it.

    Nothing happens where it is loaded, or is not there.
    """
    spec = find_spec(name) if name not in sys.modules else None
    if spec is None or spec.loader is None:
        return
    module = module_from_spec(spec)
    # Without it the import of any module in there is a look into the package, too.
    del module.__path__
    module.__class__ = _Late
    sys.modules[name] = module
