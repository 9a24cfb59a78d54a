"""`taskferry connections`, `approve`, `decline` and `revoke`: who may work with your agents."""

from __future__ import annotations

from typing import Final

import click

from .daemon_link import daemon_options, is_json_wanted, json_option, local_client, print_json
from .identifiers import Identifier

__all__ = ["approve", "connections", "decline", "revoke"]

_INVITES: Final = {"valid": "valid", "expired": "over", "invite-used": "used up"}


@click.command()
@click.option(
    "--state", default="", help="Only these: requested_in, requested_out, accepted or ended.", metavar="STATE"
)
@click.option("--agent", default="", help="Only those of one agent of yours.")
@json_option
@daemon_options
def connections(state: str, agent: str) -> None:
    """List connections, and the requests that wait for your decision.

    \b
    Examples:
      taskferry connections
      taskferry connections --state requested_in
    """
    with local_client() as daemon:
        answer = daemon.get("/connections", state=state or None, agent=agent or None)
    if is_json_wanted():
        print_json(answer)
        return
    from .render import ago, clean, short, table
    from .values import objects

    listed = objects(answer, "connections")
    # Most connections need no invite; the column is there where one has named any.
    invited = any(item.get("invite") for item in listed)
    table(
        ["id", "state", "mine", "peer", "trust", *(["invite"] if invited else []), "when", "note"],
        (
            [
                short(item.get("id")),
                clean(item.get("state")),
                clean(item.get("mine")),
                clean(item.get("peer")),
                clean(item.get("trust")),
                *([_invite(item)] if invited else []),
                ago(item.get("updated_at")),
                clean(item.get("note"), most=40),
            ]
            for item in listed
        ),
        empty="No connections yet. Ask for one: taskferry connect MY-AGENT @owner/agent",
    )
    if listed:
        click.echo("\nWhat each may send: taskferry permissions ID")
    if any(item.get("state") == "requested_in" for item in listed):
        click.echo("Decide with: taskferry approve ID, or: taskferry decline ID")


def _invite(item: dict[str, object]) -> str:
    """What became of the invite that a request named."""
    if not item.get("invite"):
        return ""
    state = str(item.get("invite_state"))
    return _INVITES.get(state, "unknown") if state else "sent"


def _decide(identifier: str, action: str, body: dict[str, object], done: str) -> None:
    with local_client() as daemon:
        answer = daemon.post(f"/connections/{action}", {"id": identifier, **body})
    if is_json_wanted():
        print_json(answer)
        return
    click.echo(done)


@click.command()
@click.argument("id", type=Identifier())
@json_option
@daemon_options
def approve(id: str) -> None:
    """Accept the connection request ID.

    The peer may then send messages, tasks and artifacts to your agent, 60 envelopes a minute; nothing starts
    by itself. Narrow that with `taskferry permissions`.

    \b
    Example:
      taskferry approve 3f9c01ab
    """
    _decide(id, "accept", {}, "Connected. The peer hears of it as soon as it can be reached.")


@click.command()
@click.argument("id", type=Identifier())
@click.option("--reason", default="", help="A line to the other owner.")
@click.option("--block", is_flag=True, help="Refuse further requests of this peer, too.")
@json_option
@daemon_options
def decline(id: str, reason: str, block: bool) -> None:
    """Decline the connection request ID.

    \b
    Example:
      taskferry decline 3f9c01ab --reason "Not now"
    """
    _decide(id, "block" if block else "decline", {"reason": reason}, "Declined.")


@click.command()
@click.argument("id", type=Identifier())
@click.option("--reason", default="", help="A line to the other owner.")
@json_option
@daemon_options
def revoke(id: str, reason: str) -> None:
    """End the connection ID. It takes a new request to begin again.

    \b
    Example:
      taskferry revoke 3f9c01ab
    """
    _decide(id, "revoke", {"reason": reason}, "Ended. Nothing more of this peer has any effect.")
