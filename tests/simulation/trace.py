"""What happened in a world, line by line: enough to compare two runs, and short enough to be read."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import attrs

__all__ = ["Line", "Trace"]


@attrs.frozen
class Line:
    """One thing that happened; `fine` ones, such as frames, tell two runs apart and bore people."""

    at_s: float
    who: str
    text: str
    fine: bool = False

    def __str__(self) -> str:
        return f"{self.at_s:9.3f}  {self.who:<7} {self.text}"


@attrs.define
class Trace:
    """All lines of a run."""

    now: Callable[[], float]
    """Seconds of virtual time since the world began."""
    lines: list[Line] = attrs.field(factory=list)

    def tell(self, who: str, text: str, *, fine: bool = False) -> None:
        """Something happened just now."""
        self.lines.append(Line(round(self.now(), 6), who, text, fine))

    def coarse(self) -> list[str]:
        """What people read."""
        return [str(line) for line in self.lines if not line.fine]

    @property
    def digest(self) -> str:
        """The same for two runs exactly if every line of them is the same."""
        return hashlib.sha256("\n".join(map(str, self.lines)).encode()).hexdigest()
