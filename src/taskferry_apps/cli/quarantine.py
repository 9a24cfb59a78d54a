"""`taskferry quarantine`: what was received and had no effect."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import click

from .daemon_link import daemon_options, is_json_wanted, json_option, local_client, print_json
from .groups import Group

__all__ = ["quarantine"]

F = TypeVar("F", bound=Callable[..., object])


def _page_options(command: F) -> F:
    command = click.option("--cursor", default="", help="Where to go on, from an earlier answer.")(command)
    most = click.IntRange(1, 200)
    return click.option("--limit", type=most, default=50, show_default=True, help="How many at most.")(
        command
    )


@click.group(cls=Group, invoke_without_command=True)
@_page_options
@json_option
@daemon_options
@click.pass_context
def quarantine(ctx: click.Context, limit: int, cursor: str) -> None:
    """Show what was received, refused and kept as evidence, with the reason.

    A word in a task that was refused for want of permission alone comes back by itself once you allow it:

    \b
      taskferry permissions set CONNECTION --classes message,task,artifact

    \b
    Examples:
      taskferry quarantine list
      taskferry quarantine list --limit 10
    """
    if ctx.invoked_subcommand is None:
        _list(limit, cursor)
    # What stands before the subcommand counts for it, too.
    ctx.default_map = {"list": {"limit": limit, "cursor": cursor}}


@quarantine.command("list")
@_page_options
@json_option
@daemon_options
def list_items(limit: int, cursor: str) -> None:
    """List what is in quarantine, newest first."""
    _list(limit, cursor)


def _list(limit: int, cursor: str) -> None:
    with local_client() as daemon:
        answer = daemon.get("/quarantine", limit=limit, cursor=cursor or None)
    if is_json_wanted():
        print_json(answer)
        return
    from .render import ago, clean, short, table
    from .values import objects

    table(
        ["id", "code", "from", "reason", "when", "comes back"],
        (
            [
                short(item.get("id")),
                clean(item.get("code")),
                clean(item.get("peer") or "unknown"),
                clean(item.get("reason"), most=60),
                ago(item.get("received_at")),
                "once you allow it" if item.get("barred") else "no",
            ]
            for item in objects(answer, "items")
        ),
        empty="Nothing older is in quarantine." if cursor else "Nothing is in quarantine.",
    )
    steps = dict.fromkeys(str(item.get("next") or "") for item in objects(answer, "items"))
    for step in filter(None, steps):
        of = ", ".join(short(item.get("id")) for item in objects(answer, "items") if item.get("next") == step)
        click.echo(f"\n{of}: {clean(step)}")
    if answer.get("cursor"):
        click.echo(f"\nOlder ones: --cursor {clean(answer.get('cursor'))}")
