"""Who asks the daemon when a page does."""

from __future__ import annotations

from typing import Final

from ..port import Caller

__all__ = ["OWNER"]

#: Whoever is signed in on a page came in by the owner's credential.
OWNER: Final = Caller(None)
