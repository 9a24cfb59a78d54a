"""`taskferry quarantine`: what was received and had no effect."""

from __future__ import annotations

import click

from .daemon_link import daemon_options, is_json_wanted, json_option, local_client, print_json

__all__ = ["quarantine"]


@click.command()
@click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True, help="How many at most.")
@json_option
@daemon_options
def quarantine(limit: int) -> None:
    """Show what was received, refused and kept as evidence, with the reason.

    A word in a task that was refused for want of permission alone comes back by itself once you allow it:

    \b
      taskferry permissions set CONNECTION --classes message,task,artifact
    """
    with local_client() as daemon:
        answer = daemon.get("/quarantine", limit=limit)
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
        empty="Nothing is in quarantine.",
    )
