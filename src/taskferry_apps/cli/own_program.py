"""How another program starts this one."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

__all__ = ["own_program"]


def own_program() -> tuple[str, ...]:
    """The words that start `taskferry`, wherever its caller looks for programs."""
    own = Path(sys.argv[0])
    found = shutil.which("taskferry") if own.name != "taskferry" else str(own.resolve())
    return (found,) if found else (sys.executable, "-m", "taskferry_apps.cli")
