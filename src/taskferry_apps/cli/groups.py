"""Groups of commands whose help lists each with a whole sentence."""

from __future__ import annotations

from typing import Final

import click

__all__ = ["Group"]

#: More than any docstring's first sentence.
_WHOLE: Final = 1_000


class Group(click.Group):
    """A group that breaks a long sentence on a command into lines, where click cuts it off."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands, each with the first sentence of its help."""
        found = ((name, self.get_command(ctx, name)) for name in self.list_commands(ctx))
        shown = [(name, command) for name, command in found if command is not None and not command.hidden]
        if shown:
            with formatter.section("Commands"):
                formatter.write_dl([(name, command.get_short_help_str(_WHOLE)) for name, command in shown])
