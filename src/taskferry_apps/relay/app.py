"""The relay's HTTP face: links over WebSocket and long-poll, its health, and pages for people."""

from __future__ import annotations

import attrs
from quart import Response, jsonify
from quart_trio import QuartTrio

from taskferry_protocol.ids import Entropy
from taskferry_stores.port import RelayStore
from taskferry_transports.longpoll_server import LongPollServer
from taskferry_transports.websocket_server import add_websocket_route

from .. import system
from ..release import version
from .core import Relay
from .invite_page import add_invite_page
from .meetings import Meetings, mount_meetings
from .openapi import mount_document
from .ops_door import OpsDoor, OpsPolicy
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

    policy: OpsPolicy
    shown: Shown
    community: bool


def create_app(
    relay: Relay, store: RelayStore, entropy: Entropy, pages: Pages, desk: SignUpDesk, surface: Surface
) -> tuple[QuartTrio, LongPollServer]:
    """The application, for the guarded server alone, and the long-poll side, to be run beside it."""
    app = QuartTrio("taskferry_relay", static_folder=None)
    pages.mount(app)
    mount_sign_up(app, pages, desk)
    add_invite_page(app, relay.invites, pages)
    _mount_operations(app, relay, store, entropy, pages, desk, surface)

    @app.get("/health")
    async def health() -> tuple[Response, int]:
        if not relay.is_healthy:
            return jsonify({"status": "stopping", "service": "relay"}), 503
        return jsonify({"status": "ok", "service": "relay"}), 200

    mount_document(app, version())
    mount_meetings(app, Meetings(system.now, entropy))
    add_websocket_route(app, WEBSOCKET_PATH, relay.handle)
    longpoll = LongPollServer(relay.handle, entropy)
    longpoll.mount(app, LONGPOLL_PATH)
    return app, longpoll


def _mount_operations(
    app: QuartTrio,
    relay: Relay,
    store: RelayStore,
    entropy: Entropy,
    pages: Pages,
    desk: SignUpDesk,
    surface: Surface,
) -> None:
    """Serve what shows how the relay is: to anybody, to the operator's programs, and to the operator."""
    turnstile = Turnstile()
    snapshots = Snapshots(relay, store, surface.shown.limits, system.now)
    door = OpsDoor(surface.policy, store, relay.audit, system.now, entropy)
    pages.show_always(community=surface.community)
    mount_front(app, pages, snapshots, relay.meter, desk.offer)
    if surface.community:
        mount_community(app, pages, relay.directory, turnstile)
    mount_numbers(app, door, snapshots, relay.meter)
    guard = OpsGuard(pages, door)
    mount_ops(app, guard, relay, store, snapshots, turnstile, surface.shown, system.now)
