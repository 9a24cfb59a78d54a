"""What a target is."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Refused", "Target"]

Target = Callable[[bytes], None]
"""Takes any bytes; returns where it took them, raises a coded refusal or `Refused`, or has found a bug."""


class Refused(Exception):
    """What a target read was refused in the one way that its reader refuses in, which others may not."""
