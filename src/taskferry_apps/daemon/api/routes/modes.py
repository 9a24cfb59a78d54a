"""How freely agents act: their modes, and what is decided ahead about classes of action."""

from __future__ import annotations

from typing import Final

from taskferry_protocol.gates import ActionClass, AgentMode, Policy

from ...port import DaemonService
from ..answers import Object
from ..fields import Choice, Flag, Form, required
from ..gate_answers import mode_object
from ..kinds import OwnAgent
from ..schemas import OK, many, record, ref
from ..table import Access, Call, Repeat, Route

__all__ = ["ROUTES"]

_AGENT: Final = required("agent", OwnAgent(), "The agent of yours.")
_MODE: Final = required("mode", Choice(tuple(mode.value for mode in AgentMode)), "How freely it acts.")
_CLASS: Final = required(
    "class", Choice(tuple(action.value for action in ActionClass)), "The class of action."
)
_POLICY: Final = required(
    "policy", Choice(tuple(policy.value for policy in Policy)), "What it is answered when it asks."
)

_TELLS: Final = required("tells", Flag(), "Whether senders hear that it was offered, read or processed.")


async def _list(daemon: DaemonService, call: Call) -> Object:
    return {"modes": [mode_object(mode) for mode in await daemon.gates.modes(call.known_caller)]}


async def _set_mode(daemon: DaemonService, call: Call) -> Object:
    body = call.body
    changed = await daemon.gates.set_mode(call.known_caller, body[_AGENT], body[_MODE])
    return {"ok": True, "mode": mode_object(changed)}


async def _set_policy(daemon: DaemonService, call: Call) -> Object:
    body = call.body
    changed = await daemon.gates.set_policy(call.known_caller, body[_AGENT], body[_CLASS], body[_POLICY])
    return {"ok": True, "mode": mode_object(changed)}


async def _set_telling(daemon: DaemonService, call: Call) -> Object:
    body = call.body
    changed = await daemon.gates.set_telling(call.known_caller, body[_AGENT], tells=body[_TELLS])
    return {"ok": True, "mode": mode_object(changed)}


ROUTES: Final = (
    Route(
        method="GET",
        path="/modes",
        name="list_modes",
        about="How freely the caller's agents act.",
        handler=_list,
        answer=record(modes=many(ref("Mode"))),
    ),
    Route(
        method="POST",
        path="/modes",
        name="set_mode",
        about="Say how freely an agent acts: open, guarded or read-only.",
        handler=_set_mode,
        answer=record(ok=OK, mode=ref("Mode")),
        access=Access.OWNER,
        body=Form.of(_AGENT, _MODE),
        repeat=Repeat.ONCE,
    ),
    Route(
        method="POST",
        path="/policies",
        name="set_policy",
        about="Decide ahead what an agent is answered about a class of action.",
        handler=_set_policy,
        answer=record(ok=OK, mode=ref("Mode")),
        access=Access.OWNER,
        body=Form.of(_AGENT, _CLASS, _POLICY),
        repeat=Repeat.ONCE,
    ),
    Route(
        method="POST",
        path="/telling",
        name="set_telling",
        about="Say whether senders are told what an agent does with their mail, and when it was last run.",
        handler=_set_telling,
        answer=record(ok=OK, mode=ref("Mode")),
        access=Access.OWNER,
        body=Form.of(_AGENT, _TELLS),
        repeat=Repeat.ONCE,
    ),
)
