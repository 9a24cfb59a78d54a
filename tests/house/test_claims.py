"""What documents name is there: settings, targets of make, files, modules; and what they count is so."""

import re
from pathlib import Path
from typing import Any

import attrs
import pytest

from taskferry_apps.cli.worker import worker
from taskferry_apps.daemon.grants import Wish
from taskferry_apps.settings import DaemonSettings, RelaySettings
from taskferry_protocol.breakers import DEFAULT_LIMITS
from taskferry_protocol.runtimes import LEASE_LEAST_MS, LEASE_MOST_MS, LEASE_MS

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path
    for folder in (ROOT.glob("*.md"), (ROOT / "docs").rglob("*.md"), (ROOT / "spec").glob("*.md"))
    for path in folder
)
FOLDERS = "src|tests|spec|docs|tools|deploy|integrations|examples|benchmarks|requirements"
NAMED = re.compile(rf"`((?:{FOLDERS})/[\w./*-]*)`")


def test_the_table_of_settings_has_every_variable_that_sets_one():
    """Each is named whole, or, of those that relay and daemon have alike, by its end."""
    page = (ROOT / "docs" / "cli.md").read_text("utf-8")
    rows = page.partition("## Settings")[2].partition("\n## ")[0]
    named = set(re.findall(r"`(TASKFERRY_\w+)`", rows))
    ends = tuple(re.findall(r"`\.\.\.(_\w+)`", rows))
    variables = {
        name
        for settings in (RelaySettings, DaemonSettings)
        for field in attrs.fields(settings)
        for name in field.metadata.get("environment", ())
    }
    assert {name for name in variables if not name.endswith(ends)} <= named
    assert named - variables == {"TASKFERRY_CONFIG", "TASKFERRY_LOCAL_URL"}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_targets_of_make_and_paths_that_a_page_names_are_there(page):
    """A reader who types or opens what stands in code finds it."""
    text = page.read_text("utf-8")
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z-]+)", text)) <= targets
    for path in NAMED.findall(text):
        assert list(ROOT.glob(path.rstrip("/"))), f"{page.name} names {path}"


def test_the_architecture_names_modules_that_are_there():
    """Those of the protocol package, where everything is decided."""
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    rows = page.partition("| subject | modules | text |")[2].partition("\n\n")[0]
    cells = [row.split("|")[2] for row in rows.splitlines()[2:]]
    named = {name for cell in cells for name in re.findall(r"`([\w*]+)/?`", cell)}
    assert len(named) > 20
    package = ROOT / "src" / "taskferry_protocol"
    assert not {name for name in named if not [*package.glob(name), *package.glob(f"{name}.py")]}


def cells(page: str, first: str) -> list[str]:
    """The cells of the row of a page's table that begins with `first`."""
    for line in (ROOT / "docs" / page).read_text("utf-8").splitlines():
        if line.startswith(f"| {first} |"):
            return [cell.strip() for cell in line.split("|")[1:-1]]
    raise AssertionError(f"docs/{page} has no row of {first}")


def test_the_page_on_permissions_has_the_numbers_of_approve():
    """What a connection is granted where its owner names nothing."""
    usual = Wish()
    assert cells("permissions.md", "`--rate`")[-1] == f"{usual.rate:,}"
    assert cells("permissions.md", "`--largest`")[-1] == f"{usual.largest:,}"
    assert cells("permissions.md", "`--task-budget`")[-1] == f"{usual.task_budget:,}"
    assert cells("permissions.md", "`--largest-artifact`")[-1] == f"{usual.largest_artifact:,}"
    assert cells("permissions.md", "`--gate`, `--no-gate`")[-1] == "it waits"
    assert cells("permissions.md", "`--auto-start`, `--no-auto-start`")[-1] == "they may not"
    assert (usual.human_gate, usual.auto_trigger) == (True, False)


def test_the_page_on_breakers_has_the_usual_limits():
    """Each beside the name by which it is set."""
    page = (ROOT / "docs" / "breakers.md").read_text("utf-8")
    limits = DEFAULT_LIMITS
    for usual, names in (
        (f"{limits.hops}", "`hops`"),
        (f"{limits.talk:,} and {limits.talk_a_day:,}", "`messages`, `messages-a-day`"),
        (f"{limits.events:,} and {limits.events_a_day:,}", "`events`, `events-a-day`"),
        (f"{limits.repeats}", "`repeats`"),
        (f"{limits.budget:,}", "`task-messages`"),
    ):
        assert f"| {usual} | {names} |" in page


def test_the_page_on_workers_has_the_limits_of_the_command():
    """Time, output, disk and lease, as they are where nobody names others."""
    usual: dict[str | None, Any] = {option.name: option.default for option in worker.params}
    page = (ROOT / "docs" / "workers.md").read_text("utf-8")
    assert "`--time-limit` (30 minutes)" in page
    assert usual["time_limit"] == "30m"
    assert f"`--output-limit` ({usual['output_limit'] // 1_048_576} MiB)" in page
    assert f"`--disk-limit` ({usual['disk_limit'] // 1_073_741_824} GiB)" in page
    assert f"`--lease` ({LEASE_MS // 1_000} seconds; {LEASE_LEAST_MS // 1_000} seconds to an hour)" in page
    assert LEASE_MOST_MS == 60 * 60 * 1_000
