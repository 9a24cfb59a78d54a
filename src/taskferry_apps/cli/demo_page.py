"""How the demo tells its story on a terminal."""

from __future__ import annotations

import click

from ..demo.play import Audience
from .render import clean

__all__ = ["PrintingAudience"]

_WIDTH = 10
_COLOURS = {"alice": "cyan", "requester": "cyan", "bob": "magenta", "writer": "magenta", "relay": "yellow"}


class PrintingAudience(Audience):
    """Prints who does what, and beside it what the relay saw of it."""

    def act(self, title: str) -> None:
        """A heading."""
        click.secho(f"\n{title}\n", bold=True)

    def says(self, who: str, words: str) -> None:
        """One line under a name."""
        click.secho(f"  {who:>{_WIDTH}}  ", fg=_COLOURS.get(who), nl=False)
        click.echo(clean(words) if not words.startswith("    ") else "    " + clean(words.strip()))

    def relay_saw(self, sender: str, recipient: str, cls: str, size: int) -> None:
        """One dim line: all that the relay knows."""
        seen = f"{clean(sender)} -> {clean(recipient)}  {clean(cls)}  {size:,} bytes"
        click.secho(f"  {'':>{_WIDTH}}  relay saw: {seen}", dim=True)

    def check(self, claim: str, held: bool, found: str) -> None:
        """A claim with its mark."""
        click.secho(f"  {'holds' if held else 'FAILS':>{_WIDTH}}  ", fg="green" if held else "red", nl=False)
        click.echo(clean(claim))
        click.secho(f"  {'':>{_WIDTH}}  {clean(found)}", dim=True)
