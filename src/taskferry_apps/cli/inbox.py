"""`taskferry inbox`: what waits for an agent."""

from __future__ import annotations

import click

from .daemon_link import daemon_options, is_json_wanted, json_option, local_client, print_json
from .identifiers import Identifier

__all__ = ["inbox"]


@click.command()
@click.option("--agent", default="", help="Only one agent of yours.")
@click.option("--all", "everything", is_flag=True, help="Processed items, too.")
@click.option("--wait", type=click.IntRange(0, 60), default=0, help="Seconds to wait if there is nothing.")
@click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True, help="How many at most.")
@click.option("--ack", type=Identifier(), help="Mark one item as processed instead.")
@json_option
@daemon_options
def inbox(agent: str, everything: bool, wait: int, limit: int, ack: str | None) -> None:
    """Show what has arrived and is not processed yet, oldest first.

    \b
    Examples:
      taskferry inbox --agent writer
      taskferry inbox --agent writer --wait 30 --json
      taskferry inbox --ack 3f9c01ab
    """
    with local_client() as daemon:
        if ack:
            answer = daemon.post(f"/messages/{ack}/ack", {})
        else:
            answer = daemon.get(
                "/inbox",
                agent=agent or None,
                unprocessed="false" if everything else "true",
                wait=wait or None,
                limit=limit,
            )
    if is_json_wanted():
        print_json(answer)
        return
    if ack:
        click.echo("Marked as processed.")
        return
    from .render import ago, clean, short, table
    from .values import objects

    table(
        ["id", "state", "type", "from", "to", "about", "when"],
        (
            [
                short(item.get("id")),
                clean(item.get("state")),
                clean(item.get("type")),
                clean(item.get("from")),
                clean(item.get("to")),
                clean(item.get("title") or _first_words(item), most=48),
                ago(item.get("received_at")),
            ]
            for item in objects(answer, "messages")
        ),
        empty="Nothing waits. See tasks with: taskferry task list",
    )
    for held in objects(answer, "held"):
        count, peer = held.get("count"), clean(held.get("peer"))
        click.echo(f"Waiting for the owner: {count} from {peer}. See: taskferry approvals")
    if answer.get("more"):
        click.echo("\nThere is more: raise --limit, or process some of these.")


def _first_words(item: dict[str, object]) -> str:
    from .values import object_in

    payload = object_in(item, "payload")
    return next((str(payload[key]) for key in ("text", "note", "reason") if payload.get(key)), "")
