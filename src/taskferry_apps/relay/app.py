"""The relay's HTTP face: links over WebSocket and long-poll, its health, and pages for people."""

from __future__ import annotations

from quart import Response, jsonify
from quart_trio import QuartTrio

from taskferry_protocol.ids import Entropy
from taskferry_transports.longpoll_server import LongPollServer
from taskferry_transports.websocket_server import add_websocket_route

from .. import system
from .core import Relay
from .invite_page import add_invite_page
from .meetings import Meetings, mount_meetings
from .pages import Pages
from .pages.sign_up import mount_sign_up
from .sign_up_desk import SignUpDesk

__all__ = ["LONGPOLL_PATH", "WEBSOCKET_PATH", "create_app"]

WEBSOCKET_PATH = "/v1/ws"
LONGPOLL_PATH = "/v1/link"


def create_app(
    relay: Relay, entropy: Entropy, pages: Pages, desk: SignUpDesk
) -> tuple[QuartTrio, LongPollServer]:
    """The application, for the guarded server alone, and the long-poll side, to be run beside it."""
    app = QuartTrio("taskferry_relay", static_folder=None)
    pages.mount(app)
    mount_sign_up(app, pages, desk)
    add_invite_page(app, relay.invites, pages)

    @app.get("/health")
    async def health() -> tuple[Response, int]:
        if not relay.is_healthy:
            return jsonify({"status": "stopping", "service": "relay"}), 503
        return jsonify({"status": "ok", "service": "relay"}), 200

    mount_meetings(app, Meetings(system.now, entropy))
    add_websocket_route(app, WEBSOCKET_PATH, relay.handle)
    longpoll = LongPollServer(relay.handle, entropy)
    longpoll.mount(app, LONGPOLL_PATH)
    return app, longpoll
