"""`taskferry connections`, `approve`, `decline` and `revoke`: who may work with your agents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import click

from .daemon_link import daemon_options, is_json_wanted, json_option, local_client, print_json, say
from .durations import Moment
from .identifiers import Identifier
from .outcome import CommandFailed, Exit
from .permission_options import permission_options, permissions_given

if TYPE_CHECKING:
    from ..local_client import LocalClient

__all__ = ["approve", "block", "connections", "decline", "revoke", "unblock"]

#: What waits for the owner beside connections, by its kind.
_OTHERS: Final = {
    "task": "a task",
    "question": "a question of your agent",
    "stopped": "what a breaker stopped",
}
_INVITES: Final = {"valid": "valid", "expired": "over", "invite-used": "used up"}


@click.command()
@click.option(
    "--state",
    default="",
    help="Only these: requested_in, requested_out, accepted, ended or expired.",
    metavar="STATE",
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
                _state(item),
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
        click.echo("\nWhat each may send: taskferry permissions show ID")
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
        from ..local_client import ApiError

        try:
            answer = daemon.post(f"/connections/{action}", {"id": identifier, **body})
        except ApiError as error:
            if error.status == 404:
                _name_other(daemon, identifier)
            raise
    say(answer, done)


def _name_other(daemon: LocalClient, identifier: str) -> None:
    """Raise what helps whoever names here what waits for the owner and is no connection."""
    from .approvals import find_waiting

    if found := [one for one in find_waiting(daemon, identifier) if one[0] in _OTHERS]:
        kind, _ = found[0]
        raise CommandFailed(
            f"That is no request for a connection, but {_OTHERS[kind]}. "
            f"Look first: taskferry approvals show {identifier}\n"
            f"Then: taskferry approvals approve {identifier}, or: taskferry approvals deny {identifier}",
            Exit.NOT_FOUND,
        )


def _state(item: Mapping[str, object]) -> str:
    from .render import ago, clean

    again = ago(item.get("again_at"))
    kind = item.get("end_kind")
    if kind == "declined" and again.startswith("in "):
        return f"ended (declined; again {again})"
    return clean(f"ended ({kind})" if kind else item.get("state"))


@click.command()
@click.argument("id", type=Identifier())
@permission_options
@click.option("--until", type=Moment(), help="When that ends: 30m, 2h, 3d, or a time.")
@json_option
@daemon_options
def approve(id: str, until: str | None) -> None:
    """Accept the connection request ID.

    The peer may then send messages, tasks and artifacts to your agent, 60 envelopes a minute. Each task waits
    for you before your agent sees it (`taskferry approvals`), unless you say --no-gate; and nothing starts by
    itself.

    \b
    Examples:
      taskferry approve 3f9c01ab
      taskferry approve 3f9c01ab --no-gate --rate 10 --until 30d
    """
    given = permissions_given()
    if until is not None:
        given["until"] = until
    words = "Accepted. The peer hears of it as soon as it can be reached."
    if given.get("human_gate", True):
        words += "\nEach of its tasks waits for you first: taskferry approvals"
    _decide(id, "accept", {"permissions": given} if given else {}, words)


@click.command()
@click.argument("id", type=Identifier())
@click.option("--reason", default="", help="A line to the other owner.")
@click.option("--block", is_flag=True, help="Refuse further requests of this peer, too.")
@click.option("--again", type=Moment(), help="When the peer may ask again: 2h, 30d, or a time; after a week.")
@json_option
@daemon_options
def decline(id: str, reason: str, block: bool, again: str | None) -> None:
    """Decline the connection request ID. The peer is told from when on it may ask again.

    \b
    Examples:
      taskferry decline 3f9c01ab --reason "Not now"
      taskferry decline 3f9c01ab --again 30d
    """
    if block and again is not None:
        raise click.UsageError("Who is blocked may not ask again; leave out --again or --block.")
    body: dict[str, object] = {"reason": reason}
    if again is not None:
        body["again"] = again
    _decide(id, "block" if block else "decline", body, "Declined.")


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


@click.command()
@click.argument("id", type=Identifier())
@click.option("--reason", default="", help="A line to the other owner.")
@json_option
@daemon_options
def block(id: str, reason: str) -> None:
    """End the connection ID, and refuse whatever that agent asks later.

    \b
    Example:
      taskferry block 3f9c01ab
    """
    _decide(id, "block", {"reason": reason}, "Blocked. Take it back with: taskferry unblock ID")


@click.command()
@click.argument("id", type=Identifier())
@json_option
@daemon_options
def unblock(id: str) -> None:
    """Let the agent that you have blocked by the connection ID ask again. Nothing is sent.

    \b
    Example:
      taskferry unblock 3f9c01ab
    """
    _decide(id, "unblock", {}, "It may ask again. Or ask yourself: taskferry connect MINE PEER")
