"""The writer's work and the requester's review of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskferry_apps.demo.report import DRAFT, FULL, link_fault, make_report, render_markdown
from taskferry_apps.demo.review import shortcomings

DOCUMENT = """Before.

# One
two three [in](https://a.example/x) and <https://b.example>

## Two ##
![picture](a%zzb.png)

### Three
[ref][r]

```
# not a heading
```

[r]: http://:80/
"""


def test_full_report_lists_every_heading_and_link() -> None:
    """A full report has the outline, the words that add up, and each link with its verdict."""
    report = make_report(DOCUMENT, FULL)
    assert [(section.level, section.title) for section in report.sections[1:]] == [
        (1, "One"),
        (2, "Two"),
        (3, "Three"),
    ]
    assert sum(section.words for section in report.sections) == len(DOCUMENT.split())
    assert [(link.target, bool(link.fault)) for link in report.links] == [
        ("https://a.example/x", False),
        ("https://b.example", False),
        ("a%zzb.png", True),
        ("http://:80/", True),
    ]
    assert shortcomings(DOCUMENT, report.to_json()) == []
    assert "4 links, 2 faulty" in render_markdown(report, "a document")


def test_draft_is_found_wanting_with_reasons() -> None:
    """The quick draft misses deep headings, images and the summary, and the review names each."""
    reasons = shortcomings(DOCUMENT, make_report(DOCUMENT, DRAFT).to_json())
    assert len(reasons) == 3
    assert "deeper ones are missing" in reasons[0]
    assert "a%zzb.png" in reasons[1]
    assert "no summary" in reasons[2]


@given(st.text(alphabet="#[]()<>!`*- ab:/\n\t\x0c\u2028", max_size=300))
def test_full_report_always_satisfies_the_review(text: str) -> None:
    """Whatever the document, the full report is accepted and the draft is not."""
    assert shortcomings(text, make_report(text, FULL).to_json()) == []
    assert shortcomings(text, make_report(text, DRAFT).to_json())


def test_forged_report_is_found_out() -> None:
    """A report that drops a section's words or invents a total does not pass."""
    report = make_report(DOCUMENT, FULL).to_json()
    report["summary"] = {"sections": 0, "words": 0, "links": 0, "faults": 0}
    assert shortcomings(DOCUMENT, report) == ["The summary does not agree with the lists above it."]
    assert shortcomings(DOCUMENT, {"outline": "none", "links": 3})


@pytest.mark.parametrize(
    ("target", "sound"),
    [
        ("https://example.org/a?b=c#d", True),
        ("http://[::1]:8080/", True),
        ("docs/page.md#part", True),
        ("#part", True),
        ("mailto:someone@example.org", True),
        ("", False),
        ("https:/example.org", False),
        ("https://", False),
        ("http://example.org:99999/", False),
        ("1http:x", False),
        ("mailto:nobody", False),
        ("http://exa mple", False),
        ("a%2", False),
        ("https://-bad.example/", False),
    ],
)
def test_link_syntax(target: str, sound: bool) -> None:
    """Targets are judged by RFC 3986 as far as can be told offline."""
    assert (link_fault(target) == "") is sound
