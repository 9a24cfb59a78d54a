"""How soon a daemon's pages are there over a long history, what they weigh, and what an open one costs.

A real daemon process answers; a real Chromium looks, where it and its driver are installed (`make
browser-setup`), and otherwise a plain client that follows the page's own files.
"""

from __future__ import annotations

import http.client
import importlib.util
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from .processes import ROOT, BenchmarkFailed, Server
from .results import Bar, Figure, Way

__all__ = ["find_rooms", "measure_pages"]

PAINT: Final = Bar(Way.BELOW, 200.0)
WEIGHT: Final = Bar(Way.BELOW, 150.0)
QUERIES: Final = Bar(Way.AT_MOST, 12.0)
IDLE: Final = Bar(Way.BELOW, 1.0)
START_S: Final = 60.0
IDLE_S: Final = 20.0
#: Some of what a daemon does, such as MCP, it loads once it has answered for ten seconds.
LEISURE_S: Final = 12.0
CALM_S: Final = 2.0
_TASK: Final = re.compile(r'href="(/dashboard/tasks/[0-9a-f]{64})')
_TALK: Final = re.compile(r'href="(/dashboard/messages/[0-9a-f]{32,64})')


def measure_pages(folder: Path, looks: int, tell: Callable[[str], None], what: str) -> list[Figure]:
    """Milliseconds to the first paint, KiB and queries of each page; the daemon's CPU meanwhile."""
    figures: list[Figure] = []
    with _daemon(folder, counted=True) as (server, statements), _Visitor(folder, server) as visitor:
        tell("counting what pages ask of the database")
        rooms = visitor.rooms()
        for name, path in rooms.items():
            visitor.fetch(path)
            before = statements.stat().st_size
            visitor.fetch(path)
            count = statements.stat().st_size - before
            figures.append(Figure("pages", f"{name}: queries", count, "", QUERIES))
    with _daemon(folder) as (server, _):
        browser = _browser()
        with browser(folder, server) as eye:
            for name, path in rooms.items():
                tell(f"looking at {name}")
                eye.look(path)
                seen = [eye.look(path) for _ in range(looks)]
                times = [paint for paint, _ in seen]
                middle = statistics.median(times)
                figures.append(
                    Figure(
                        "pages", f"{name}: {eye.verb}, {what}", middle, "ms", PAINT, (min(times), max(times))
                    )
                )
                figures.append(Figure("pages", f"{name}: weight", seen[0][1] / 1_024, "KiB", WEIGHT))
            tell("leaving the dashboard open")
            eye.look("/dashboard")
            _wait_calm(server)
            used, began = server.cpu_s, time.monotonic()
            time.sleep(IDLE_S)
            busy = (server.cpu_s - used) / (time.monotonic() - began) * 100
            figures.append(Figure("pages", "daemon with an open dashboard", busy, "% of a core", IDLE))
    return figures


def _wait_calm(server: Server) -> None:
    """Until the daemon has loaded all of itself."""
    time.sleep(LEISURE_S)
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        used = server.cpu_s
        time.sleep(CALM_S)
        if server.cpu_s - used < CALM_S / 20:
            return


@contextmanager
def _daemon(folder: Path, *, counted: bool = False) -> Iterator[tuple[Server, Path]]:
    """A daemon over that directory; with `counted`, a file grows by a byte for each query."""
    with tempfile.TemporaryDirectory() as place:
        log, statements = Path(place, "log"), Path(place, "statements")
        module = ["benchmarks.counted", str(statements)] if counted else ["taskferry_apps.cli"]
        command = [sys.executable, "-m", *module, "up", "--data", str(folder), "--addr", "127.0.0.1:0"]
        quiet = {name: value for name, value in os.environ.items() if not name.startswith("TASKFERRY_")}
        with log.open("wb") as stderr:
            process = subprocess.Popen(command, stdout=stderr, stderr=stderr, cwd=ROOT, env=quiet)
        try:
            yield Server(process, _address(process, folder, log), log), statements
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(START_S)


def _address(process: subprocess.Popen[bytes], folder: Path, log: Path) -> str:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        said = subprocess.run(
            [sys.executable, "-m", "taskferry_apps.cli", "dashboard", "--json", "--data", str(folder)],
            capture_output=True,
            text=True,
            check=False,
        )
        if said.returncode == 0:
            parts = urlsplit(str(json.loads(said.stdout)["url"]))
            return f"{parts.scheme}://{parts.netloc}"
        time.sleep(0.2)
    raise BenchmarkFailed(f"the daemon does not come up: {log.read_text()[-2_000:]}")


def _way_in(folder: Path) -> str:
    command = [sys.executable, "-m", "taskferry_apps.cli", "dashboard", "--json", "--data", str(folder)]
    said = subprocess.run(command, capture_output=True, text=True, check=True)
    return str(json.loads(said.stdout)["url"])


def find_rooms(tasks: str, talks: str) -> dict[str, str]:
    """Every kind of page by its name; a task and a conversation out of the pages that list them."""
    task, talk = _TASK.search(tasks), _TALK.search(talks)
    if task is None or talk is None:
        raise BenchmarkFailed("the lists show no task or no conversation")
    older = re.search(r'href="(/dashboard/tasks\?[^"]*after=[^"]*)"', tasks)
    return {
        "overview": "/dashboard",
        "waiting": "/dashboard/waiting",
        "tasks": "/dashboard/tasks",
        **({"tasks, further on": older[1].replace("&amp;", "&")} if older else {}),
        "tasks by a word": "/dashboard/tasks?q=report",
        "one task": task[1],
        "messages": "/dashboard/messages",
        "one conversation": talk[1],
        "quarantine": "/dashboard/messages/quarantine",
        "connections": "/dashboard/connections",
        "peers": "/dashboard/peers",
        "agents": "/dashboard/agents",
        "devices": "/dashboard/devices",
        "programs": "/dashboard/programs",
        "audit": "/dashboard/audit",
        "settings": "/dashboard/settings",
    }


class _Visitor:
    """A plain client that is signed in."""

    verb = "whole answer"

    def __init__(self, folder: Path, server: Server) -> None:
        self._folder = folder
        self._host = urlsplit(server.url).netloc
        self._cookie = ""

    def __enter__(self) -> _Visitor:
        way_in = urlsplit(_way_in(self._folder))
        connection = http.client.HTTPConnection(self._host, timeout=START_S)
        connection.request("GET", f"{way_in.path}?{way_in.query}")
        answer = connection.getresponse()
        self._cookie = (answer.headers.get("Set-Cookie") or "").partition(";")[0]
        connection.close()
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing stays open."""

    def fetch(self, path: str) -> bytes:
        """A page, which must be there."""
        connection = http.client.HTTPConnection(self._host, timeout=START_S)
        connection.request("GET", path, headers={"Cookie": self._cookie} if self._cookie else {})
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        if answer.status != 200:
            raise BenchmarkFailed(f"{path} is answered {answer.status}: {body[:300]!r}")
        return body

    def rooms(self) -> dict[str, str]:
        """Every kind of page by its name; a task and a conversation that are there."""
        tasks = self.fetch("/dashboard/tasks").decode()
        talks = self.fetch("/dashboard/messages").decode()
        return find_rooms(tasks, talks)

    def look(self, path: str) -> tuple[float, int]:
        """Milliseconds until the page was there, and its bytes."""
        began = time.perf_counter()
        body = self.fetch(path)
        took = (time.perf_counter() - began) * 1e3
        files = set(re.findall(r'(?:src|href)="(/assets/[^"]+)"', body.decode()))
        return took, len(body) + sum(len(self.fetch(file)) for file in files)


class _Chromium:
    """A browser that is signed in, with one page open."""

    verb = "first paint"

    def __init__(self, folder: Path, server: Server) -> None:
        self._folder = folder
        self._origin = server.url

    def __enter__(self) -> _Chromium:
        from playwright.sync_api import sync_playwright

        self._driver = sync_playwright().start()
        flags = ["--no-sandbox"] if os.geteuid() == 0 else []
        self._browser = self._driver.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
        self._page = self._browser.new_page(viewport={"width": 1280, "height": 800})
        self._page.goto(_way_in(self._folder))
        return self

    def __exit__(self, *_: object) -> None:
        self._browser.close()
        self._driver.stop()

    def look(self, path: str) -> tuple[float, int]:
        """Milliseconds from the click to the first contentful paint, and the bytes of page and files."""
        self._page.goto(self._origin + path, wait_until="load")
        found = self._page.wait_for_function(
            """() => {
                const paint = performance.getEntriesByName("first-contentful-paint")[0];
                if (!paint) return null;
                const all = [...performance.getEntriesByType("navigation"),
                             ...performance.getEntriesByType("resource")];
                return [paint.startTime, all.reduce((sum, one) => sum + one.decodedBodySize, 0)];
            }"""
        ).json_value()
        return float(found[0]), int(found[1])


def _browser() -> type[_Chromium] | type[_Visitor]:
    if importlib.util.find_spec("playwright") is not None and shutil.which("chromium"):
        return _Chromium
    return _Visitor


if __name__ == "__main__":
    for figure in measure_pages(Path(sys.argv[1]), 5, lambda said: print(said, file=sys.stderr), "all"):
        print(f"{figure.label:60} {figure.value:10.1f} {figure.unit}", figure.spread or "")
