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
