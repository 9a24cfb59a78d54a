"""What documents name is there: settings, targets of make, files, modules."""

import re
from pathlib import Path

import attrs
import pytest

from taskferry_apps.settings import DaemonSettings, RelaySettings

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
