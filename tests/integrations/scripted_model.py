"""A model that says the same to whatever it is asked, and keeps what it was told.

It speaks the Responses API and Chat Completions, as far as Codex and Hermes ask for them.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["ScriptedModel", "scripted_model"]

_SAYS = {"type": "message", "role": "assistant", "id": "m1"}
_COUNTED = {
    "input_tokens": 1,
    "output_tokens": 1,
    "prompt_tokens": 1,
    "completion_tokens": 1,
    "total_tokens": 2,
}


class ScriptedModel:
    """What it was told so far: the texts of users in each request, and how it is reached."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.told: list[str] = []
        self._changed = threading.Condition()

    def hear(self, request: dict[str, Any]) -> None:
        """Keep what a request says that no request before it said."""
        with self._changed:
            for item in (*request.get("input", ()), *request.get("messages", ())):
                if item.get("role") == "user":
                    self.told += [text for text in _texts(item.get("content")) if text not in self.told]
            self._changed.notify_all()

    def wait_for(self, text: str, seconds: float = 60) -> str:
        """What it was told that holds this text, as soon as it was; AssertionError when it is not."""
        with self._changed:
            assert self._changed.wait_for(lambda: any(text in told for told in self.told), seconds), self.told
            return next(told for told in self.told if text in told)


def _texts(content: Any) -> list[str]:
    if isinstance(content, str):
        return [content]
    return [part.get("text", "") for part in content or ()]


def _response() -> list[dict[str, Any]]:
    said = {**_SAYS, "content": [{"type": "output_text", "text": "understood"}]}
    return [
        {"type": "response.created", "response": {"id": "r1"}},
        {"type": "response.output_item.done", "output_index": 0, "item": said},
        {"type": "response.completed", "response": {"id": "r1", "usage": _COUNTED}},
    ]


def _completion(**choice: Any) -> dict[str, Any]:
    return {"id": "c1", "model": "scripted", "choices": [{"index": 0, **choice}]}


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
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            model.hear(request)
            said = {"role": "assistant", "content": "understood"}
            if self.path.endswith("/responses"):
                lines = [f"event: {event['type']}\ndata: {json.dumps(event)}" for event in _response()]
            elif request.get("stream"):
                ends = _completion(delta={}, finish_reason="stop")
                lines = [f"data: {json.dumps(chunk)}" for chunk in (_completion(delta=said), ends)]
                lines.append("data: [DONE]")
            else:
                whole = _completion(message=said, finish_reason="stop") | {"usage": _COUNTED}
                self._answer("application/json", json.dumps(whole).encode())
                return
            self._answer("text/event-stream", "".join(f"{line}\n\n" for line in lines).encode())

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
