"""What the requester agent checks: does the delivered report meet the requirements that the task named?

It does not trust the writer's arithmetic: words, headings and links are counted again from the original.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from .report import read_markdown

REQUIREMENTS: Final = (
    "The outline lists every heading of every level, in order.",
    "Each section carries its number of words, and together they make up the whole document.",
    "Every link and every image is listed, with a verdict on the syntax of its target.",
    "A summary states the number of sections, words, links and faulty links.",
)

__all__ = ["REQUIREMENTS", "shortcomings"]


def shortcomings(text: str, report: Mapping[str, object]) -> list[str]:
    """What is wanting in `report` on `text`, each in a sentence that the writer can act on."""
    return [*_outline(text, report), *_links(text, report), *_summary(report)]


def _entries(report: Mapping[str, object], key: str) -> list[Mapping[str, object]]:
    value = report.get(key)
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _outline(text: str, report: Mapping[str, object]) -> Iterator[str]:
    tokens = read_markdown(text)
    expected = [int(token.tag[1]) for token in tokens if token.type == "heading_open"]
    listed = [level for entry in _entries(report, "outline") if (level := entry.get("level"))]
    if listed != expected:
        missing = len(expected) - len(listed)
        yield f"The outline lists {len(listed)} headings of {len(expected)}: " + (
            f"{missing} deeper ones are missing." if missing > 0 else "their levels or order differ."
        )
    words = sum(_numbers(_entries(report, "outline"), "words"))
    if words != len(text.split()):
        yield f"The sections add up to {words} words; the document has {len(text.split())}."


def _numbers(entries: Sequence[Mapping[str, object]], key: str) -> list[int]:
    return [value for entry in entries if isinstance(value := entry.get(key), int)]


def _links(text: str, report: Mapping[str, object]) -> Iterator[str]:
    found: list[str] = []
    for token in read_markdown(text):
        for child in token.children or []:
            if child.type in ("link_open", "image"):
                found.append(str(child.attrGet("href") or child.attrGet("src") or ""))
    listed = [entry.get("target") for entry in _entries(report, "links")]
    missing = [target for target in dict.fromkeys(found) if found.count(target) > listed.count(target)]
    if missing:
        first = missing[0] or "(an empty target)"
        yield f"Links or images are not listed: {len(missing)}, the first is {first}."
    if any(entry.get("ok") is not (entry.get("fault") == "") for entry in _entries(report, "links")):
        yield "A link is called faulty without a reason, or sound in spite of one."


def _summary(report: Mapping[str, object]) -> Iterator[str]:
    summary = report.get("summary")
    links = _entries(report, "links")
    outline = _entries(report, "outline")
    expected = {
        "sections": len(outline),
        "words": sum(_numbers(outline, "words")),
        "links": len(links),
        "faults": sum(entry.get("ok") is False for entry in links),
    }
    if summary is None:
        yield "There is no summary of sections, words, links and faulty links."
    elif summary != expected:
        yield "The summary does not agree with the lists above it."
