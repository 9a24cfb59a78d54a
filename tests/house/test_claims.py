"""What documents name is there: settings, targets of make, files, modules; and what they count is so."""

import re
from pathlib import Path
from typing import Any

import attrs
import pytest

from taskferry_apps.breaker_settings import read_limits
from taskferry_apps.cli.invite import create as invite_create
from taskferry_apps.cli.worker import worker
from taskferry_apps.daemon.asked import ASKED_MS
from taskferry_apps.daemon.audit_hours import DISTINCT
from taskferry_apps.daemon.bounds import BOUNDS
from taskferry_apps.daemon.connections import PAUSE_MS
from taskferry_apps.daemon.draft import LIFETIME_MS
from taskferry_apps.daemon.grants import Wish
from taskferry_apps.daemon.keys import PACES, ROTATE_AFTER_MS, ROTATIONS
from taskferry_apps.settings import DaemonSettings, RelaySettings
from taskferry_protocol.breakers import DEFAULT_LIMITS
from taskferry_protocol.limits import (
    CONTACTS,
    DAY_MS,
    HOPS,
    INVITE_LIFETIME_MS,
    INVITE_USES,
    LINKING_MS,
    MINUTE_MS,
)
from taskferry_protocol.limits import LIFETIME_MS as PROTOCOL_LIFETIME_MS
from taskferry_protocol.permissions import LEAST_ARTIFACT_BYTES
from taskferry_protocol.runtimes import LEASE_LEAST_MS, LEASE_MOST_MS, LEASE_MS
from taskferry_stores.rules import EVIDENCE_OF_ONE
from taskferry_stores.sqlite.files import WAL_KEPT_BYTES
from taskferry_stores.sqlite.history_rows import SPANS_MS
from taskferry_stores.sqlite.log_length import CHECKPOINT_BYTES
from tests.floods.trial import MEMORY_BOUND_MIB, PATIENCE_MS

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
    assert "`--output-limit` (4 MiB)" in page
    assert usual["output_limit"] == 4 * 1_048_576
    assert "`--disk-limit` (1 GiB)" in page
    assert usual["disk_limit"] == 1_073_741_824
    assert f"`--lease` ({LEASE_MS // 1_000} seconds; {LEASE_LEAST_MS // 1_000} seconds to an hour)" in page
    assert LEASE_MOST_MS == 60 * 60 * 1_000


DECISIONS = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))


@pytest.mark.parametrize("page", DECISIONS, ids=lambda path: path.stem)
def test_a_decision_has_the_number_of_its_file_and_the_index_has_its_words(page):
    """Whoever is told of decision 12 finds it under twelve, by the same title."""
    number = int(page.name[:4])
    first = page.read_text("utf-8").partition("\n")[0]
    assert first.startswith(f"# {number}. ")
    title = first.removeprefix(f"# {number}. ")
    index = (page.parent / "index.md").read_text("utf-8")
    assert f"\n{number}. [{title}]({page.name})" in index


def test_the_page_on_permissions_has_the_times_and_counts_of_the_code():
    """How long a decline keeps out and a request is open, what the least is, how many questions wait."""
    page = words("permissions.md")
    assert PAUSE_MS == 7 * DAY_MS
    assert "a week from now unless you say otherwise" in page
    assert LIFETIME_MS == 14 * DAY_MS
    assert "**Expired**: nobody answered in two weeks." in page
    assert f"no open tasks, {LEAST_ARTIFACT_BYTES:,} bytes" in page
    assert f"{BOUNDS.questions} of an agent wait at once" in page
    assert CONTACTS == 3
    assert "three small requests that wait for an answer" in page


def test_the_page_on_breakers_has_the_bounds_of_what_is_held_and_set():
    """What of one pair is held, and between which numbers a limit may lie."""
    page = words("breakers.md")
    assert (
        f"Of one pair {BOUNDS.held_items} items, or {BOUNDS.held_bytes // 1_048_576} MiB, are held." in page
    )
    assert read_limits(f"hops={HOPS},messages=100000,repeats=1") is not None
    for beyond in (f"hops={HOPS + 1}", "messages=100001", "repeats=0"):
        with pytest.raises(ValueError, match="from 1 to"):
            read_limits(beyond)
    assert f"`hops` up to {HOPS}, everything else up to 100,000, at least 1" in page


def test_the_page_on_invites_has_the_bounds_of_the_command_and_the_protocol():
    """For how many, and for how long, where nothing else is said and at most."""
    page = words("invites.md")
    usual: dict[str | None, Any] = {option.name: option.default for option in invite_create.params}
    assert (usual["uses"], usual["expires"]) == (1, "7d")
    assert "for one request and seven days" in page
    assert f"`--uses` (to {INVITE_USES:,})" in page
    assert f"(a minute to {INVITE_LIFETIME_MS // DAY_MS} days)" in page


def test_the_page_on_identity_has_the_numbers_of_the_code():
    """How often keys are replaced, and how long two machines have to be linked and an action waits."""
    page = words("identity.md")
    assert ROTATE_AFTER_MS == 7 * DAY_MS
    assert PACES == ((0.5, 1), (0.75, 4), (1.0, 26))
    assert f"half of the {ROTATIONS:,} places for it are taken" in page
    assert "every four weeks, and in the last quarter twice a year" in page
    assert PROTOCOL_LIFETIME_MS == 30 * DAY_MS
    assert "kept for the 30 days" in page
    assert LINKING_MS == 10 * MINUTE_MS
    assert "There is one try, and ten minutes" in page
    assert ASKED_MS == DAY_MS
    assert "the request waits, for a day at most" in page


def test_the_pages_on_limits_and_safety_have_the_numbers_that_no_table_writes():
    """Places at the local port, rows of breakers and traffic, pairs of evidence, the log beside the file."""
    page, model = words("limits.md"), words("security-model.md")
    assert f"all {BOUNDS.connections} connections to the local port" in page
    assert f"all {BOUNDS.connections} places at the local port" in model
    assert f"{DEFAULT_LIMITS.talk_a_day + DEFAULT_LIMITS.events_a_day:,} rows at most by the usual" in page
    assert EVIDENCE_OF_ONE == 8
    assert "eight pairs for each device or account" in page
    assert 47_500 < sum(BOUNDS.traffic_days * DAY_MS // span for span in SPANS_MS) < 48_500
    assert "in every quarter of every hour 48,000 rows" in page
    assert f"copied into it at {CHECKPOINT_BYTES // 1_048_576} MiB and more" in page
    assert f"cut to {WAL_KEPT_BYTES // 1_048_576} MiB" in page
    assert DISTINCT == 16
    assert "sixteen different things of a kind" in page


def test_the_page_on_floods_has_the_bounds_of_the_trial():
    """Memory beyond what was held before, and lateness."""
    page = words("floods.md")
    assert f"never holds more than {MEMORY_BOUND_MIB} MiB beyond" in page
    assert PATIENCE_MS == 2_000
    assert "within 2 s of being written, plus four times" in page


def words(page: str) -> str:
    """A page's words, wherever its lines break."""
    return " ".join((ROOT / "docs" / page).read_text("utf-8").split())


@pytest.mark.parametrize("page", ["invites.md", "breakers.md"])
def test_the_codes_that_a_page_explains_are_codes_of_the_programs(page):
    """Whoever looks a code up has met it, and whoever reads of one may meet it."""
    table = (ROOT / "docs" / page).read_text("utf-8").partition("| code |")[2].partition("\n\n")[0]
    explained = set(re.findall(r"^\| `([a-z-]+)`", table, re.MULTILINE))
    assert len(explained) > 4
    code = "\n".join(path.read_text("utf-8") for path in (ROOT / "src").rglob("*.py"))
    assert not {name for name in explained if f'"{name}"' not in code}
