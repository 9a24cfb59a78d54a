"""Tokens as models count them: a public tokenizer that brings its vocabulary along."""

from __future__ import annotations

import warnings
from functools import cache
from typing import Protocol

__all__ = ["real_tokens"]


class _Encoding(Protocol):
    def encode(self, text: str) -> list[int]: ...


@cache
def _o200k() -> _Encoding:
    with warnings.catch_warnings():
        # It opens its own files by a way that Python would like to forget.
        warnings.simplefilter("ignore", DeprecationWarning)
        import bpe_openai

        encoding: _Encoding = bpe_openai.get_encoding("o200k_base")
        return encoding


def real_tokens(text: str) -> int:
    """How many tokens of o200k a text is."""
    return len(_o200k().encode(text))
