"""The local API as a Quart-Trio application: the table's routes behind the guard."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Final, cast

import trio
from quart import Response, request
from quart_trio import QuartTrio
from werkzeug.exceptions import MethodNotAllowed

from taskferry_transports.guarded_server import DRAINING_STATE, GuardConfig

from ... import system
from ...matched_rule import MatchedRule
from ...request_ids import name_requests
from ...served_request import ServedRequest
from ...settings import DaemonSettings
from ...telemetry.spans import Spans
from ..bounds import BOUNDS
from ..downloads import DOWNLOAD_POLICY, attachment
from ..lasting import request_begins, something_lasts
from ..pages import add_pages
from ..port import Caller, DaemonRefusal, DaemonService
from ..views import EventView
from .body import Json, compact, parse_json
from .errors import error_object, refusal, refusal_for, too_large
from .feed import FeedBody
from .fields import Values
from .guard import SECURITY_HEADERS, Guard, bearer_secret, identify, owner_only, unauthorized
from .metrics import add_metrics
from .repeats import Repeats, digest_of, read_key
from .routes import ROUTES
from .streams import StreamBody
from .table import BODY_WITH_FILES_BYTES, Access, Answer, Call, Download, EventStream, Repeat, Route, Streamed
from .turns import Turns

__all__ = ["create_api", "guard_config"]

_EMPTY: Final = Values({})
Place = Callable[[], AbstractContextManager[None]]
"""What is held of the credential's requests that may be under way, for as long as a stream goes on."""


def guard_config(settings: DaemonSettings) -> GuardConfig:
    """How the guarded server should serve the API: where, and with room for this machine's programs."""
    host, port = settings.addr
    return GuardConfig(
        bind=(f"[{host}]:{port}" if ":" in host else f"{host}:{port}",),
        max_connections=BOUNDS.connections,
        # A little more than the API takes, so that it is the API that says what is too large.
        max_body=BODY_WITH_FILES_BYTES + 65_536,
    )


def create_api(daemon: DaemonService, settings: DaemonSettings, spans: Spans | None = None) -> QuartTrio:
    """The application. It holds no state but requests under way; serve it with `guard_config`."""
    # No static files: nothing is served but the table.
    app = QuartTrio("taskferry_apps.daemon.api", static_folder=None)
    app.url_rule_class = MatchedRule
    app.asgi_http_class = ServedRequest
    app.config["MAX_CONTENT_LENGTH"] = BODY_WITH_FILES_BYTES
    # The server bounds how long a body may take, and a send to a peer that does not read.
    app.config["BODY_TIMEOUT"] = None
    app.config["RESPONSE_TIMEOUT"] = None
    app.url_map.merge_slashes = False
    guard = Guard.listening_at(settings.addr[0])
    repeats, turns = Repeats(daemon), Turns()

    async def begin() -> None:
        request_begins()

    async def check_source() -> None:
        server = request.scope.get("server")
        port = server[1] if server is not None and server[1] is not None else settings.addr[1]
        guard.check_source(request.headers, port)

    # First, so that what is refused has a name as well.
    name_requests(app, system.entropy, spans)
    app.before_request(begin)
    app.before_request(check_source)
    app.after_request(_secure)
    app.register_error_handler(Exception, _refuse)
    for route in ROUTES:
        app.add_url_rule(
            route.rule,
            endpoint=route.name,
            view_func=_view(route, daemon, repeats, turns),
            methods=[route.method],
            provide_automatic_options=False,
        )
    add_metrics(app, daemon, settings, spans)
    add_pages(app, daemon, settings, _told)
    return app


def _view(
    route: Route, daemon: DaemonService, repeats: Repeats, turns: Turns
) -> Callable[..., Awaitable[Response]]:
    async def view(**path: str) -> Response:
        if request.method != route.method:
            # Quart adds HEAD to every GET; but reading an inbox marks it, so no method is offered unasked.
            raise MethodNotAllowed(valid_methods=[route.method])
        secret = bearer_secret(request.headers.get("Authorization"))
        caller = await _admit(route, daemon, secret)
        with turns.place(caller, secret):
            key = _key(route)
            parameters = route.parameters.read_texts(path.items())
            query = route.query.read_texts(request.args.items(multi=True))
            raw = None if route.body is None else await _read_body(route.body_bytes)
            waits = request.args.get("wait", "0") != "0"
            async with nullcontext(False) if waits else turns.turn(caller, secret) as has_waited:
                if raw is not None or has_waited:
                    # That takes as long as others like: the credential may be revoked by now.
                    caller = await _admit(route, daemon, secret)
                value = None if raw is None else parse_json(raw)
                body = _EMPTY if route.body is None else route.body.read(value)
                call = Call(
                    caller,
                    parameters,
                    query,
                    body,
                    request.headers.get("Last-Event-ID"),
                    _draining(),
                    partial(_still_admit, route, daemon, secret, caller),
                    key,
                )
                return await _answer(
                    route, daemon, repeats, call, value, partial(turns.place, caller, secret)
                )

    return view


async def _answer(
    route: Route, daemon: DaemonService, repeats: Repeats, call: Call, value: Json, place: Place
) -> Response:
    caller, key = call.caller, call.key
    if key is not None and caller is not None and route.repeat is Repeat.ONCE:

        async def act() -> bytes:
            return compact(await route.handler(daemon, call))

        digest = digest_of(route.method, request.path, value)
        kept = await repeats.once(caller, key, digest, act)
        return _json(kept, _status(parse_json(kept)))
    return _response(await route.handler(daemon, call), daemon, call, place)


async def _still_admit(
    route: Route, daemon: DaemonService, secret: str | None, before: Caller | None
) -> None:
    """Nothing while the credential counts, and for the same agents. Raises DaemonRefusal as `_admit` does."""
    caller = await _admit(route, daemon, secret)
    if caller is not None and before is not None and caller.agents != before.agents:
        # An agent of its was withdrawn: whoever has the name next is another one.
        raise unauthorized("That credential acts for other agents now than when this request began.")


async def _admit(route: Route, daemon: DaemonService, secret: str | None) -> Caller | None:
    """Who calls, if the route is for them. Raises DaemonRefusal: unauthorized, owner-only."""
    if secret is None:
        if route.access is Access.ANYBODY and "Authorization" not in request.headers:
            return None
        raise unauthorized("A credential is needed.")
    caller = await identify(daemon, secret)
    if route.access is Access.OWNER and not caller.is_owner:
        asked = f"{route.method} {route.path}"
        next_step = "Let the owner do it, with the owner's own credential."
        raise await owner_only(daemon, caller, asked, next_step)
    return caller


def _key(route: Route) -> str | None:
    header = request.headers.get("Idempotency-Key")
    if route.repeat is Repeat.HARMLESS:
        return None
    key = read_key(header)
    if key is not None and route.repeat is Repeat.REFUSED:
        raise refusal(
            "bad-value",
            "This answer holds a secret, so none is kept to be repeated.",
            "Leave the key out.",
            field="Idempotency-Key",
        )
    return key


async def _read_body(limit: int) -> bytes:
    media = request.mimetype
    charset = request.mimetype_params.get("charset", "utf-8").lower()
    if (
        media != "application/json"
        or charset not in ("utf-8", "utf8")
        or "Content-Encoding" in request.headers
    ):
        raise refusal(
            "unsupported-media",
            "The body must be plain JSON.",
            "Send Content-Type: application/json, UTF-8, not compressed.",
            status=415,
        )
    if (request.content_length or 0) > limit:
        raise too_large(limit)
    raw = cast(bytes, await request.get_data(cache=False))
    if len(raw) > limit:
        raise too_large(limit)
    return raw


def _draining() -> trio.Event:
    state = cast(dict[str, trio.Event], request.scope.get("state") or {})
    # Without a server, as in tests, nothing ever drains. (An event's truth is not its being set.)
    return state[DRAINING_STATE] if DRAINING_STATE in state else trio.Event()


def _json(body: bytes, status: int = 200) -> Response:
    return Response(body, status, content_type="application/json")


def _response(answer: Answer, daemon: DaemonService, call: Call, place: Place) -> Response:
    match answer:
        case Download():
            response = Response(answer.content, content_type=answer.media)
            response.headers["Content-Disposition"] = attachment(answer.name)
            response.headers["Content-Security-Policy"] = DOWNLOAD_POLICY
            return response
        case EventStream():
            events = partial(_followed, daemon, call.known_caller, answer)
            feed = FeedBody(events, call.still_known, call.draining, place=answer.after, held=place)
            response = Response(feed, content_type="text/event-stream; charset=utf-8")
            response.timeout = None
            return response
        case Streamed():
            response = Response(StreamBody(answer.pieces), content_type="application/octet-stream")
            response.timeout = None
            response.headers["Content-Length"] = str(answer.size)
            response.headers["Content-Disposition"] = attachment(answer.name)
            response.headers["Content-Security-Policy"] = DOWNLOAD_POLICY
            return response
        case _:
            return _json(compact(answer), _status(answer))


def _followed(daemon: DaemonService, caller: Caller, asked: EventStream) -> AsyncIterator[EventView]:
    if asked.wake:
        return daemon.wakes(caller, asked.after, asked.agent, asked.runtime)
    return daemon.events(caller, asked.after, asked.agent)


def _status(answer: object) -> int:
    return 202 if isinstance(answer, dict) and "passed_on" in answer else 200


async def _secure(response: Response) -> Response:
    # By hand: `setdefault` makes an exception for each that is not there.
    there = {name.lower() for name, _ in response.headers}
    for name, value in SECURITY_HEADERS.items():
        if name.lower() not in there:
            response.headers.add(name, value)
    return response


def _told(error: Exception) -> DaemonRefusal:
    return refusal_for(error, partly=something_lasts())


async def _refuse(error: Exception) -> Response:
    refused = _told(error)
    response = _json(compact(error_object(refused)), refused.status)
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        response.headers["Allow"] = ", ".join(sorted(set(error.valid_methods) - {"HEAD", "OPTIONS"}))
    if refused.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    retry_after = refused.detail.get("retry_after")
    if isinstance(retry_after, int | float):
        response.headers["Retry-After"] = str(max(1, round(retry_after)))
    return response
