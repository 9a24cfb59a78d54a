"""Is anything of the handoff readable at the relay? A search of its files for what was said."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import attrs

__all__ = ["Finding", "search", "telling_pieces"]

_PIECE = 24
_MOST_PIECES = 400


@attrs.frozen
class Finding:
    """How much was searched, and which pieces were found where."""

    files: int
    size: int
    found: tuple[tuple[str, str], ...]
    """(file name, piece)."""


def telling_pieces(texts: Iterable[str]) -> tuple[bytes, ...]:
    """Pieces of the texts that could not stand anywhere by chance, spread over all of each text.

    They are short, since a database splits long values over pages.
    """
    pieces: dict[bytes, None] = {}
    for text in texts:
        lines = [line.strip() for line in text.splitlines()]
        candidates = [line[:_PIECE] for line in lines if len(line) >= _PIECE]
        step = max(1, len(candidates) // _MOST_PIECES)
        pieces.update(dict.fromkeys(piece.encode() for piece in candidates[::step]))
    return tuple(pieces)


def search(folder: Path, pieces: Iterable[bytes]) -> Finding:
    """Look for each piece in every file below `folder`, write-ahead logs included."""
    wanted = tuple(pieces)
    found: list[tuple[str, str]] = []
    files = size = 0
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        content = path.read_bytes()
        files += 1
        size += len(content)
        found += [(path.name, piece.decode(errors="replace")) for piece in wanted if piece in content]
    return Finding(files, size, tuple(found))
