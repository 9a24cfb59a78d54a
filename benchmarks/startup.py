"""How long the command line takes to start: a new process each time, the median of many."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from .processes import BenchmarkFailed
from .results import Bar, Figure, Way
from .traffic import Workshop

__all__ = ["measure_startup"]

HELP, INBOX = Bar(Way.BELOW, 80.0), Bar(Way.BELOW, 250.0)
#: The first starts fill the disk cache and write bytecode.
WARM_UPS = 2


class _EmptyInbox(BaseHTTPRequestHandler):
    """Answers as a daemon with an empty inbox would: what is measured is the command, not the daemon."""

    def do_GET(self) -> None:
        body = json.dumps({"messages": [], "cursor": "", "more": False}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Nothing: a line a request is noise."""


@contextmanager
def _answering() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _EmptyInbox) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def measure_startup(shop: Workshop) -> list[Figure]:
    """Milliseconds from start to exit of two commands and, to compare, of Python itself."""
    script = Path(sys.executable).parent / "taskferry"
    command = [str(script)] if script.exists() else [sys.executable, "-m", "taskferry_apps.cli"]
    with _answering() as url:
        inbox = [*command, "inbox", "--url", url, "--token", "none"]
        return [
            _timed(shop, "python -c pass", [sys.executable, "-c", "pass"]),
            _timed(shop, "taskferry --help", [*command, "--help"], HELP),
            _timed(shop, "taskferry inbox", inbox, INBOX),
        ]


def _timed(shop: Workshop, label: str, command: list[str], bar: Bar | None = None) -> Figure:
    shop.tell(f"starting `{label}`")
    times: list[float] = []
    for turn in range(WARM_UPS + shop.scale.starts):
        began = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        took = (time.perf_counter() - began) * 1e3
        if done.returncode:
            raise BenchmarkFailed(f"`{label}` ended with code {done.returncode}: {done.stderr[-500:]}")
        if turn >= WARM_UPS:
            times.append(took)
    return Figure("startup", label, statistics.median(times), "ms", bar, (min(times), max(times)))
