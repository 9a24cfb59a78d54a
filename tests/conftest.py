"""What every test shares: the profiles of Hypothesis, Ctrl-C, where files lie, and the order."""

import gc
import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# A loaded machine is no reason to fail, so neither deadlines nor slow generation count as failures.
_COMMON = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

settings.register_profile("default", _COMMON, max_examples=60)
# The same examples every time and none remembered: a red build stays red until the code is mended.
settings.register_profile("ci", _COMMON, max_examples=100, derandomize=True, database=None, print_blob=True)
settings.register_profile("thorough", _COMMON, max_examples=5_000, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

# A shell starts what it runs in the background deaf to Ctrl-C, and whoever is started from there is so, too.
# Programs that tests tell to stop that way must hear it, however the tests were started.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

#: Folders whose files mostly start programs, or wait. They come first, so that no worker ends alone with one.
_SLOW = frozenset(
    {
        "cli",
        "client",
        "crash",
        "crowd",
        "daemon",
        "demo",
        "devices",
        "disk",
        "floods",
        "mcp",
        "simulation",
        "telemetry",
        "transports",
        "upgrades",
        "worker",
    }
)
_HERE = Path(__file__).parent

#: A file system in memory, and what must be free there for the tests' files.
_MEMORY = Path("/dev/shm")
_ROOM_BYTES = 4 << 30


def pytest_configure() -> None:
    """Look for cycles seldom, also among what is imported; keep files in memory."""
    gc.set_threshold(20_000, 20, 20)
    _keep_files_in_memory()


def _keep_files_in_memory() -> None:
    """Have tests' files in memory where there is room: on a disk, the suite waits for it at each commit.

    What is killed there leaves the same files behind. For what a disk may lose, `tests/disk` has one.
    """
    try:
        free = os.statvfs(_MEMORY)
    except OSError:
        return
    # Some tests start programs that they have written.
    is_fit = os.access(_MEMORY, os.W_OK) and not free.f_flag & os.ST_NOEXEC
    if is_fit and free.f_bavail * free.f_frsize >= _ROOM_BYTES:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_MEMORY))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the slow folders first; within a folder, and among the others, the order stays.

    `make test-journeys` reads only files that name its marker: a test marked otherwise would never run.
    """
    marked = {item.path for item in items if item.get_closest_marker("journey") is not None}
    unnamed = sorted(str(path) for path in marked if "mark.journey" not in path.read_text(encoding="utf-8"))
    if unnamed:
        raise pytest.UsageError(f"mark journeys in the file itself: {', '.join(unnamed)}")
    is_quick = {path: path.relative_to(_HERE).parts[0] not in _SLOW for path in {item.path for item in items}}
    items.sort(key=lambda item: is_quick[item.path])


def pytest_collection_finish() -> None:
    """Look for no cycles among what stays to the end: it took a seventh of the tests' time."""
    gc.collect()
    gc.freeze()
