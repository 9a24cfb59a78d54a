"""What the daemon finds when it looks at itself."""

from __future__ import annotations

from typing import Final

from ...port import DaemonService
from ..answers import Object
from ..schemas import TEXT, many, record
from ..table import Access, Call, Route

__all__ = ["ROUTES"]


async def _examine(daemon: DaemonService, call: Call) -> Object:
    return {
        "findings": [
            {
                "check": found.check,
                "level": found.level.value,
                "text": found.text,
                "remedy": found.remedy,
            }
            for found in await daemon.doctor.examine(call.known_caller)
        ]
    }


ROUTES: Final = (
    Route(
        method="GET",
        path="/doctor",
        name="doctor",
        about="What the daemon finds when it looks at itself; reads the whole database and audit log.",
        handler=_examine,
        answer=record(
            findings=many(record(check=TEXT, level={"enum": ["ok", "warn", "fail"]}, text=TEXT, remedy=TEXT))
        ),
        access=Access.OWNER,
    ),
)
