"""`taskferry token`: credentials for local programs, each for some of your agents."""

from __future__ import annotations

import click

from .daemon_link import daemon_options, is_json_wanted, json_option, local_client, print_json, say
from .groups import Group
from .identifiers import Identifier

__all__ = ["token"]


@click.group(cls=Group)
def token() -> None:
    """Make, list and revoke credentials for local programs.

    A program with such a credential acts as the named agents and as nobody else; approvals, permissions and
    keys stay with you.

    \b
    Example:
      taskferry token create writer --label "Claude Code"
    """


@token.command()
@click.argument("agents", nargs=-1, required=True)
@click.option("--label", default="", help="What it is for.")
@json_option
@daemon_options
def create(agents: tuple[str, ...], label: str) -> None:
    """Make a credential for the named AGENTS. It is shown once."""
    with local_client() as daemon:
        answer = daemon.post("/tokens", {"agents": list(agents), "label": label})
    if is_json_wanted():
        print_json(answer)
        return
    from .render import clean

    click.echo(f"\n    {clean(answer.get('token'))}\n")
    click.echo("Shown this once. Give it to the program as TASKFERRY_LOCAL_API_TOKEN.")


@token.command("list")
@json_option
@daemon_options
def list_tokens() -> None:
    """List the credentials, without their secrets."""
    with local_client() as daemon:
        answer = daemon.get("/tokens")
    if is_json_wanted():
        print_json(answer)
        return
    from .render import ago, clean, short, table
    from .values import objects, texts

    table(
        ["id", "label", "agents", "made", "state"],
        (
            [
                short(item.get("id")),
                clean(item.get("label"), most=32),
                ", ".join(map(clean, texts(item, "agents"))),
                ago(item.get("created_at")),
                "ended" if item.get("revoked_at") else "in force",
            ]
            for item in objects(answer, "tokens")
        ),
        empty="No credentials yet. Make one: taskferry token create AGENT",
    )


@token.command()
@click.argument("id", type=Identifier())
@json_option
@daemon_options
def revoke(id: str) -> None:
    """End the credential ID at once."""
    with local_client() as daemon:
        answer = daemon.delete(f"/tokens/{id}")
    say(answer, "Revoked. The program that holds it is refused from now on.")
