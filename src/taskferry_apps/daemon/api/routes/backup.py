"""A backup of this machine, as one encrypted file."""

from __future__ import annotations

from typing import Final

from ...port import DaemonService
from ..fields import Form, Text, optional
from ..table import Access, Call, Route, Streamed

__all__ = ["ROUTES"]

_PASSPHRASE: Final = optional(
    "passphrase", Text(1_024, 10), "Opens it in place of the recovery phrase, if it is given.", None
)


async def _back_up(daemon: DaemonService, call: Call) -> Streamed:
    stream = await daemon.backups.make(call.known_caller, call.body[_PASSPHRASE])
    return Streamed(stream.size, stream.pieces, "taskferry.backup")


ROUTES: Final = (
    Route(
        method="POST",
        path="/backup",
        name="backup",
        about="Everything this daemon knows, as one encrypted file (spec/backup.md). Made while it works on.",
        handler=_back_up,
        answer={"type": "string", "format": "binary"},
        access=Access.OWNER,
        body=Form.of(_PASSPHRASE),
        media="application/octet-stream",
    ),
)
