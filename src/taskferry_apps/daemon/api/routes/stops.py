"""What breakers have stopped: read, let pass, drop."""

from __future__ import annotations

from typing import Final

from ...port import DaemonService
from ..answers import Object
from ..fields import Form, required
from ..gate_answers import stop_object
from ..kinds import ID
from ..schemas import OK, many, record, ref
from ..table import Access, Call, Repeat, Route

__all__ = ["ROUTES"]

_STOP: Final = required("id", ID, "The stop's id.")


async def _list(daemon: DaemonService, call: Call) -> Object:
    return {"stops": [stop_object(stop) for stop in await daemon.gates.stops(call.known_caller)]}


async def _release(daemon: DaemonService, call: Call) -> Object:
    stop = await daemon.gates.release_stop(call.known_caller, call.body[_STOP].lower())
    return {"ok": True, "stop": stop_object(stop)}


async def _drop(daemon: DaemonService, call: Call) -> Object:
    stop = await daemon.gates.drop_stop(call.known_caller, call.body[_STOP].lower())
    return {"ok": True, "stop": stop_object(stop)}


ROUTES: Final = (
    Route(
        method="GET",
        path="/stops",
        name="list_stops",
        about="What breakers hold between agents of yours and peers, and why.",
        handler=_list,
        answer=record(stops=many(ref("Stop"))),
        access=Access.OWNER,
    ),
    Route(
        method="POST",
        path="/stops/release",
        name="release_stop",
        about="Put what is held before your agent, in its order, and count anew.",
        handler=_release,
        answer=record(ok=OK, stop=ref("Stop")),
        access=Access.OWNER,
        body=Form.of(_STOP),
        repeat=Repeat.ONCE,
    ),
    Route(
        method="POST",
        path="/stops/drop",
        name="drop_stop",
        about="Never show your agent what is held; decline the tasks among it, and count anew.",
        handler=_drop,
        answer=record(ok=OK, stop=ref("Stop")),
        access=Access.OWNER,
        body=Form.of(_STOP),
        repeat=Repeat.ONCE,
    ),
)
