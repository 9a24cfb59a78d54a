"""Commands in the documents exist, with the options that they are shown with."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from taskferry_apps.cli.__main__ import cli

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "SECURITY.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
SHOWN = re.compile(r"(?:^(?:\w+)?\$ +|`)taskferry ([^`\n]*)", re.MULTILINE)
#: What the system starts.
UNITS = sorted((ROOT / "deploy" / "systemd").glob("*.service"))
STARTED = re.compile(r"^ExecStart=\S+/taskferry ([^\n]*)", re.MULTILINE)


#: What pages say whole, from the mark that it begins with to the one that ends it or to what is joined on.
SOURCES = sorted(path for end in ("py", "html") for path in (ROOT / "src").rglob(f"pages/**/*.{end}"))
SAID = re.compile(r"""(?<=["'>])taskferry ([a-z][^"'<`\n\\]*)(?=["'<])""")
FILLED_IN = re.compile(r"\{[^{}]*\}+|\{\{.*?\}\}")


def shown_commands() -> list[tuple[str, str]]:
    """The page and the words after `taskferry` of each command line that a document shows, or a unit has."""
    return [
        (page.name, words)
        for pages, form in ((PAGES, SHOWN), (UNITS, STARTED))
        for page in pages
        for words in form.findall(page.read_text("utf-8"))
        if words.strip()
    ]


@pytest.mark.parametrize(("page", "shown"), shown_commands())
def test_a_command_in_a_document_exists(page: str, shown: str) -> None:
    """Its name, the name below it, and every option."""
    words = shlex.split(shown, comments=True)
    command: click.Command = cli
    context = click.Context(cli, info_name="taskferry")
    while words and isinstance(command, click.Group):
        if words[0].startswith("-"):
            if not _drop_option(command, context, words):
                break
            continue
        found = command.get_command(context, words[0])
        if found is None and command.invoke_without_command:
            break
        assert found is not None, f"{page} shows `taskferry {shown}`"
        command = found
        words.pop(0)
    known = {
        name for option in command.get_params(context) for name in (*option.opts, *option.secondary_opts)
    }
    known |= {"--help", "-h"}
    for word in words:
        if word == "--":
            # Behind it stands another program's command line.
            break
        if word.startswith("-") and len(word) > 1:
            assert word.partition("=")[0] in known, f"{page} shows `taskferry {shown}`"


def said_commands() -> list[tuple[str, str]]:
    """The file and the words after `taskferry` of each command that a page says."""
    return [
        (path.name, FILLED_IN.sub("x", f"{words}x" if words.endswith(" ") else words))
        for path in SOURCES
        for words in SAID.findall(path.read_text("utf-8"))
    ]


@pytest.mark.parametrize(("source", "said"), said_commands())
def test_a_command_on_a_page_is_taken_as_it_stands(source: str, said: str) -> None:
    """No option of it is unknown, and no word is one too many."""
    words = shlex.split(said)
    command: click.Command = cli
    context = click.Context(cli, info_name="taskferry")
    while isinstance(command, click.Group) and (words or not command.invoke_without_command):
        _, words, _ = command.make_parser(context).parse_args(words)
        found = command.get_command(context, words.pop(0)) if words else None
        assert found is not None, f"{source} says `taskferry {said}`"
        command = found
        context = click.Context(command, info_name=command.name, parent=context)
    _, left, _ = command.make_parser(context).parse_args(words)
    assert left == [] or context.allow_extra_args, f"{source} says `taskferry {said}`"


def test_the_pages_say_commands() -> None:
    """The search finds what it is there for."""
    assert len(said_commands()) > 50


def _drop_option(group: click.Group, context: click.Context, words: list[str]) -> bool:
    """Take an option of a group, and its value, away from before a command; False if it is not known."""
    name, equals, _ = words[0].partition("=")
    option = next((o for o in group.get_params(context) if name in o.opts), None)
    if not isinstance(option, click.Option):
        return False
    del words[: 1 if equals or option.is_flag else 2]
    return True


def test_the_documents_show_commands() -> None:
    """The search finds what it is there for."""
    assert len(shown_commands()) > 20
