"""A collector: a real HTTP server that decodes what it is sent, and does as its test says."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import attrs
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span

PATIENCE_S = 20.0


@attrs.define
class Collector:
    """What came, and how the next requests are answered (`does`)."""

    url: str = ""
    does: str = "take"
    """take, hang, fail, busy, close, flood, trickle, redirect, nonsense, or reject."""
    elsewhere: str = ""
    """Where `redirect` sends to."""
    requests: list[str] = attrs.field(factory=list)
    """The path of each."""
    headers: list[dict[str, str]] = attrs.field(factory=list)
    bodies: list[bytes] = attrs.field(factory=list)
    spans: list[Span] = attrs.field(factory=list)
    programs: list[dict[str, str]] = attrs.field(factory=list)
    metrics: dict[str, Metric] = attrs.field(factory=dict)
    over: threading.Event = attrs.field(factory=threading.Event)

    def until(self, found: Callable[[], bool]) -> None:
        """Wait until it is so."""
        deadline = time.monotonic() + PATIENCE_S
        while not found():
            assert time.monotonic() < deadline, (self.requests, [span.name for span in self.spans])
            time.sleep(0.01)

    def named(self, name: str) -> list[Span]:
        """The spans of that name."""
        return [span for span in self.spans if span.name == name]

    def keep(self, path: str, body: bytes) -> None:
        """Decode what came; bytes that are none raise."""
        if path.endswith("/v1/traces"):
            for sent in ExportTraceServiceRequest.FromString(body).resource_spans:
                self.programs.append({item.key: item.value.string_value for item in sent.resource.attributes})
                self.spans += [span for scope in sent.scope_spans for span in scope.spans]
        else:
            for numbers in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                for scope in numbers.scope_metrics:
                    self.metrics |= {metric.name: metric for metric in scope.metrics}


def facts(span: Span) -> dict[str, str | int]:
    """What a span says."""
    return {
        item.key.removeprefix("taskferry."): item.value.string_value or item.value.int_value
        for item in span.attributes
    }


@contextmanager
def collecting(does: str = "take") -> Iterator[Collector]:
    """A collector for the length of the block."""
    collector = Collector(does=does)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            collector.requests.append(self.path)
            collector.headers.append({name.lower(): value for name, value in self.headers.items()})
            collector.bodies.append(body)
            try:
                self._answer(body)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

        def _answer(self, body: bytes) -> None:
            match collector.does:
                case "take":
                    collector.keep(self.path, body)
                    self._say(200, b"")
                case "reject":
                    lost = ExportTracePartialSuccess(rejected_spans=2**62, error_message="no")
                    traces = ExportTraceServiceResponse(partial_success=lost).SerializeToString()
                    whole = ExportMetricsServiceResponse().SerializeToString()
                    self._say(200, traces if self.path.endswith("traces") else whole)
                case "nonsense":
                    self._say(200, b"\xff" * 64)
                case "fail":
                    self._say(500, b"x" * 1000)
                case "busy":
                    self._say(503, b"", {"Retry-After": "99999"})
                case "redirect":
                    self._say(307, b"", {"Location": f"{collector.elsewhere}{self.path}"})
                case "hang":
                    collector.over.wait(PATIENCE_S)
                    self.close_connection = True
                case "close":
                    self.close_connection = True
                case "flood":
                    self.send_response(200)
                    self.end_headers()
                    while not collector.over.is_set():
                        self.wfile.write(b"\x00" * 65_536)
                case "trickle":
                    self.wfile.write(b"HTTP/1.1 200 OK\r\n")
                    while not collector.over.wait(0.02):
                        self.wfile.write(b"X-More: of it\r\n"[:1])

        def _say(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, request, client_address) -> None:
            if not isinstance(sys.exception(), ConnectionError):
                super().handle_error(request, client_address)

    with Server(("127.0.0.1", 0), Handler) as server:
        collector.url = f"http://127.0.0.1:{server.server_address[1]}"
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        serving.start()
        try:
            yield collector
        finally:
            collector.over.set()
            server.shutdown()
            serving.join()
