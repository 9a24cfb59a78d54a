"""One mapping from everything that can go wrong to what a caller is told.

The shape is always `{"ok": false, "error": {"code", "message", "next", ...}}`.
"""

from __future__ import annotations

import errno
import os
import traceback
from pathlib import Path
from typing import Final

from werkzeug.exceptions import HTTPException

from taskferry_apps.logs import get_logger
from taskferry_protocol.errors import RemoteProtocolError
from taskferry_stores.port import StoreConflict, StoreError, StoreFailed, StoreFull

from ..keys import DamagedKeys
from ..port import DaemonRefusal

__all__ = ["error_object", "refusal", "refusal_for", "too_large"]

_DETAILS: Final = ("field", "state", "actions", "retry_after", "approval")

#: What a disk, or its owner, refuses; from networks these do not come.
_DISK: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EFBIG, errno.EACCES})

_NOTHING: Final = "nothing of this was stored."
_PARTLY: Final = "a part of this may be stored already."
_LOOK: Final = "look how far it came, and ask again."

#: What HTTP itself refuses: status, code, sentence, next step.
_HTTP: Final = {
    404: ("not-found", "Nothing is served at this path.", "The paths that are: GET /openapi.json"),
    405: (
        "method-not-allowed",
        "This path is not used with that method.",
        "Which are: the Allow header, and GET /openapi.json",
    ),
    408: ("timeout", "The body did not arrive in time.", "Send it in one go."),
    413: ("too-large", "The body is too large.", "Send less at once."),
}


def refusal(
    code: str, message: str, next_step: str, *, status: int = 400, field: str = "", **detail: object
) -> DaemonRefusal:
    """What the API refuses by itself."""
    named: dict[str, object] = {"field": field} if field else {}
    return DaemonRefusal(code, message, next_step, status=status, detail={**named, **detail})


def too_large(limit: int, field: str = "") -> DaemonRefusal:
    """More bytes than this request may have."""
    return refusal(
        "too-large", f"At most {limit} bytes fit here.", "Send less at once.", status=413, field=field
    )


def refusal_for(error: Exception, *, partly: bool = False) -> DaemonRefusal:
    """What the caller is told about an error. One that nobody foresaw is logged, without its text.

    `partly` says that something of what was asked lasts already.
    """
    match error:
        case DaemonRefusal(code="too-large", status=400):
            return DaemonRefusal(error.code, error.message, error.next_step, status=413, detail=error.detail)
        case DaemonRefusal():
            return error
        case RemoteProtocolError():
            return refusal(
                error.code.value,
                error.text or "That value cannot be used.",
                "Mend it and try again.",
                field=error.field,
            )
        case StoreFull():
            return refusal(
                "storage",
                f"The disk is full; {_PARTLY if partly else _NOTHING}",
                f"Free some space, {_LOOK}" if partly else "Free some space and try again.",
                status=503,
            )
        case StoreConflict():
            return refusal(
                "conflict", "Something else changed this meanwhile.", "Look again, then retry.", status=409
            )
        case StoreFailed():
            # What was written when the disk failed may be there when the database is opened again.
            return refusal(
                "storage",
                "The daemon's database failed; whether this was stored is not known.",
                "See the daemon's log, start it again, and look; under the same Idempotency-Key, ask again.",
                status=503,
            )
        case StoreError():
            return refusal(
                "storage",
                f"The daemon's database cannot be used; {_PARTLY if partly else _NOTHING}",
                f"See the daemon's log, start it again, {_LOOK}"
                if partly
                else "See the daemon's log, then start it again.",
                status=503,
            )
        case DamagedKeys():
            return refusal(
                "storage",
                f"{error}",
                "To take the account back instead: taskferry recover",
                status=503,
            )
        case OSError(errno=number) if number in _DISK:
            return refusal(
                "storage",
                f"A file of the daemon's cannot be written: {os.strerror(number)}.",
                "Mend that, look how far it came, and try again.",
                status=503,
            )
        case HTTPException():
            status = error.code or 500
            code, message, next_step = _HTTP.get(
                status, ("malformed", "The request cannot be read.", "Send plain HTTP/1.1.")
            )
            return refusal(code, message, next_step, status=status)
        case _:
            get_logger().warning("a request failed", kind=type(error).__name__, reason=_where(error))
            return refusal(
                "internal",
                "The daemon failed at this; it is a fault of its own.",
                "Try again; if it stays so, report the line in the daemon's log.",
                status=500,
            )


def _where(error: BaseException) -> str:
    # The text of an unforeseen error may hold what a peer or an agent wrote: the place is enough.
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    steps = (f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames)
    return f"{type(error).__name__} at {' > '.join(steps)}"


def error_object(refused: DaemonRefusal) -> dict[str, object]:
    """The body that tells of a refusal."""
    detail: dict[str, object] = {name: refused.detail[name] for name in _DETAILS if name in refused.detail}
    error: dict[str, object] = {
        "code": refused.code,
        "message": refused.message,
        "next": refused.next_step,
        **detail,
    }
    return {"ok": False, "error": error}
