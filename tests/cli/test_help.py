"""What `--help` shows on a usual terminal."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest

from taskferry_apps.cli.__main__ import cli

COLUMNS = 80


def commands(command: click.Command, above: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """A command and those below it, each with all of its words."""
    words = (*above, command.name or "")
    yield " ".join(words), command
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            below = command.get_command(click.Context(command), name)
            assert below is not None
            yield from commands(below, words)


ALL = dict(commands(cli))


@pytest.mark.parametrize("words", ALL)
def test_help_fits_and_tells_each_command_in_a_whole_sentence(words: str) -> None:
    """No line is broken by a terminal of 80 columns, and nothing in a list of commands is cut off."""
    context = click.Context(ALL[words], info_name=words, terminal_width=COLUMNS, max_content_width=COLUMNS)
    lines = ALL[words].get_help(context).splitlines()
    assert [line for line in lines if len(line) > COLUMNS] == []
    assert [line for line in lines if line.endswith("...") and not line.startswith("Usage:")] == []
