"""What a credential for the local API looks like, wherever it comes from. Imports nothing of ours."""

from __future__ import annotations

from typing import Final

__all__ = ["WANTED", "is_credential"]

#: Longer than any that is made, and no longer than the local API reads.
_MOST_BYTES: Final = 512
WANTED: Final = "printable text in one line, without blanks around it, of at most 512 bytes"


def is_credential(text: str) -> bool:
    """Whether `text` can be a credential: it must fit into a header, for it has to travel in one."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        return False
    return 0 < size <= _MOST_BYTES and text.isprintable() and text == text.strip()
