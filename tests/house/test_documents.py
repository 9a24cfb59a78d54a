"""Documents that readers can follow: no link leads nowhere, no page is out of reach."""

import re
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path
    for folder in (ROOT.glob("*.md"), (ROOT / "docs").rglob("*.md"), (ROOT / "spec").glob("*.md"))
    for path in folder
)

LINK = re.compile(r"\[[^\]]*\]\(<?([^)\s>]+)>?[^)]*\)")
CODE = re.compile(r"^(```|~~~).*?^\1|`[^`\n]*`", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*$", re.MULTILINE)


def name(path: Path) -> str:
    """Name a page by its path in the repository."""
    return str(path.relative_to(ROOT))


def links(page: Path) -> list[str]:
    """List the targets of a page's links, in order, those in code left out."""
    return LINK.findall(CODE.sub("", page.read_text("utf-8")))


def anchors(page: Path) -> set[str]:
    """List the anchors that a page's headings make, by the rule that repository hosts share."""
    headings = HEADING.findall(re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.M | re.S))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_relative_link_leads_somewhere(page):
    """A link to a file finds it, and a link to a heading finds the heading."""
    for link in links(page):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = unquote(link).partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{name(page)} links to {link}, which does not exist"
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), f"{name(page)} links to {link}, and no heading is so named"


@pytest.mark.parametrize("folder", ["docs", "docs/decisions"])
def test_every_page_is_reached_from_its_index(folder):
    """A folder's index links to each page in it, so that no page is found by luck only."""
    index = ROOT / folder / "index.md"
    linked = {(index.parent / link.partition("#")[0]).resolve() for link in links(index)}
    missing = {
        page.name for page in index.parent.glob("*.md") if page != index and page.resolve() not in linked
    }
    assert not missing
