"""`taskferry handler`: whether a click on a `taskferry:` link opens it here."""

from __future__ import annotations

import click

from .daemon_link import (
    daemon_options,
    data_directory,
    is_data_named,
    is_json_wanted,
    json_option,
    print_json,
)
from .groups import Group
from .outcome import CommandFailed, Exit
from .own_program import own_program

__all__ = ["handler"]


@click.group(cls=Group)
def handler() -> None:
    """Let a click on a `taskferry:` link open it with this program, for your user alone.

    A link only ever leads to a page of your own daemon that asks you. While a desktop opens a link, other
    users of this machine may see it among the arguments of processes; where that matters, use
    `taskferry open -`.

    \b
    Examples:
      taskferry handler install
      taskferry handler status
    """


@handler.command()
@json_option
@daemon_options
def install() -> None:
    """Register this program for `taskferry:` links. With --data, links go to that directory's daemon."""
    from ..url_handler import HandlerFailed, handler_for

    try:
        place = handler_for().install(_command())
    except (HandlerFailed, ValueError) as error:
        raise CommandFailed(f"Links were not registered: {error}", Exit.FAILED) from None
    if is_json_wanted():
        print_json({"ok": True, "installed": place})
        return
    click.echo(f"Links are opened by this program from now on: {place}")


def _command() -> list[str]:
    """What the desktop is to start; a link is added to it."""
    named = ["--data", str(data_directory().absolute())] if is_data_named() else []
    return [*own_program(), "open", "--browser", *named]


@handler.command()
@json_option
def remove() -> None:
    """Undo `install`."""
    from ..url_handler import HandlerFailed, handler_for

    try:
        removed = handler_for().remove()
    except HandlerFailed as error:
        raise CommandFailed(str(error), Exit.FAILED) from None
    if is_json_wanted():
        print_json({"ok": True, "removed": removed})
        return
    click.echo("Links are no longer opened by this program." if removed else "It was not registered.")


@handler.command()
@json_option
def status() -> None:
    """Say whether links are opened by this program."""
    from ..url_handler import HandlerFailed, handler_for

    try:
        place = handler_for().installed()
    except HandlerFailed as error:
        raise CommandFailed(str(error), Exit.FAILED) from None
    if is_json_wanted():
        print_json({"ok": True, "installed": place or None})
        return
    click.echo(f"Registered: {place}" if place else "Not registered. Do it with: taskferry handler install")
