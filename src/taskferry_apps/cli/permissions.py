"""`taskferry permissions`: what a peer may send to your agent."""

from __future__ import annotations

import click

from .daemon_link import daemon_options, is_json_wanted, json_option, local_client, print_json
from .durations import Moment
from .identifiers import Identifier

__all__ = ["permissions"]


@click.command()
@click.argument("id", type=Identifier())
@click.option("--classes", help="What may be sent: message, task, artifact; comma-separated, or none.")
@click.option("--rate", type=click.IntRange(0), help="Envelopes a minute.")
@click.option("--largest", type=click.IntRange(0), help="Bytes of the largest envelope.")
@click.option("--until", type=Moment(), help="When it ends: 30m, 2h, 3d, or a time.")
@click.option("--task-budget", type=click.IntRange(0), help="Open tasks at once.")
@json_option
@daemon_options
def permissions(
    id: str,
    classes: str | None,
    rate: int | None,
    largest: int | None,
    until: str | None,
    task_budget: int | None,
) -> None:
    """Show what the peer of the connection ID may send to you, or change it.

    A change is signed, sent to the peer, and enforced by the relay and by this daemon.

    \b
    Examples:
      taskferry permissions 3f9c01ab
      taskferry permissions 3f9c01ab --classes message,task --rate 10 --until 3d
    """
    changes: dict[str, object] = {
        name: value
        for name, value in (
            ("rate_per_minute", rate),
            ("largest_bytes", largest),
            ("until", until),
            ("task_budget", task_budget),
        )
        if value is not None
    }
    if classes is not None:
        changes["classes"] = [] if classes == "none" else [word.strip() for word in classes.split(",")]
    with local_client() as daemon:
        answer = (
            daemon.post("/permissions", {"id": id, **changes})
            if changes
            else daemon.get("/permissions", id=id)
        )
    if is_json_wanted():
        print_json(answer)
        return
    from .render import ago, clean, facts
    from .values import object_in, texts

    connection = object_in(answer, "connection") or answer
    for title, key in (("The peer may send to you", "given"), ("You may send to the peer", "received")):
        if key == "received":
            click.echo()
        grant = object_in(connection, key)
        terms = object_in(grant, "terms")
        click.secho(title, bold=True)
        facts(
            [
                ("classes", ", ".join(map(clean, texts(grant, "classes"))) or "nothing"),
                ("rate", f"{_number(grant, 'rate_per_minute')} a minute"),
                ("largest", f"{_number(grant, 'largest_bytes')} bytes"),
                ("open tasks", _number(terms, "task_budget") if terms else "not told yet"),
                ("ends", ago(grant.get("until")) or "never"),
                ("starts by itself", "yes" if terms.get("auto_trigger") else "no"),
                ("human gate", "yes" if terms.get("human_gate", True) else "no"),
                ("version", clean(grant.get("version", ""))),
            ]
        )


def _number(told: dict[str, object], name: str) -> str:
    value = told.get(name)
    return f"{value:,}" if isinstance(value, int) else "0"
