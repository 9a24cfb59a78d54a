"""What a mutant is, and how it is applied: to a copy of `src`, never to the tree."""

from __future__ import annotations

from pathlib import Path

import attrs

__all__ = ["SOURCE", "TREE", "Mutant", "Stale", "mutated"]

TREE = Path(__file__).parents[2]
SOURCE = TREE / "src"


class Stale(Exception):
    """The text that a mutant changes stands no more where it stood, or not once alone."""


@attrs.frozen
class Mutant:
    """One fault: in `file` (below src) `old` becomes `new`, which breaks `promise`.

    `tests` are the paths that should notice, the likeliest first; the wider set of its layer is asked if they
    do not. `survives` explains one that no test can tell from the original.
    """

    name: str
    file: str
    old: str
    new: str
    promise: str
    tests: tuple[str, ...]
    survives: str = ""

    @property
    def layer(self) -> str:
        """Where it stands: protocol, stores, transports, relay, daemon, or apps."""
        parts = self.file.split("/")
        if parts[0] != "taskferry_apps":
            return parts[0].removeprefix("taskferry_")
        return parts[1] if parts[1] in ("relay", "daemon") else "apps"


def mutated(mutant: Mutant, source: Path = SOURCE) -> str:
    """The file's text with the fault in it. Raises Stale."""
    text = (source / mutant.file).read_text()
    count = text.count(mutant.old)
    if count != 1:
        raise Stale(f"{mutant.name}: the old text stands {count} times in src/{mutant.file}")
    return text.replace(mutant.old, mutant.new)
