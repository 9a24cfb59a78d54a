"""What the writer agent does for a living: an outline of a Markdown document with word counts, and its links.

Pure functions of the text. Markdown is read by markdown-it (CommonMark); the rules for a link's syntax are
RFC 3986's, as far as one can check without going anywhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Final
from urllib.parse import urlsplit

import attrs
from markdown_it import MarkdownIt
from markdown_it.token import Token

__all__ = [
    "Link",
    "Report",
    "Section",
    "Thoroughness",
    "link_fault",
    "make_report",
    "read_markdown",
    "render_markdown",
]


@attrs.frozen
class Section:
    """A heading and what stands under it up to the next heading; level 0 is the text before the first one."""

    level: int
    title: str
    words: int


@attrs.frozen
class Link:
    """One link or image as written, the line (from 1) of its block, and what is wrong with its syntax."""

    target: str
    text: str
    line: int
    fault: str


@attrs.frozen
class Thoroughness:
    """How far a report goes. A first draft is quick; a revision asks for more."""

    deepest_heading: int
    with_images: bool
    with_summary: bool


DRAFT: Final = Thoroughness(deepest_heading=2, with_images=False, with_summary=False)
FULL: Final = Thoroughness(deepest_heading=6, with_images=True, with_summary=True)


@attrs.frozen
class Report:
    """The finished work."""

    sections: tuple[Section, ...]
    links: tuple[Link, ...]
    with_summary: bool

    def to_json(self) -> dict[str, object]:
        """The report as the artifact's JSON: `outline`, `links`, and `summary` where there is one."""
        value: dict[str, object] = {
            "outline": [attrs.asdict(section) for section in self.sections],
            "links": [
                {
                    "target": link.target,
                    "text": link.text,
                    "line": link.line,
                    "ok": not link.fault,
                    "fault": link.fault,
                }
                for link in self.links
            ],
        }
        if self.with_summary:
            value["summary"] = {
                "sections": len(self.sections),
                "words": sum(section.words for section in self.sections),
                "links": len(self.links),
                "faults": sum(bool(link.fault) for link in self.links),
            }
        return value


def make_report(text: str, how: Thoroughness) -> Report:
    """Outline and check `text`, as thoroughly as `how` says."""
    tokens = read_markdown(text)
    return Report(
        tuple(_sections(text, tokens, how.deepest_heading)),
        tuple(_links(tokens, how)),
        how.with_summary,
    )


class _AsWritten(MarkdownIt):
    """A reader that mends no target and hides none: targets are what is judged here."""

    def normalizeLink(self, url: str) -> str:  # noqa: N802 - the name in markdown-it
        return url

    def validateLink(self, url: str) -> bool:  # noqa: N802 - the name in markdown-it
        return True


def read_markdown(text: str) -> list[Token]:
    """The CommonMark tokens of `text`, every link's target as it was written."""
    return _AsWritten("commonmark").parse(text)


def _sections(text: str, tokens: list[Token], deepest: int) -> Iterator[Section]:
    # Lines as Markdown counts them: str.splitlines() would also split at form feeds.
    lines = text.split("\n")
    starts = [(0, 0, "(before the first heading)")]
    for token, inline in pairwise(tokens):
        level = int(token.tag[1]) if token.type == "heading_open" else 0
        if level and level <= deepest and token.map:
            starts.append((token.map[0], level, plain_text(inline)))
    ends = [start for start, _, _ in starts[1:]] + [len(lines)]
    for (start, level, title), end in zip(starts, ends, strict=True):
        words = sum(len(line.split()) for line in lines[start:end])
        if level or words:
            yield Section(level, title, words)


def plain_text(inline: Token) -> str:
    """The text of an inline token without its marks."""
    return "".join(child.content for child in inline.children or [] if child.type in ("text", "code_inline"))


def _links(tokens: list[Token], how: Thoroughness) -> Iterator[Link]:
    for token in tokens:
        children = token.children or []
        line = token.map[0] + 1 if token.map else 0
        for place, child in enumerate(children):
            if child.type == "link_open":
                words = (
                    part.content for part in children[place + 1 :] if part.type in ("text", "code_inline")
                )
                yield _link(str(child.attrGet("href") or ""), next(words, ""), line)
            elif child.type == "image" and how.with_images:
                yield _link(str(child.attrGet("src") or ""), child.content, line)


def _link(target: str, text: str, line: int) -> Link:
    return Link(target, text, line, link_fault(target))


_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*", re.ASCII)
_ALLOWED: Final = re.compile(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]*", re.ASCII)
_HOST: Final = re.compile(r"(?!-)[A-Za-z0-9._~!$&'()*+,;=%-]{1,253}|\[[0-9A-Fa-f:.]+\]", re.ASCII)


def link_fault(target: str) -> str:
    """What is wrong with the syntax of a link's target (RFC 3986), in words; "" if nothing is."""
    if not target:
        return "the target is empty"
    if not _ALLOWED.fullmatch(target):
        return "holds a character that a URI cannot hold"
    if re.search(r"%(?![0-9A-Fa-f]{2})", target):
        return "a percent sign is not followed by two hexadecimal digits"
    try:
        parts = urlsplit(target)
        port = parts.port
    except ValueError as error:
        return f"cannot be taken apart: {error}"
    if ":" in target.partition("/")[0] and not _SCHEME.fullmatch(parts.scheme):
        return "the scheme is not a scheme"
    if parts.scheme in ("http", "https", "ws", "wss", "ftp"):
        if not target.lower().startswith(parts.scheme + "://"):
            return f"{parts.scheme} needs two slashes"
        if not parts.hostname or not _HOST.fullmatch(
            parts.netloc.rpartition("@")[2].removesuffix(f":{port}")
        ):
            return "the host is missing or not a host name"
    if parts.scheme == "mailto" and not re.fullmatch(r"[^@/?#]+@[^@/?#]+", parts.path):
        return "not a mail address"
    return ""


def render_markdown(report: Report, title: str) -> str:
    """The report as a Markdown document for people."""
    lines = [f"# Report on {title}", "", "## Outline", "", "| words | section |", "|---:|---|"]
    lines += [
        f"| {section.words} | {'&nbsp;&nbsp;' * max(0, section.level - 1)}{_cell(section.title)} |"
        for section in report.sections
    ]
    lines += ["", "## Links", ""]
    lines += [
        f"- line {link.line}: `{_cell(link.target)}`: {link.fault or 'well formed'}" for link in report.links
    ] or ["No links."]
    if report.with_summary:
        faults = sum(bool(link.fault) for link in report.links)
        words = sum(section.words for section in report.sections)
        lines += ["", "## Summary", ""]
        lines += [
            f"{len(report.sections)} sections, {words} words, {len(report.links)} links, {faults} faulty."
        ]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("`", "'")
