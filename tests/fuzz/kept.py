"""Inputs kept from earlier runs: the smallest of each target that reached something new.

One file a target, one input a line, in hexadecimal digits: so that a change of them can be read as one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

__all__ = ["MOST_BYTES", "keep", "kept_inputs"]

_FOLDER = Path(__file__).parent / "corpus"
#: Of one target, as the file's size; all of them together are below 300 KB.
MOST_BYTES = 6_000


def kept_inputs(name: str) -> Iterator[bytes]:
    """The inputs of a target; none where nobody has kept any."""
    path = _FOLDER / f"{name}.txt"
    if path.exists():
        yield from (bytes.fromhex(line) for line in path.read_text().splitlines())


def keep(name: str, inputs: Iterable[bytes]) -> int:
    """Write the smallest inputs, as many as there is room for; returns how many."""
    lines: list[str] = []
    room = MOST_BYTES
    for data in sorted(set(inputs), key=lambda data: (len(data), data)):
        room -= 2 * len(data) + 1
        if room < 0:
            break
        lines.append(data.hex())
    _FOLDER.mkdir(exist_ok=True)
    (_FOLDER / f"{name}.txt").write_text("".join(f"{line}\n" for line in lines))
    return len(lines)
