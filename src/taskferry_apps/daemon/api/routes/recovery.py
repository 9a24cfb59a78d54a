"""The owner's recovery phrase: taking the account back, checking the phrase, putting another in force."""

from __future__ import annotations

from typing import Final

from ...port import DaemonService
from ...recovery_port import NewRecovery
from ..answers import Object
from ..fields import Form, Listed, Text, Whole, optional, required
from ..schemas import HASH, NUMBER, OK, TEXT, TEXTS, record
from ..table import Access, Call, Route
from .daemon import OwnerName, RelayUrl

__all__ = ["ROUTES"]

_PHRASE: Final = required("phrase", Text(1_024, 1), "The 24 words, or 64 hexadecimal digits.")
_NEW: Final = required("new_phrase", Text(1_024, 1), "The words to be in force from now on.")
_OWNER: Final = optional("owner", OwnerName(), "The owner's name at the relay.", "")
_ACCOUNT: Final = optional("account", Text(64), "The account's id, where it is known.", "")
_RELAY: Final = optional("relay", RelayUrl(), "The relay; by default the one of a restored backup.", "")
_LABEL: Final = optional("device_label", Text(64), "What to call this device.", "")
_KEEP: Final = optional(
    "keep", Listed(Text(64, 1), 32), "Devices that stay, by label or the beginning of their id.", ()
)
_KEPT: Final = optional("kept", Whole(1, 4_096), "How many statements of the log stay; all by default.", None)

RECOVERED: Final = record(
    ok=OK,
    owner=TEXT,
    account=HASH,
    device=HASH,
    agents=TEXTS,
    revoked=TEXTS,
    connections=NUMBER,
    closed=NUMBER,
)


async def _recover(daemon: DaemonService, call: Call) -> Object:
    body = call.body
    wanted = NewRecovery(
        body[_PHRASE],
        body[_OWNER],
        body[_ACCOUNT],
        body[_RELAY],
        body[_LABEL],
        body[_KEEP],
        body[_KEPT],
    )
    made = await daemon.recovery.recover(call.known_caller, wanted)
    return {
        "ok": True,
        "owner": made.owner,
        "account": made.account.hex(),
        "device": made.device.hex(),
        "agents": list(made.agents),
        "revoked": list(made.revoked),
        "connections": made.connections,
        "closed": made.closed,
    }


async def _check(daemon: DaemonService, call: Call) -> Object:
    await daemon.recovery.check(call.known_caller, call.body[_PHRASE])
    return {"ok": True}


async def _renew(daemon: DaemonService, call: Call) -> Object:
    await daemon.recovery.renew(call.known_caller, call.body[_PHRASE], call.body[_NEW])
    return {"ok": True}


ROUTES: Final = (
    Route(
        method="POST",
        path="/recovery",
        name="recover",
        about="Take the account back with its recovery phrase: this device serves its agents, others go.",
        handler=_recover,
        answer=RECOVERED,
        access=Access.OWNER,
        body=Form.of(_PHRASE, _OWNER, _ACCOUNT, _RELAY, _LABEL, _KEEP, _KEPT),
    ),
    Route(
        method="POST",
        path="/recovery/check",
        name="check_recovery",
        about="Whether a phrase is this account's. Nothing is signed.",
        handler=_check,
        answer=record(ok=OK),
        access=Access.OWNER,
        body=Form.of(_PHRASE),
    ),
    Route(
        method="POST",
        path="/recovery/phrase",
        name="renew_recovery",
        about="Put another recovery phrase in force, by the one that is. Write the new one down first.",
        handler=_renew,
        answer=record(ok=OK),
        access=Access.OWNER,
        body=Form.of(_PHRASE, _NEW),
    ),
)
