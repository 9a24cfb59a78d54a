"""What is meant by how far another owner is trusted."""

from __future__ import annotations

from typing import Final

__all__ = ["trust_words"]

_MEANS: Final = {
    "verified": "you have compared the safety code with its owner",
    "pinned": "it came through an invite, or you have decided to take it as it is",
    "unverified": "the relay said so at first contact, and nobody has compared anything",
    "changed": "its identity is in question, and nothing is sent to it until you decide",
}


def trust_words(trust: str) -> str:
    """The state with its meaning; of a state that this version does not know, the word alone."""
    return f"{trust}: {_MEANS[trust]}" if trust in _MEANS else trust
