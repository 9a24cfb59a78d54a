"""An HTTP/1.1 and WebSocket server that no client can bring down: hypercorn's parts, with guards.

Import from here. The modules below subclass hypercorn 0.18; nothing of hypercorn is replaced globally.
"""

from taskferry_transports.guarded_server.config import GuardConfig
from taskferry_transports.guarded_server.refusals import refusal_body
from taskferry_transports.guarded_server.serving import LINKS, BoundServer, CannotListen, serve
from taskferry_transports.guarded_server.websocket import DRAINING_STATE, GuardedWebSocket, LinkServer

__all__ = [
    "DRAINING_STATE",
    "LINKS",
    "BoundServer",
    "CannotListen",
    "GuardConfig",
    "GuardedWebSocket",
    "LinkServer",
    "refusal_body",
    "serve",
]
