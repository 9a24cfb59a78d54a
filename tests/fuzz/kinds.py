"""What a target is."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Target"]

Target = Callable[[bytes], None]
"""Takes any bytes; returns, raises a coded refusal, or has found a bug."""
