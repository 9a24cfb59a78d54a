"""How people are told by what a session goes."""

from __future__ import annotations

from typing import Final

__all__ = ["transport_word"]

_WORDS: Final = {"websocket": "WebSocket", "longpoll": "HTTP long-polling"}


def transport_word(transport: str) -> str:
    """A transport by the name that people know; one that has none, such as memory, by its own."""
    return _WORDS.get(transport, transport)
