"""The daemon itself: how it is, its set-up, its owner's account, and what it holds in quarantine."""

from __future__ import annotations

from typing import Final

import attrs

from taskferry_protocol.ids import is_name
from taskferry_protocol.tickets import TICKET_CHARS

from ...alarms import of_machine
from ...port import DaemonService
from ...relay_names import url_problem
from ..answers import Object, account_object, quarantine_object, set_up_object, status_object
from ..body import Json
from ..fields import Form, Kind, Schema, Text, Whole, bad_value, optional, required, wrong_type
from ..schemas import many, record, ref
from ..table import Access, Call, Repeat, Route

__all__ = ["ROUTES", "OwnerName", "RelayUrl"]


class OwnerName(Kind[str]):
    """A name as others will write it, `alice`; `@alice` means the same."""

    @property
    def schema(self) -> Schema:
        """A text of the grammar."""
        return {"type": "string", "pattern": "^@?[a-z0-9][a-z0-9_-]{0,31}$", "examples": ["alice"]}

    def read(self, value: Json, where: str) -> str:
        """The name, without the sign before it."""
        if not isinstance(value, str):
            raise wrong_type(where, "a text")
        name = value.removeprefix("@")
        if not is_name(name):
            raise bad_value(
                where, "A name is 1 to 32 of a-z, 0-9, _ and -, and starts with a letter or digit."
            )
        return name


class RelayUrl(Kind[str]):
    """Where a relay is. Without TLS only on this machine: on the way others see who talks to whom."""

    @property
    def schema(self) -> Schema:
        """A URL."""
        return {"type": "string", "format": "uri", "pattern": "^(?:https?|wss?)://[!-~]+$", "maxLength": 512}

    def read(self, value: Json, where: str) -> str:
        """The URL, without a slash at its end."""
        if not isinstance(value, str):
            raise wrong_type(where, "a text")
        if problem := url_problem(value):
            raise bad_value(where, problem)
        return value.rstrip("/")


_OWNER: Final = required("owner", OwnerName(), "The public name to claim.")
_RELAY: Final = required("relay", RelayUrl(), "The relay's URL, https:// or, on this machine, http://.")
_LABEL: Final = optional("device_label", Text(64), "What to call this device.", "")
_TICKET: Final = optional(
    "ticket",
    Text(TICKET_CHARS, pattern="[!-~]*", wanted="a ticket, without spaces"),
    "What lets a new account in, where the relay asks for that.",
    "",
)
_CURSOR: Final = optional("cursor", Text(128), "Where to go on.", "")
_LIMIT: Final = optional("limit", Whole(1, 200), "How many at most.", 50)


async def _health(daemon: DaemonService, call: Call) -> Object:
    # Whoever shows no credential learns that something runs here, and nothing of it.
    if call.caller is None:
        return {"status": "ok", "service": "daemon"}
    status = await daemon.status()
    if not call.caller.is_owner:
        # What waits for the owner, and what peers did, may be about other agents: the owner alone is told.
        status = attrs.evolve(status, waiting=None, changed=(), alarms=of_machine(status.alarms))
    return status_object(status)


async def _set_up(daemon: DaemonService, call: Call) -> Object:
    body = call.body
    done = await daemon.set_up(call.known_caller, body[_OWNER], body[_RELAY], body[_LABEL], body[_TICKET])
    return set_up_object(done)


async def _account(daemon: DaemonService, call: Call) -> Object:
    return account_object(await daemon.account(call.known_caller))


async def _quarantine(daemon: DaemonService, call: Call) -> Object:
    limit = call.query[_LIMIT]
    items = await daemon.quarantine(call.known_caller, call.query[_CURSOR], limit)
    full = len(items) == limit
    return {
        "items": [quarantine_object(item) for item in items],
        "cursor": items[-1].cursor if full else "",
        "more": full,
    }


ROUTES: Final = (
    Route(
        method="GET",
        path="/health",
        name="health",
        about="How the daemon is: details for whoever shows a credential.",
        handler=_health,
        answer=ref("Status"),
        access=Access.ANYBODY,
    ),
    Route(
        method="POST",
        path="/setup",
        name="setup",
        about="Make the account and its keys and claim the name. The recovery key is shown this once.",
        handler=_set_up,
        answer=ref("SetUp"),
        access=Access.OWNER,
        body=Form.of(_OWNER, _RELAY, _LABEL, _TICKET),
        repeat=Repeat.REFUSED,
    ),
    Route(
        method="GET",
        path="/account",
        name="account",
        about="The owner's account: devices, agents, and the head of its log.",
        handler=_account,
        answer=ref("Account"),
        access=Access.OWNER,
    ),
    Route(
        method="GET",
        path="/quarantine",
        name="quarantine",
        about="What arrived and has no effect, newest first.",
        handler=_quarantine,
        answer=record(items=many(ref("Quarantined")), cursor={"type": "string"}, more={"type": "boolean"}),
        access=Access.OWNER,
        query=Form.of(_CURSOR, _LIMIT),
    ),
)
