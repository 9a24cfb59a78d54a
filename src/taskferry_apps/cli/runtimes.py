"""`taskferry agent runtimes|unbind`: the programs that act as your agents."""

from __future__ import annotations

import click

from .daemon_link import daemon_options, is_json_wanted, json_option, local_client, print_json, say
from .outcome import CommandFailed, Exit

__all__ = ["runtimes", "unbind"]


@click.command()
@click.argument("name", default="")
@json_option
@daemon_options
def runtimes(name: str) -> None:
    """List the programs bound to the agent NAME, or to all of your agents.

    \b
    Examples:
      taskferry agent runtimes
      taskferry agent runtimes writer --json
    """
    with local_client() as daemon:
        answer = daemon.get("/runtimes", agent=name or None)
    if is_json_wanted():
        print_json(answer)
        return
    from .render import ago, clean, short, table
    from .values import objects

    table(
        ["program", "agent", "state", "since", "last heard", "id"],
        (
            [
                clean(row.get("name")),
                clean(row.get("agent")),
                clean(row.get("status")),
                ago(row.get("since")),
                ago(row.get("seen_at")),
                short(row.get("id")),
            ]
            for row in objects(answer, "runtimes")
        ),
        empty="No program is bound. Programs bind themselves: POST /runtimes (docs/runtimes.md)",
    )


@click.command()
@click.argument("program")
@json_option
@daemon_options
def unbind(program: str) -> None:
    """End the binding of PROGRAM, a name or an id from the list; others may have what it had in hand.

    \b
    Example:
      taskferry agent unbind claude-code-2
    """
    from .render import clean
    from .values import objects

    with local_client() as daemon:
        listed = objects(daemon.get("/runtimes"), "runtimes")
        meant = [row for row in listed if row.get("name") == program] or [
            row for row in listed if len(program) >= 8 and str(row.get("id")).startswith(program.lower())
        ]
        if not meant:
            raise CommandFailed(
                f"No program {program} is bound. List them with: taskferry agent runtimes", Exit.NOT_FOUND
            )
        if len(meant) > 1:
            raise CommandFailed(
                f"{program} is bound to several agents: name it by its id. See: taskferry agent runtimes",
                Exit.REFUSED,
            )
        answer = daemon.delete(f"/runtimes/{meant[0]['id']}")
    say(answer, f"{clean(meant[0].get('name'))} is bound no more; what it had in hand is free.")
