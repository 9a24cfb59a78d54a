"""A model that says the same to whatever it is asked, over the Responses API, and keeps what it was told."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["ScriptedModel", "scripted_model"]

_SAYS = {"type": "message", "role": "assistant", "id": "m1"}
_COUNTED = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}


class ScriptedModel:
    """What it was told so far: the texts of users in each request, and how it is reached."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.told: list[str] = []
        self._changed = threading.Condition()

    def hear(self, request: dict[str, Any]) -> None:
        """Keep what a request says that no request before it said."""
        with self._changed:
            for item in request.get("input", ()):
                if item.get("role") == "user":
                    texts = [part.get("text", "") for part in item.get("content", ())]
                    self.told += [text for text in texts if text not in self.told]
            self._changed.notify_all()

    def wait_for(self, text: str, seconds: float = 60) -> str:
        """What it was told that holds this text, as soon as it was; AssertionError when it is not."""
        with self._changed:
            assert self._changed.wait_for(lambda: any(text in told for told in self.told), seconds), self.told
            return next(told for told in self.told if text in told)


@contextmanager
def scripted_model() -> Iterator[ScriptedModel]:
    """One that answers on this machine while the block lasts."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            self._answer("application/json", b'{"object": "list", "data": [], "models": []}')

        def do_POST(self) -> None:
            model.hear(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            said = {**_SAYS, "content": [{"type": "output_text", "text": "understood"}]}
            events: list[dict[str, Any]] = [
                {"type": "response.created", "response": {"id": "r1"}},
                {"type": "response.output_item.done", "output_index": 0, "item": said},
                {"type": "response.completed", "response": {"id": "r1", "usage": _COUNTED}},
            ]
            lines = [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events]
            self._answer("text/event-stream", "".join(lines).encode())

        def _answer(self, media: str, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", media)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    model = ScriptedModel(f"http://127.0.0.1:{server.server_port}/v1")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield model
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
