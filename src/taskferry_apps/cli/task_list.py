"""`taskferry task list`."""

from __future__ import annotations

from typing import Final

import click

from .daemon_link import daemon_options, is_json_wanted, json_option, local_client, print_json
from .values import objects

__all__ = ["list_tasks"]

_NONE: Final = 'No tasks. Ask for one: taskferry task send MY-AGENT @owner/agent "What is to be done"'
#: How often the daemon goes on looking where a search is cut short.
_WALKS: Final = 20
_NOT_FOUND: Final = "No task has all of these words in one message. Leave some of them out."


@click.command("list")
@click.option("--search", metavar="WORDS", default="", help="Only those in which all these words were said.")
@click.option("--agent", default="", help="Only those of one agent of yours.")
@click.option("--state", default="", help="Only those in one state, such as submitted.")
@click.option(
    "--role", type=click.Choice(["requester", "worker"]), help="Only those that you ask, or work on."
)
@click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True, help="How many at most.")
@json_option
@daemon_options
def list_tasks(search: str, agent: str, state: str, role: str | None, limit: int) -> None:
    """List tasks, the latest change first.

    With words, those in which they were said last come first; the last word may be unfinished.

    \b
    Example:
      taskferry task list --search "quarterly figures" --state completed
    """
    given = {"search": search or None, "agent": agent or None, "state": state or None, "role": role}
    with local_client() as daemon:
        answer = daemon.get("/tasks", **given, limit=limit)
        found = objects(answer, "tasks")
        for _ in range(_WALKS):
            if len(found) >= limit or not answer.get("cut") or not answer.get("cursor"):
                break
            answer = daemon.get("/tasks", **given, limit=limit - len(found), cursor=str(answer["cursor"]))
            found += objects(answer, "tasks")
    answer["tasks"] = found
    if is_json_wanted():
        print_json(answer)
        return
    from taskferry_protocol.former_names import shown_agent

    from .render import ago, clean, short, table

    table(
        ["id", "state", "title", "role", "with", "versions", "changed"],
        (
            [
                short(item.get("task_id")),
                clean(item.get("state")) + ("" if item.get("confirmed", True) else " (not yet confirmed)"),
                clean(item.get("title"), most=48),
                " ".join([clean(item.get("role")), *_former(item)]),
                shown_agent(clean(item.get("peer"))),
                _count(item.get("versions")),
                ago(item.get("updated_at")),
            ]
            for item in found
        ),
        empty=_NOT_FOUND if search else _NONE,
    )
    if answer.get("cut") and not answer.get("more"):
        click.echo("\nThe daemon is still building its index of older tasks: try again in a while.")
    if answer.get("more"):
        click.echo("\nThere are more: raise --limit, or narrow with --state and --agent.")


def _former(item: dict[str, object]) -> list[str]:
    """Which former agent of ours it is of, if it is."""
    from taskferry_protocol.former_names import shown_agent

    from .render import clean

    words = shown_agent(clean(item.get("mine"))).partition(" ")[2]
    return [words] if words else []


def _count(versions: object) -> str:
    return str(len(versions)) if isinstance(versions, list) else str(versions or 0)
