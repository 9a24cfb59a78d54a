"""The passphrase before the key that signs for the account."""

from __future__ import annotations

from typing import Final

from ...manage_port import LONGEST_MINUTES
from ...port import DaemonService
from ..answers import Object
from ..fields import Form, Text, Whole, optional, required
from ..kinds import time_text
from ..schemas import OK, TIME, record
from ..table import Access, Call, Route

__all__ = ["ROUTES"]

_PASSPHRASE: Final = required("passphrase", Text(1_024, 1), "The passphrase in use.")
_OLD: Final = optional("passphrase", Text(1_024), "The passphrase in use, if there is one.", "")
_NEW: Final = optional("new_passphrase", Text(1_024), "The one to come; none takes it away.", "")
_MINUTES: Final = optional("minutes", Whole(1, LONGEST_MINUTES), "How long the key may sign.", 15)
_STATE: Final = {"enum": ["none", "open", "locked", "unlocked"]}


async def _set(daemon: DaemonService, call: Call) -> Object:
    await daemon.manage.set_passphrase(call.known_caller, call.body[_NEW], call.body[_OLD])
    return _told(daemon)


async def _unlock(daemon: DaemonService, call: Call) -> Object:
    until = await daemon.manage.unlock(call.known_caller, call.body[_PASSPHRASE], call.body[_MINUTES])
    return {**_told(daemon), "until": time_text(until)}


async def _lock(daemon: DaemonService, call: Call) -> Object:
    await daemon.manage.lock(call.known_caller)
    return _told(daemon)


def _told(daemon: DaemonService) -> Object:
    return {"ok": True, "manage": daemon.manage.state}


ROUTES: Final = (
    Route(
        method="POST",
        path="/manage/passphrase",
        name="set_manage_passphrase",
        about="Put a passphrase before the key that signs for the account, change it, or take it away.",
        handler=_set,
        answer=record(ok=OK, manage=_STATE),
        access=Access.OWNER,
        body=Form.of(_OLD, _NEW),
    ),
    Route(
        method="POST",
        path="/manage/unlock",
        name="unlock_manage",
        about="Let the key that signs for the account do so for some minutes.",
        handler=_unlock,
        answer=record(ok=OK, manage=_STATE, until=TIME),
        access=Access.OWNER,
        body=Form.of(_PASSPHRASE, _MINUTES),
    ),
    Route(
        method="POST",
        path="/manage/lock",
        name="lock_manage",
        about="Forget the unlocked key at once.",
        handler=_lock,
        answer=record(ok=OK, manage=_STATE),
        access=Access.OWNER,
        body=Form.of(),
    ),
)
