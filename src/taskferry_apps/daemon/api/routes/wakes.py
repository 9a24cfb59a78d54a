"""What is done when something needs an agent that nobody runs: webhooks, notifications, programs."""

from __future__ import annotations

from typing import Final

from ...port import DaemonService
from ...wake_port import KINDS, NewWake, WakeView
from ..answers import Object
from ..fields import Choice, Flag, Form, Listed, Text, optional, required
from ..kinds import ID, OwnAgent, time_text
from ..schemas import NUMBER, OK, TEXT, TIME, many, maybe, record
from ..table import Access, Call, Repeat, Route

__all__ = ["ROUTES"]

_WAKE: Final = record(
    id=TEXT,
    agent=TEXT,
    kind={"enum": list(KINDS)},
    target=TEXT,
    created_at=TIME,
    hinted_at=maybe(TIME),
    hints={**NUMBER, "description": "Hints given for what is unread now."},
    failure={**TEXT, "description": "Why the last hint did not get through; empty if it did."},
)
_AGENT: Final = required("agent", OwnAgent(), "For which agent of yours.")
_KIND: Final = required("kind", Choice(KINDS), "What is done.")
_URL: Final = optional("url", Text(2_048), "Where a webhook goes, or OpenClaw's gateway is.", "")
_COMMAND: Final = optional("command", Listed(Text(4_096), 64), "The program and its arguments.", ())
_THREAD: Final = optional("thread", Text(256), "Which session of Codex gets the message.", "")
_SECRET: Final = optional("secret", Text(512), "OpenClaw's hook token.", "")
_PRIVATE: Final = optional("allow_private", Flag(), "Whether it may go into private networks.", False)
_ID: Final = required("id", ID, "The wake's id.")


def wake_object(wake: WakeView) -> Object:
    """A wake as JSON."""
    return {
        "id": wake.id,
        "agent": wake.agent,
        "kind": wake.kind,
        "target": wake.target,
        "created_at": time_text(wake.created_at),
        "hinted_at": None if wake.hinted_at is None else time_text(wake.hinted_at),
        "hints": wake.hints,
        "failure": wake.failure,
    }


async def _list(daemon: DaemonService, call: Call) -> Object:
    return {"wakes": [wake_object(wake) for wake in await daemon.wakers.wakes(call.known_caller)]}


async def _add(daemon: DaemonService, call: Call) -> Object:
    body = call.body
    wanted = NewWake(
        agent=body[_AGENT],
        kind=body[_KIND],
        url=body[_URL],
        command=body[_COMMAND],
        thread=body[_THREAD],
        secret=body[_SECRET],
        allow_private=body[_PRIVATE],
    )
    wake, secret = await daemon.wakers.add(call.known_caller, wanted)
    return {"ok": True, "wake": wake_object(wake), "secret": secret}


async def _remove(daemon: DaemonService, call: Call) -> Object:
    return {"ok": True, "wake": wake_object(await daemon.wakers.remove(call.known_caller, call.path[_ID]))}


async def _test(daemon: DaemonService, call: Call) -> Object:
    return {"ok": True, "wake": wake_object(await daemon.wakers.test(call.known_caller, call.path[_ID]))}


ROUTES: Final = (
    Route(
        method="GET",
        path="/wakes",
        name="list_wakes",
        about="What is done when something needs an agent that nobody runs, and how the last hint went.",
        handler=_list,
        answer=record(wakes=many(_WAKE)),
        access=Access.OWNER,
    ),
    Route(
        method="POST",
        path="/wakes",
        name="add_wake",
        about="Have a hint given. The secret that signs a webhook is shown this once.",
        handler=_add,
        answer=record(ok=OK, wake=_WAKE, secret=TEXT),
        access=Access.OWNER,
        body=Form.of(_AGENT, _KIND, _URL, _COMMAND, _THREAD, _SECRET, _PRIVATE),
        repeat=Repeat.REFUSED,
    ),
    Route(
        method="DELETE",
        path="/wakes/{id}",
        name="remove_wake",
        about="Give no more hints that way.",
        handler=_remove,
        answer=record(ok=OK, wake=_WAKE),
        access=Access.OWNER,
        parameters=Form.of(_ID),
    ),
    Route(
        method="POST",
        path="/wakes/{id}/test",
        name="test_wake",
        about="Give a hint now, with a count of 0; `failure` says how it went.",
        handler=_test,
        answer=record(ok=OK, wake=_WAKE),
        access=Access.OWNER,
        parameters=Form.of(_ID),
        body=Form.of(),
    ),
)
