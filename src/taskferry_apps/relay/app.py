"""The relay's HTTP face: links over WebSocket and long-poll, its health, and pages for people."""

from __future__ import annotations

from pathlib import Path

import attrs
from quart import Response, jsonify
from quart_trio import QuartTrio

from taskferry_protocol.ids import Entropy
from taskferry_stores.port import RelayStore
from taskferry_transports.longpoll_server import LongPollLimits, LongPollServer
from taskferry_transports.websocket_server import add_websocket_route

from .. import system
from ..matched_rule import MatchedRule
from ..release import version
from ..request_ids import name_requests
from ..served_request import ServedRequest
from .core import Relay
from .gauges import Gauges
from .invite_page import add_invite_page
from .meetings import Meetings, mount_meetings
from .openapi import mount_document
from .ops_door import OpsDoor
from .pages import Pages
from .pages.community import mount_community
from .pages.front import mount_front
from .pages.numbers import mount_numbers
from .pages.ops import Shown, mount_ops
from .pages.ops_guard import OpsGuard
from .pages.sign_up import mount_sign_up
from .sign_up_desk import SignUpDesk
from .snapshot import Snapshots
from .turnstile import Turnstile

__all__ = ["LONGPOLL_PATH", "OPS_PATH", "WEBSOCKET_PATH", "Surface", "create_app"]

WEBSOCKET_PATH = "/v1/ws"
LONGPOLL_PATH = "/v1/link"
OPS_PATH = "/ops"


@attrs.frozen
class Surface:
    """What the operator decided about the pages."""

    door: OpsDoor
    shown: Shown
    community: bool


def create_app(
    relay: Relay, store: RelayStore, entropy: Entropy, pages: Pages, desk: SignUpDesk, surface: Surface
) -> tuple[QuartTrio, LongPollServer, Gauges]:
    """The application, for the guarded server alone; the long-poll side, to be run beside it; its gauges."""
    bounds = surface.shown.bounds
    longpoll = LongPollServer(
        relay.handle,
        entropy,
        LongPollLimits(
            max_links=bounds.longpoll_links,
            max_links_per_peer=bounds.longpoll_links_per_address,
            buffer_bytes=bounds.receive_bytes,
            room_timeout=bounds.longpoll_room_s,
            token_lifetime=bounds.longpoll_token_s,
        ),
    )
    gauges = Gauges(relay, bounds, surface.shown.bounds_source, lambda: longpoll.open_links)
    app = QuartTrio("taskferry_relay", static_folder=None)
    app.url_rule_class = MatchedRule
    app.asgi_http_class = ServedRequest
    name_requests(app, entropy, relay.spans, without=LONGPOLL_PATH)
    pages.mount(app)
    mount_sign_up(app, pages, desk)
    add_invite_page(app, relay.invites, pages)
    _mount_operations(app, relay, store, pages, desk, surface, gauges)

    @app.get("/health")
    async def health() -> tuple[Response, int]:
        if not relay.is_healthy:
            return jsonify({"status": "stopping", "service": "relay"}), 503
        return jsonify({"status": "ok", "service": "relay"}), 200

    mount_document(app, version())
    mount_meetings(app, Meetings(system.now, entropy))
    add_websocket_route(app, WEBSOCKET_PATH, relay.handle)
    longpoll.mount(app, LONGPOLL_PATH)
    return app, longpoll, gauges


def _mount_operations(
    app: QuartTrio,
    relay: Relay,
    store: RelayStore,
    pages: Pages,
    desk: SignUpDesk,
    surface: Surface,
    gauges: Gauges,
) -> None:
    """Serve what shows how the relay is: to anybody, to the operator's programs, and to the operator."""
    turnstile = Turnstile(surface.shown.bounds.pages_waiting)
    database = Path(surface.shown.database)
    snapshots = Snapshots(relay, store, surface.shown.limits, system.now, database)
    pages.show_always(community=surface.community)
    mount_front(app, pages, snapshots, relay.meter, desk.offer)
    if surface.community:
        mount_community(app, pages, relay.directory, turnstile)
    mount_numbers(app, surface.door, snapshots, relay.meter, gauges, database, relay.spans)
    guard = OpsGuard(pages, surface.door)
    mount_ops(app, guard, relay, store, snapshots, turnstile, surface.shown, gauges, system.now)
