"""Style sheets of pages say each thing once, so that a change of one place is the whole change."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

APPS = Path(__file__).parents[2] / "src" / "taskferry_apps"
SHEETS = sorted(APPS.rglob("*.css"))
RULE = re.compile(r"(?P<media>@media[^{]*)\{|(?P<selectors>[^{}]+)\{(?P<body>[^{}]*)\}|\}")


def said(text: str) -> Counter[tuple[str, str, str]]:
    """How often each property is set, by media query and selector."""
    found: Counter[tuple[str, str, str]] = Counter()
    media = ""
    for rule in RULE.finditer(re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)):
        if rule["media"]:
            media = rule["media"].strip()
        elif rule["selectors"] is None:
            media = ""
        else:
            names = [line.partition(":")[0].strip() for line in rule["body"].split(";") if line.strip()]
            for selector in rule["selectors"].split(","):
                found.update((media, " ".join(selector.split()), name) for name in names)
    return found


@pytest.mark.parametrize("sheet", SHEETS, ids=lambda path: str(path.relative_to(APPS)))
def test_no_property_of_a_selector_is_set_twice(sheet: Path) -> None:
    """What a later rule sets again makes the earlier one mean nothing."""
    counted = said(sheet.read_text("utf-8"))
    assert counted, "nothing was read"
    assert [what for what, times in counted.items() if times > 1] == []


def test_a_property_that_is_set_again_is_found() -> None:
    """Within one media query, whatever stands between."""
    text = "a, b { margin: 0; } c { margin: 0; } @media (x) { a { margin: 1px; } } b { margin: 2px; }"
    assert [what for what, times in said(text).items() if times > 1] == [("", "b", "margin")]
