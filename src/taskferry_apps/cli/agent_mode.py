"""`taskferry agent mode` and `policy`: how freely an agent acts, and what it is answered when it asks."""

from __future__ import annotations

import click

from .daemon_link import daemon_options, is_json_wanted, json_option, local_client, print_json, say

__all__ = ["mode", "policy", "tell"]

_MODES = ("open", "guarded", "read-only")
_CLASSES = (
    "local-files",
    "shell",
    "paid-calls",
    "mail",
    "uploads",
    "code-changes",
    "deletions",
    "delegation",
)


@click.command()
@click.argument("agent", required=False)
@click.argument("mode", required=False, type=click.Choice(_MODES))
@json_option
@daemon_options
def mode(agent: str | None, mode: str | None) -> None:
    """Show how freely your agents act, or set the MODE of one.

    \b
    open       tasks wait where the grant to their sender says so
    guarded    every task that comes waits for you; every task and connection
               that the agent asks for waits for you, too
    read-only  the agent reads and waits, and sends nothing

    It holds for programs with the agent's credential, not for you, and on this
    machine: on others, until you say it there, the agent is never freer than guarded.

    \b
    Examples:
      taskferry agent mode
      taskferry agent mode writer guarded
    """
    if agent is not None and mode is None:
        raise click.UsageError(f"Name the mode, one of {', '.join(_MODES)}.")
    with local_client() as daemon:
        if agent is None:
            answer = daemon.get("/modes")
        else:
            answer = daemon.post("/modes", {"agent": agent, "mode": mode})
    if is_json_wanted():
        print_json(answer)
        return
    from .render import clean, table
    from .values import object_in, objects

    if agent is not None:
        made = object_in(answer, "mode")
        click.echo(f"{clean(made.get('agent'))} is {clean(made.get('mode'))} from now on.")
        return
    table(
        ["agent", "mode", "tells senders", "always", "never"],
        (
            [
                clean(item.get("agent")),
                clean(item.get("mode")),
                "all" if item.get("tells") else "nothing",
                *(
                    ", ".join(
                        clean(name)
                        for name, given in object_in(item, "policies").items()
                        if given == answered
                    )
                    for answered in ("always", "never")
                ),
            ]
            for item in objects(answer, "modes")
        ),
        empty="No agents yet. Create one: taskferry agent create NAME",
    )
    unsaid = [clean(item.get("agent")) for item in objects(answer, "modes") if item.get("said") is False]
    if unsaid:
        click.echo(f"\nNot said on this machine yet: {', '.join(unsaid)}. Until then, tasks wait for you.")
        click.echo("Say it with: taskferry agent mode AGENT MODE")


@click.command()
@click.argument("agent")
@click.argument("action", metavar="CLASS", type=click.Choice(_CLASSES))
@click.argument("answer", type=click.Choice(("always", "ask", "never")))
@json_option
@daemon_options
def policy(agent: str, action: str, answer: str) -> None:
    """Decide ahead what AGENT is answered when it asks for an action of CLASS.

    Classes: local-files, shell, paid-calls, mail, uploads, code-changes, deletions, delegation.

    \b
    Examples:
      taskferry agent policy writer local-files always
      taskferry agent policy writer deletions never
    """
    with local_client() as daemon:
        told = daemon.post("/policies", {"agent": agent, "class": action, "policy": answer})
    say(told, f"{action}: {answer}.")


@click.command()
@click.argument("agent")
@click.argument("what", type=click.Choice(("all", "nothing")))
@json_option
@daemon_options
def tell(agent: str, what: str) -> None:
    """Decide what connected senders are told of AGENT: all, or nothing.

    \b
    all      that a program of yours was offered, has read or has processed what
             they sent, and when the agent was last run, to the minute
    nothing  only that it has arrived on this machine

    What you look at yourself is never told.

    \b
    Examples:
      taskferry agent tell writer nothing
      taskferry agent mode
    """
    with local_client() as daemon:
        answer = daemon.post("/telling", {"agent": agent, "tells": what == "all"})
    say(answer, f"Who sends to {agent} is told {what} from now on.")
