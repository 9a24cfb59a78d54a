"""`taskferry invite`: links by which others reach an agent of yours."""

from __future__ import annotations

import click

from .daemon_link import daemon_options, is_json_wanted, json_option, local_client, print_json, say
from .durations import Moment
from .groups import Group
from .identifiers import Identifier

__all__ = ["invite"]

_SHOWN = {"used_up": "used up"}


@click.group(cls=Group)
def invite() -> None:
    """Make, list and withdraw invites.

    An invite is a link. It names your account exactly, so that nobody can put another in its place, and
    carries a secret that no relay sees. Whoever has the whole link may ask your agent for a connection.

    \b
    Example:
      taskferry invite create --agent writer --note "for Alice"
    """


@invite.command()
@click.option("--agent", required=True, help="The agent of yours that may be asked.")
@click.option(
    "--uses", type=click.IntRange(1, 1000), default=1, show_default=True, help="Requests it is for."
)
@click.option(
    "--expires", type=Moment(), default="7d", show_default=True, help="When it ends: 2h, 7d, or a time."
)
@click.option("--note", default="", help="What it is for; for you alone.")
@click.option("--accept", is_flag=True, help="Accept what comes through it at once, without asking you.")
@click.option("--classes", help="With --accept: what may be sent, as in message,task,artifact.")
@click.option("--rate", type=click.IntRange(0), help="With --accept: envelopes a minute.")
@click.option("--task-budget", type=click.IntRange(0), help="With --accept: open tasks at once.")
@json_option
@daemon_options
def create(
    agent: str,
    uses: int,
    expires: str,
    note: str,
    accept: bool,
    classes: str | None,
    rate: int | None,
    task_budget: int | None,
) -> None:
    """Make an invite. Its link is shown once; give it to whom you mean, on a way that you trust.

    Without --accept a request through it still waits for you, marked as invited.

    \b
    Examples:
      taskferry invite create --agent writer
      taskferry invite create --agent writer --uses 20 --expires 2d
      taskferry invite create --agent writer --accept --task-budget 3
    """
    permissions: dict[str, object] = {
        name: value
        for name, value in (("rate_per_minute", rate), ("task_budget", task_budget))
        if value is not None
    }
    if classes is not None:
        permissions["classes"] = [] if classes == "none" else [word.strip() for word in classes.split(",")]
    if permissions and not accept:
        raise click.UsageError(
            "--classes, --rate and --task-budget need --accept: else you say it when you approve."
        )
    body: dict[str, object] = {
        "agent": agent,
        "uses": uses,
        "expires_at": expires,
        "note": note,
        "accept": accept,
        "permissions": permissions or None,
    }
    with local_client() as daemon:
        answer = daemon.post("/invites", body)
    if is_json_wanted():
        print_json(answer)
        return
    from .render import ago, clean
    from .values import object_in

    made = object_in(answer, "invite")
    many = f"{clean(made.get('uses'))} requests" if uses > 1 else "one request"
    then = "is accepted at once" if accept else "waits for you: taskferry connections"
    click.echo(f"\n    {clean(answer.get('link'))}\n")
    click.echo("Shown this once. Whoever has all of it may use it:")
    click.echo(f"{many}, over {ago(made.get('expires_at'))}; what comes {then}.")
    click.echo("They open it with: taskferry open -")
    click.echo(f"Who it is from, without what opens it: {clean(answer.get('page'))}")
    if not answer.get("published"):
        click.echo(
            "\nThe relay does not have it yet, and until then nobody can open it; see: taskferry status"
        )


@invite.command("list")
@json_option
@daemon_options
def list_invites() -> None:
    """List the invites, newest first, without their links.

    \b
    Example:
      taskferry invite list
    """
    with local_client() as daemon:
        answer = daemon.get("/invites")
    if is_json_wanted():
        print_json(answer)
        return
    from .render import ago, clean, short, table
    from .values import objects

    table(
        ["id", "state", "agent", "used", "ends", "then", "note"],
        (
            [
                short(item.get("id")),
                _SHOWN.get(str(item.get("state")), clean(item.get("state"))),
                clean(item.get("agent")),
                f"{clean(item.get('used'))} of {clean(item.get('uses'))}",
                ago(item.get("expires_at")),
                "accepted" if item.get("accept") else "waits for you",
                clean(item.get("note"), most=40),
            ]
            for item in objects(answer, "invites")
        ),
        empty="No invites yet. Make one: taskferry invite create --agent NAME",
    )


@invite.command()
@click.argument("id", type=Identifier())
@json_option
@daemon_options
def revoke(id: str) -> None:
    """Withdraw the invite ID. Connections that came through it stay.

    \b
    Example:
      taskferry invite revoke 3f9c01ab
    """
    with local_client() as daemon:
        answer = daemon.delete(f"/invites/{id}")
    say(answer, "Withdrawn. Nobody comes through it any more.")
