"""The programs that act as agents: binding, signs of life, and who a caller is."""

from __future__ import annotations

from typing import Final

from taskferry_protocol.records import RuntimeStatus
from taskferry_protocol.runtimes import LEASE_LEAST_MS, LEASE_MOST_MS

from ...port import DaemonService
from ...runtimes_port import NewRuntime
from ..answers import Object, lease_object
from ..fields import Choice, Flag, Form, Text, Whole, optional, required
from ..holds import FENCE, RUNTIME_ID
from ..kinds import ID, MaybeOwnAgent, OwnAgent
from ..runtime_answers import BOUND, IDENTITY, RUNTIME_SHAPE, bound_object, identity_object, runtime_object
from ..schemas import LEASE, OK, many, record
from ..table import Call, Repeat, Route

__all__ = ["ROUTES"]

_AGENT: Final = required("agent", OwnAgent(), "The agent of yours that the program acts as.")
_PROGRAM: Final = required("program", Text(64, 1), "What the program is, such as claude-code.")
_KEY: Final = optional(
    "key",
    Text(256),
    "The program's own word for what stays over restarts, such as its session's id.",
    "",
)
_LEASE: Final = optional(
    "lease_s",
    Whole(LEASE_LEAST_MS // 1000, LEASE_MOST_MS // 1000),
    "How long it keeps what it has in hand without a sign of life; long for programs without heartbeats.",
    None,
)
_STATUS: Final = optional(
    "status", Choice(tuple(status.value for status in RuntimeStatus)), "What the program does.", "idle"
)
_ONE_AGENT: Final = optional("agent", MaybeOwnAgent(), "Only those of one agent of yours.", None)
_MESSAGE: Final = required("message", ID, "The item to give back.")
_WANTED: Final = required("message", ID, "The item to have, or a task by its id.")
_ONLY_LEFT: Final = optional("only_left", Flag(), "Only what some program has had before.", False)
_FORGET: Final = optional("forget", Flag(), "Forget its key and its name, too: it does not come back.", False)


async def _bind(daemon: DaemonService, call: Call) -> Object:
    body = call.body
    wanted = NewRuntime(body[_AGENT], body[_PROGRAM], body[_KEY], body[_LEASE])
    return bound_object(await daemon.runtimes.bind(call.known_caller, wanted))


async def _heartbeat(daemon: DaemonService, call: Call) -> Object:
    runtime, status = call.path[RUNTIME_ID].lower(), call.body[_STATUS]
    return bound_object(await daemon.runtimes.heartbeat(call.known_caller, runtime, status))


async def _unbind(daemon: DaemonService, call: Call) -> Object:
    runtime = call.path[RUNTIME_ID].lower()
    gone = await daemon.runtimes.unbind(call.known_caller, runtime, forget=call.query[_FORGET])
    return {"ok": True, "runtime": runtime_object(gone)}


async def _list(daemon: DaemonService, call: Call) -> Object:
    found = await daemon.runtimes.runtimes(call.known_caller, call.query[_ONE_AGENT] or "")
    return {"runtimes": [runtime_object(runtime) for runtime in found]}


async def _take(daemon: DaemonService, call: Call) -> Object:
    runtime, message = call.path[RUNTIME_ID].lower(), call.body[_WANTED].lower()
    lease = await daemon.runtimes.take(call.known_caller, runtime, message, only_left=call.body[_ONLY_LEFT])
    return {"ok": True, "lease": lease_object(lease)}


async def _give_back(daemon: DaemonService, call: Call) -> Object:
    runtime, message = call.path[RUNTIME_ID].lower(), call.body[_MESSAGE].lower()
    await daemon.runtimes.give_back(call.known_caller, runtime, message, call.body[FENCE])
    return {"ok": True}


async def _whoami(daemon: DaemonService, call: Call) -> Object:
    return identity_object(await daemon.runtimes.whoami(call.known_caller))


ROUTES: Final = (
    Route(
        method="GET",
        path="/whoami",
        name="whoami",
        about="Who the caller is here: its agents, its device, the link to the relay, the programs bound.",
        handler=_whoami,
        answer=IDENTITY,
    ),
    Route(
        method="POST",
        path="/runtimes",
        name="bind_runtime",
        about="Bind a program to an agent; under a key it is the same one again after a restart.",
        handler=_bind,
        answer=BOUND,
        body=Form.of(_AGENT, _PROGRAM, _KEY, _LEASE),
        repeat=Repeat.ONCE,
    ),
    Route(
        method="GET",
        path="/runtimes",
        name="list_runtimes",
        about="The programs bound to the caller's agents, live ones first.",
        handler=_list,
        answer=record(runtimes=many(RUNTIME_SHAPE)),
        query=Form.of(_ONE_AGENT),
    ),
    Route(
        method="POST",
        path="/runtimes/{id}/heartbeat",
        name="heartbeat",
        about="Say that the program lives, and whether it is busy; its leases are renewed.",
        handler=_heartbeat,
        answer=BOUND,
        parameters=Form.of(RUNTIME_ID),
        body=Form.of(_STATUS),
    ),
    Route(
        method="POST",
        path="/runtimes/{id}/take",
        name="take_item",
        about="Have an item, and the task that it belongs to, which no other live program has.",
        handler=_take,
        answer=record(ok=OK, lease=LEASE),
        parameters=Form.of(RUNTIME_ID),
        body=Form.of(_WANTED, _ONLY_LEFT),
    ),
    Route(
        method="POST",
        path="/runtimes/{id}/release",
        name="give_back",
        about="Give back an item, and the task that it belongs to, so that another program may have it.",
        handler=_give_back,
        answer=record(ok=OK),
        parameters=Form.of(RUNTIME_ID),
        body=Form.of(_MESSAGE, FENCE),
    ),
    Route(
        method="DELETE",
        path="/runtimes/{id}",
        name="unbind_runtime",
        about="End a binding; others may have at once what the program had in hand.",
        handler=_unbind,
        answer=record(ok=OK, runtime=RUNTIME_SHAPE),
        parameters=Form.of(RUNTIME_ID),
        query=Form.of(_FORGET),
    ),
)
