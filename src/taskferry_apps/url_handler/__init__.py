"""Making this program the one that opens `taskferry:` links, for one user of a machine, and undoing it.

`desktop_entry`, `applet` and `registry` are pure: what Linux, macOS and Windows are told. `installing` tells
them. No system hides the link from other users altogether: while it is being opened it is an argument.
"""

from __future__ import annotations

from .installing import Handler, HandlerFailed, handler_for

__all__ = ["Handler", "HandlerFailed", "handler_for"]
