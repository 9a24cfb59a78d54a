"""`taskferry connect`: ask another owner's agent for a connection."""

from __future__ import annotations

import click

from .daemon_link import daemon_options, is_json_wanted, json_option, local_client, print_json

__all__ = ["connect"]


@click.command()
@click.argument("mine")
@click.argument("peer")
@click.option("--note", default="", help="A line to the other owner, who decides.")
@json_option
@daemon_options
def connect(mine: str, peer: str, note: str) -> None:
    """Ask for a connection between your agent MINE and the agent PEER (@owner/name).

    The other owner decides. What you allow in return is the default (answers to your tasks and messages);
    change it with `taskferry permissions set`.

    \b
    Example:
      taskferry connect requester @bob/writer --note "Reports, as we discussed"
    """
    with local_client() as daemon:
        answer = daemon.post("/connections/request", {"from": mine, "to": peer, "message": note})
    if is_json_wanted():
        print_json(answer)
        return
    from .render import clean, fitted, short

    known = f"(id {short(answer.get('id'))})"
    if answer.get("state") == "accepted":
        click.echo(
            fitted(f"You are connected with {clean(peer)} already; send it tasks and messages.  {known}")
        )
        return
    asked = "Asked" if answer.get("message_id") else "Asked before:"
    click.echo(fitted(f"{asked} {clean(peer)}. Its owner decides; see: taskferry connections  {known}"))
