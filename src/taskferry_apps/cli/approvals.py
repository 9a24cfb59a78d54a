"""`taskferry approvals`: everything that waits for you, and your answers.

Four things wait in one list: requests for a connection, tasks at the human gate, questions of your agents,
and what a breaker has stopped between an agent of yours and a peer.
What others wrote is shown as theirs, behind a bar at the margin, so that no text can pass for one of ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .daemon_link import daemon_options, is_json_wanted, json_option, local_client, print_json, say
from .groups import Group
from .identifiers import Identifier
from .outcome import CommandFailed, Exit

if TYPE_CHECKING:
    from ..local_client import LocalClient
    from .quoting import Quoter

__all__ = ["approvals", "find_waiting"]

#: How much of what is held is shown on a terminal.
_ITEMS = 20
_CONNECTION, _TASK, _QUESTION, _STOP = "connection", "task", "question", "stopped"


@click.group(cls=Group, invoke_without_command=True)
@json_option
@daemon_options
@click.pass_context
def approvals(ctx: click.Context) -> None:
    """Show what waits for you, and answer it.

    \b
    Examples:
      taskferry approvals
      taskferry approvals show 6b12e0d4
      taskferry approvals approve 6b12e0d4
      taskferry approvals deny 6b12e0d4 --reason "Not this week"
    """
    if ctx.invoked_subcommand is None:
        _list()


@approvals.command("list")
@json_option
@daemon_options
def list_waiting() -> None:
    """List what waits for you."""
    _list()


def _list() -> None:
    with local_client() as daemon:
        waiting = _waiting(daemon)
    if is_json_wanted():
        print_json({"waiting": [{"kind": kind, **item} for kind, item in waiting]})
        return
    from .render import ago, clean, short, table

    table(
        ["id", "what", "agent", "from", "since", "about"],
        (
            [
                short(_id(item)),
                kind if kind != _QUESTION else f"may I: {clean(item.get('class'))}",
                clean(item.get("agent") if kind == _QUESTION else item.get("mine")),
                clean(item.get("peer") or "your agent"),
                ago(
                    item.get("asked_at")
                    or item.get("arrived_at")
                    or item.get("since")
                    or item.get("created_at")
                ),
                clean(_about(kind, item), most=60),
            ]
            for kind, item in waiting
        ),
        empty="Nothing waits for you.",
    )
    if waiting:
        click.echo("\nLook first: taskferry approvals show ID")
        click.echo("Then: taskferry approvals approve ID, or: taskferry approvals deny ID")


def _about(kind: str, item: Mapping[str, object]) -> str:
    if kind == _STOP:
        return _held_in_words(item)
    return str(item.get("what") or item.get("title") or item.get("note") or "")


def _held_in_words(stop: Mapping[str, object]) -> str:
    from .values import texts

    tasks = len(texts(stop, "task_ids"))
    held = [f"{stop.get('held')} held"] if stop.get("held") else []
    held += [f"{tasks} task{'s' if tasks > 1 else ''} at the gate"] if tasks else []
    return f"{', '.join(held) or 'sending is refused'}: {stop.get('why')}"


@approvals.command()
@click.argument("id", type=Identifier())
@click.option("--full", is_flag=True, help="Cut nothing, however long it is.")
@json_option
@daemon_options
def show(id: str, full: bool) -> None:
    """Show one thing that waits: every word of a task, each file with its hash, and whom it is from.

    What others wrote stands behind a bar. Characters that cannot be seen, or that act on a terminal, are
    shown as a mark, and counted. Very long texts are cut, and say by how much; --full cuts nothing.

    \b
    Examples:
      taskferry approvals show 6b12e0d4
      taskferry approvals show 6b12e0d4 --full | less
    """
    with local_client() as daemon:
        kind, item = _find(daemon, id)
        whole = _whole(daemon, kind, item)
    if is_json_wanted():
        print_json({"kind": kind, **item, "whole": whole or None})
        return
    from .approval_page import draw_question, draw_request, draw_task
    from .quoting import Quoter
    from .render import clean, short

    quoter = Quoter("" if full else f"taskferry approvals show {short(_id(item))} --full")
    if kind == _QUESTION:
        draw_question(item, whole, quoter)
    elif kind == _TASK:
        draw_task(item, whole, quoter)
        if item.get("why"):
            click.echo(f"\nA breaker sent it to the gate: {clean(item.get('why'))}.")
    elif kind == _STOP:
        _show_stop(item, quoter)
    else:
        draw_request(item, quoter)
    click.echo(f"\nid {clean(_id(item))}")


def _show_stop(stop: Mapping[str, object], quoter: Quoter) -> None:
    from .render import ago, clean, facts
    from .values import objects

    mine, peer = clean(stop.get("mine")), clean(stop.get("peer"))
    click.secho(f"A breaker stands between {mine} and {peer}", bold=True)
    facts(
        [
            ("because", clean(stop.get("why"))),
            ("since", ago(stop.get("since"))),
            ("here", clean(_held_in_words(stop).partition(":")[0])),
            ("sending", f"refused until {ago(stop['refused_until'])}" if stop.get("refused_until") else ""),
        ]
    )
    items = objects(stop, "items")
    for item in items[:_ITEMS]:
        quoter.show(f"{clean(item.get('type'))}, {ago(item.get('arrived_at'))}", item.get("text"))
    if len(items) > _ITEMS:
        click.echo(f"and {len(items) - _ITEMS} more; all of them with --json")
    click.echo("\nApprove: your agent gets what is held, in its order, and counting begins anew.")
    click.echo("Deny: it never does; tasks among it are declined.")


def _whole(daemon: LocalClient, kind: str, item: Mapping[str, object]) -> Mapping[str, object]:
    """The task that comes or is to go, as the daemon has it; empty where it is about something else."""
    from .values import object_in

    path = {_TASK: "/gates", _QUESTION: "/approvals"}.get(kind)
    return object_in(daemon.get(f"{path}/{_id(item)}"), "whole") if path is not None else {}


@approvals.command(short_help="Save a file of a task that waits, to look at it.")
@click.argument("id", type=Identifier())
@click.argument("number", type=click.IntRange(1, 32), default=1)
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="The file to write.")
@json_option
@daemon_options
def save(id: str, number: int, output: Path) -> None:
    """Save what is attached to the task ID as NUMBER, counted from 1, to a new file.

    It may be anything that its sender liked. Look at it with care.

    \b
    Example:
      taskferry approvals save 6b12e0d4 1 -o notes.md
    """
    from .files import save_bytes

    with local_client() as daemon:
        kind, item = _find(daemon, id)
        whole, part = _id(item), number - 1
        if kind == _CONNECTION:
            raise CommandFailed("Nothing is attached to a request for a connection.", Exit.NOT_FOUND)
        path = f"/tasks/{whole}/artifacts/0/{part}" if kind == _TASK else f"/approvals/{whole}/parts/{part}"
        content = daemon.get_bytes(path)
    save_bytes(output, content)
    _done({"ok": True, "file": str(output), "bytes": len(content)}, f"{output}: {len(content):,} bytes")


@approvals.command()
@click.argument("id", type=Identifier())
@click.option("--for-task", is_flag=True, help="Of a question: as often as needed until its task ends.")
@click.option("--answer", default="", help="Of a question: a line to your agent.")
@json_option
@daemon_options
def approve(id: str, for_task: bool, answer: str) -> None:
    """Accept a request, put a task or what was stopped before your agent, or allow what it asks.

    \b
    Example:
      taskferry approvals approve 6b12e0d4
    """
    with local_client() as daemon:
        kind, _ = _find(daemon, id)
        if kind == _CONNECTION:
            told = daemon.post("/connections/accept", {"id": id})
        elif kind == _TASK:
            told = daemon.post("/gates/release", {"id": id})
        elif kind == _STOP:
            told = daemon.post("/stops/release", {"id": id})
        else:
            body = {"scope": "task" if for_task else "once", "answer": answer}
            told = daemon.post(f"/approvals/{id}/approve", body)
    _done(
        told,
        {
            _CONNECTION: "Accepted. Its tasks wait for you first: taskferry approvals",
            _TASK: "Your agent has the task now.",
            _QUESTION: "Allowed.",
            _STOP: "Your agent has what was held now, and they may go on.",
        }[kind],
    )


@approvals.command()
@click.argument("id", type=Identifier())
@click.option("--reason", default="", help="A line to whoever asked.")
@json_option
@daemon_options
def deny(id: str, reason: str) -> None:
    """Decline a request or a task, drop what was stopped, or forbid what your agent asks.

    \b
    Example:
      taskferry approvals deny 6b12e0d4 --reason "Not this week"
    """
    with local_client() as daemon:
        kind, _ = _find(daemon, id)
        if kind == _CONNECTION:
            told = daemon.post("/connections/decline", {"id": id, "reason": reason})
        elif kind == _TASK:
            told = daemon.post("/gates/decline", {"id": id, "reason": reason})
        elif kind == _STOP:
            told = daemon.post("/stops/drop", {"id": id})
        else:
            told = daemon.post(f"/approvals/{id}/deny", {"answer": reason})
    words = {_QUESTION: "Forbidden.", _STOP: "Dropped. They may go on talking."}
    _done(told, words.get(kind, "Declined."))


def _done(told: object, words: str) -> None:
    say(told, words)


def _waiting(daemon: LocalClient) -> list[tuple[str, dict[str, object]]]:
    from .values import objects

    requests = objects(daemon.get("/connections", state="requested_in"), "connections")
    tasks = objects(daemon.get("/gates"), "tasks")
    questions = objects(daemon.get("/approvals", state="asked"), "approvals")
    stops = objects(daemon.get("/stops"), "stops")
    return [
        *((_CONNECTION, item) for item in reversed(requests)),
        *((_TASK, item) for item in tasks),
        *((_QUESTION, item) for item in reversed(questions)),
        *((_STOP, item) for item in stops),
    ]


def _id(item: Mapping[str, object]) -> str:
    # Of a question `task_id` is the task that it is for.
    return str(item["id"] if "id" in item else item["task_id"])


def find_waiting(daemon: LocalClient, prefix: str) -> list[tuple[str, dict[str, object]]]:
    """What waits for the owner with an id that begins so, each with its kind."""
    return [(kind, item) for kind, item in _waiting(daemon) if _id(item).startswith(prefix)]


def _find(daemon: LocalClient, prefix: str) -> tuple[str, dict[str, object]]:
    """What waits under an id, or under a beginning that nothing else which waits or is over has.

    A peer can try ids until one begins as it likes. So that whoever has read one thing decides on no other,
    the daemon looks among all tasks and all requests, and in here no request may stand beside a task.
    """
    from .values import objects

    found = find_waiting(daemon, prefix)
    if not found:
        raise CommandFailed(
            "Nothing that waits for you has that id; it may have been decided. "
            "What waits: taskferry approvals",
            Exit.NOT_FOUND,
        )
    known = {_id(item) for item in objects(daemon.get("/connections"), "connections")}
    beside = {id for id in known if id.startswith(prefix)} - {_id(item) for _, item in found}
    if len(found) + len(beside) > 1:
        raise CommandFailed("Several ids begin so. Give more of it.", Exit.REFUSED)
    return found[0]
