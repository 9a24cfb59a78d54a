"""Every HTTP request has an id: it stands in the answer, and in what is logged while it is under way."""

from __future__ import annotations

import re
import time
from typing import Final

from quart import Response, g, request, websocket
from quart_trio import QuartTrio
from structlog.contextvars import bind_contextvars, clear_contextvars

from taskferry_protocol.ids import Entropy

from .logs import get_logger
from .telemetry.spans import Spans

__all__ = ["HEADER", "name_requests"]

HEADER: Final = "X-Request-Id"
#: Whoever calls may name a request; what would break a line, or carry much, is no name.
_NAME: Final = re.compile(r"[A-Za-z0-9._-]{8,64}", re.ASCII)
_BYTES: Final = 12
_LEAST_FAULT: Final = 500

_LOG = get_logger()


def name_requests(
    app: QuartTrio, entropy: Entropy, spans: Spans | None = None, *, without: str | None = None
) -> None:
    """Give requests their ids, and log each, a fault of ours as a warning, all others for debugging.

    Each becomes one of `spans`, too, but for those of routes that begin with `without`, which carry links.

    So strangers write no lines into a log. Only which route it was is said, never its path, query, headers or
    body: some of these are secrets.
    """

    def begin(given: str) -> None:
        g.request_name = given if _NAME.fullmatch(given) else entropy(_BYTES).hex()
        g.request_began = time.monotonic()
        clear_contextvars()
        bind_contextvars(request=g.request_name)

    async def begin_request() -> None:
        begin(request.headers.get(HEADER, ""))

    async def begin_link() -> None:
        begin(websocket.headers.get(HEADER, ""))

    async def end(response: Response) -> Response:
        _forget(request.routing_exception)
        name = g.get("request_name")
        if name is None:
            return response
        response.headers[HEADER] = name
        status = response.status_code
        log = _LOG.warning if status >= _LEAST_FAULT else _LOG.debug
        route = request.url_rule.rule if request.url_rule is not None else "none"
        took = time.monotonic() - g.request_began
        log("request", method=request.method, route=route, status=status, took_ms=round(took * 1000, 1))
        if spans is not None and not (without and route.startswith(without)):
            # A method that no route has may be any word.
            method = request.method if request.url_rule is not None else "none"
            spans.of_work(
                f"{method} {route}",
                spans.now() - int(took * 1e9),
                {"method": method, "route": route, "status": status, "request": name},
                f"{status}" if status >= _LEAST_FAULT else "",
            )
        return response

    async def end_link(_: BaseException | None) -> None:
        _forget(websocket.routing_exception)

    app.before_request(begin_request)
    app.before_websocket(begin_link)
    app.after_request(end)
    app.teardown_websocket(end_link)


def _forget(refused: Exception | None) -> None:
    """Where no route fits, a request holds the error, whose frames hold it; cycles are sought seldom."""
    if refused is not None:
        refused.__traceback__ = refused.__context__ = None
