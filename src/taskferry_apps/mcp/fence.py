"""The fence around what others wrote, so that a model takes it for data. Pure.

The boundary is drawn for each answer, after the text was written, so no text can close the fence from inside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

import attrs

from ..visible import one_line, visible

__all__ = ["Fence", "Origin", "fence_for"]

_BOUNDARY_BYTES: Final = 6
_TRIES: Final = 16
#: Longer ones are no handles.
_MOST_OF_A_FACT: Final = 80


@attrs.frozen
class Origin:
    """Who wrote something, as the daemon has verified it, and by which permission it came."""

    peer: str
    """A handle, `@owner/name`."""
    trust: str
    permission: str = ""

    def __str__(self) -> str:
        facts = [f"from {_fact(self.peer)}", f"trust {_fact(self.trust)}"]
        if self.permission:
            facts.append(f"permission {_fact(self.permission)}")
        return ", ".join(facts)


def _fact(text: str) -> str:
    return one_line(text, _MOST_OF_A_FACT)


@attrs.frozen
class Fence:
    """One answer's fence. Make it with `fence_for`."""

    boundary: str

    def around(self, what: str, origin: Origin, text: str) -> str:
        """`text` as data: `what` it is and where it comes from stand outside, in our words."""
        head = f"[data {self.boundary}: {what}, {origin}]"
        return f"{head}\n{visible(text)}\n[end {self.boundary}]"


def fence_for(texts: Iterable[str], entropy: Callable[[int], bytes]) -> Fence:
    """A fence that occurs in none of `texts`, whoever wrote them. `entropy` gives so many random bytes.

    Raises ValueError if it cannot be made, which only a broken source of randomness brings about.
    """
    whole = [text.lower() for text in texts]
    for _ in range(_TRIES):
        boundary = entropy(_BOUNDARY_BYTES).hex()
        if not any(boundary in text for text in whole):
            return Fence(boundary)
    raise ValueError("every boundary that was drawn occurs in the text already")
