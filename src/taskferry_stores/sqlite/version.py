"""Which SQLite this Python carries, and which is needed."""

from __future__ import annotations

import sqlite3
from typing import Final

__all__ = ["NEEDED", "PRESENT"]

#: STRICT tables came with it (sqlite.org/stricttables.html).
NEEDED: Final = (3, 37, 0)
PRESENT: Final = sqlite3.sqlite_version_info
