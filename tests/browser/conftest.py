"""A real Chromium that looks at real daemons and a real relay, as their owners do.

Every page that a test opens is watched: an error in the console, a broken rule of the content policy, or a
request to anywhere else than the server that the page is from fails the test.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlsplit

import attrs
import pytest

from taskferry_apps.demo.stage import Stage
from taskferry_apps.local_client import LocalClient
from taskferry_apps.settings import owner_token_path
from tests.cli.conftest import Shell, owner_with
from tests.ports import at_free_ports
from tests.warm import Started, WarmStage

from .town import Town

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page

HERE = Path(__file__).parent
#: Whoever runs the other tests need not have the browser's driver, which these files import.
collect_ignore_glob = [] if importlib.util.find_spec("playwright") else ["test_*.py"]
AXE = HERE / "node_modules" / "axe-core" / "axe.min.js"
PATIENCE_MS = 15_000
WIDE, NARROW, HUGE = 1280, 360, 2560


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs the browser."""
    files = {path for path in {item.path for item in items} if HERE in path.parents}
    for item in items:
        if item.path in files:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.timeout(300))


def _missing() -> str:
    """What is missing here; "" if all is there."""
    if importlib.util.find_spec("playwright") is None:
        return "playwright is not installed: run make browser-setup"
    if chromium() is None:
        return "there is no Chromium: install Debian's package, or name one in TASKFERRY_TEST_BROWSER"
    return "" if AXE.is_file() else "axe-core is not installed: run make browser-setup"


def chromium() -> str | None:
    """The browser's program."""
    return os.environ.get("TASKFERRY_TEST_BROWSER") or shutil.which("chromium")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium, without a window."""
    missing = _missing()
    if missing and os.environ.get("CI"):
        pytest.fail(missing)
    if missing:
        pytest.skip(missing)
    from playwright.sync_api import expect, sync_playwright

    # What is awaited is given as long as what is to be clicked; by itself it is a third of that.
    expect.set_options(timeout=PATIENCE_MS)

    # Root is refused Chromium's sandbox; what is opened here are our own pages.
    flags = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=chromium(), args=flags)
        yield started
        started.close()


@attrs.define
class Watched:
    """What a page must not do, as it happens."""

    faults: list[str] = attrs.field(factory=list)
    expected: list[str] = attrs.field(factory=list)
    """Parts of faults that a test brings about itself."""

    def follow(self, page: Page) -> None:
        """Note what this page does."""
        page.on("console", lambda message: self._said(message))  # noqa: PLW0108 - it keeps attributes there
        page.on("pageerror", lambda error: self._note(f"script: {error}"))
        page.on("request", lambda request: self._asked(page, request.url))

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self._note(f"{message.text} at {message.location.get('url', '')}")

    def _asked(self, page: Page, url: str) -> None:
        there, here = urlsplit(url), urlsplit(page.url)
        if here.netloc and there.scheme in ("http", "https") and there.netloc != here.netloc:
            self._note(f"asked {url} from {page.url}")

    def _note(self, fault: str) -> None:
        if not any(part in fault for part in self.expected):
            self.faults.append(fault)


@attrs.define
class Seat:
    """An owner in front of a browser: the shell beside it, and one page that is open."""

    shell: Shell
    context: BrowserContext
    page: Page
    watched: Watched
    origin: str = ""

    def enter(self, room: str = "") -> Page:
        """Come in by a new one-time link."""
        way_in = self.shell("dashboard", *([room] if room else []), "--json").json()
        url = str(way_in["url"])
        self.origin = f"{urlsplit(url).scheme}://{urlsplit(url).netloc}"
        self.page.goto(url)
        return self.page

    def go(self, path: str) -> Page:
        """Open a page of the daemon."""
        answer = self.page.goto(self.origin + path)
        assert answer is not None
        assert answer.status < 400, f"{path}: {answer.status}"
        return self.page

    def more(self) -> Page:
        """One more tab."""
        page = self.context.new_page()
        self.watched.follow(page)
        return page


Sit = Callable[..., Seat]


@pytest.fixture
def sit(browser: Browser) -> Iterator[Sit]:
    """Put an owner before a browser of their own: `sit(shell, width=…, dark=…)`."""
    seats: list[Seat] = []

    def seated(shell: Shell, *, width: int = WIDE, dark: bool = False, **settings: Any) -> Seat:
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
            **settings,
        )
        context.set_default_timeout(PATIENCE_MS)
        page, watched = context.new_page(), Watched()
        watched.follow(page)
        seats.append(Seat(shell, context, page, watched))
        return seats[-1]

    yield seated
    faults = [fault for seat in seats for fault in seat.watched.faults]
    for seat in seats:
        seat.context.close()
    assert faults == []


class _Stage(WarmStage):
    """A stage on which a daemon can be started again at its address, which browsers go by."""

    def begin(self, words: Sequence[str], environment: Mapping[str, str], output: IO[bytes]) -> Started:
        """Start the program at a port that it can have again."""
        return super().begin(at_free_ports(words), environment, output)


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A folder for processes that end with the tests."""
    with _Stage(tmp_path_factory.mktemp("stage")) as stage:
        yield stage


@pytest.fixture(scope="session")
def relay(stage: Stage) -> str:
    """A relay's address."""
    url, _ = stage.start_relay()
    return url


@pytest.fixture(scope="session")
def alice(stage: Stage, relay: str) -> Shell:
    """Alice, with the agent `requester`."""
    return owner_with(stage, relay, "alice", "requester")


@pytest.fixture(scope="session")
def bob(stage: Stage, relay: str) -> Shell:
    """Bob, with the agent `writer`."""
    return owner_with(stage, relay, "bob", "writer")


@pytest.fixture(scope="session")
def pair(lived: Town, alice: Shell, bob: Shell) -> tuple[Shell, Shell]:
    """Both, their agents connected; tasks pass without waiting for Bob."""
    return alice, bob


@pytest.fixture(scope="session")
def lived(alice: Shell, bob: Shell) -> Iterator[Town]:
    """What both have lived through, and how to speak to their daemons."""
    with LocalClient(*_access(alice)) as of_alice, LocalClient(*_access(bob)) as of_bob:
        town = Town(of_alice, of_bob)
        town.settle()
        yield town


def _access(shell: Shell) -> tuple[str, str]:
    """Address and credential of a shell's daemon."""
    where = json.loads((shell.data / "daemon.json").read_text())
    return str(where["url"]), owner_token_path(shell.data).read_text().strip()


def is_too_wide(page: Page) -> bool:
    """Whether one has to scroll sideways."""
    wide: bool = page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
    return wide
