"""`taskferry task`: send, list, show and work on tasks."""

from __future__ import annotations

from pathlib import Path

import click

from .daemon_link import daemon_options, is_json_wanted, json_option, local_client, print_json
from .durations import Moment
from .groups import Group
from .identifiers import Identifier
from .outcome import CommandFailed, Exit
from .task_list import list_tasks
from .text_input import read_text

__all__ = ["task"]


@click.group(cls=Group)
def task() -> None:
    """Send, list, show and work on tasks.

    \b
    A task from end to end:
      taskferry task send requester @bob/writer "Report" --file README.md
      taskferry task accept 3f9c01ab                  (on Bob's machine)
      taskferry task submit 3f9c01ab report.md
      taskferry task revise 3f9c01ab "The summary is missing"
      taskferry task complete 3f9c01ab
      taskferry task export 3f9c01ab -o handoff.cbor
      taskferry verify handoff.cbor
    """


@task.command()
@click.argument("mine")
@click.argument("peer")
@click.argument("title")
@click.option("--brief", default="", help="What is to be done; - reads standard input.")
@click.option("--require", "requirements", multiple=True, help="A requirement; repeat for more.")
@click.option("--file", "files", multiple=True, type=click.Path(path_type=Path), help="A file to hand over.")
@click.option(
    "--revisions",
    type=click.IntRange(0, 1000),
    default=3,
    show_default=True,
    help="How many revisions you may ask for.",
)
@click.option("--deadline", type=Moment(), help="30m, 2h, 3d, or a time such as 2026-12-24T18:00:00Z.")
@click.option("--budget", type=click.IntRange(1), help="How many messages this task may take.")
@click.option("--cause", help="The message or task that led to this one.")
@json_option
@daemon_options
def send(
    mine: str,
    peer: str,
    title: str,
    brief: str,
    requirements: tuple[str, ...],
    files: tuple[Path, ...],
    revisions: int,
    deadline: str | None,
    budget: int | None,
    cause: str | None,
) -> None:
    """Ask the agent PEER to do something for your agent MINE.

    \b
    Examples:
      taskferry task send requester @bob/writer "Report on README" \\
        --file README.md --deadline 2h
      git diff | taskferry task send me @bob/reviewer "Review this diff" --brief -
    """
    from .files import attachments

    body: dict[str, object] = {
        "from": mine,
        "to": peer,
        "title": title,
        "description": read_text("Use --file instead: it sends bytes as they are.")
        if brief == "-"
        else brief,
        "requirements": list(requirements),
        "max_revisions": revisions,
        "files": attachments(files),
    }
    given = (("deadline", deadline), ("budget", budget), ("cause", cause))
    body |= {name: value for name, value in given if value is not None}
    with local_client() as daemon:
        answer = daemon.post("/tasks", body)
    _tell(answer, f"Task {_short(answer)} for {peer}")
    if not is_json_wanted():
        click.echo(f"How it goes: taskferry task show {_short(answer)}")


task.add_command(list_tasks)


@task.command()
@click.argument("id", type=Identifier())
@json_option
@daemon_options
def show(id: str) -> None:
    """Show one task and what you can do now.

    Brief, versions, timeline, and how far each message came.
    """
    with local_client() as daemon:
        answer = daemon.get(f"/tasks/{id}")
    if is_json_wanted():
        print_json(answer)
        return
    from .task_page import draw_task

    draw_task(answer)


@task.command()
@click.argument("id", type=Identifier())
@json_option
@daemon_options
def log(id: str) -> None:
    """Show the two signed chains of a task as they were folded."""
    from .task_page import whole_log

    with local_client() as daemon:
        answer = whole_log(daemon, id)
    if is_json_wanted():
        print_json(answer)
        return
    from .render import ago, clean, short, table
    from .values import objects

    table(
        ["side", "n", "type", "hash", "prev", "seen", "effect", "when"],
        (
            [
                clean(item.get("side")),
                str(item.get("n")),
                clean(item.get("type")),
                short(item.get("hash")),
                short(item.get("prev") or "-"),
                clean(item.get("seen")),
                clean(item.get("effect")),
                ago(item.get("at")),
            ]
            for item in objects(answer, "events")
        ),
        empty="This task has no events.",
    )


@task.command(short_help="Write a task's signed history to a file, as proof.")
@click.argument("id", type=Identifier())
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="The file to write.  [default: handoff-ID.cbor]"
)
@json_option
@daemon_options
def export(id: str, output: Path | None) -> None:
    """Write a task's signed history to a file that anyone can verify offline.

    \b
    Example:
      taskferry task export 3f9c01ab -o handoff.cbor
      taskferry verify handoff.cbor
    """
    from .files import save_bytes

    path = output or Path(f"handoff-{id[:8]}.cbor")
    with local_client() as daemon:
        content = daemon.get_bytes(f"/tasks/{id}/export")
    save_bytes(path, content)
    told = f"{path}: {len(content):,} bytes. Check it anywhere: taskferry verify {path}"
    _tell_written(id, path, content, told)


@task.command(short_help="Save a part of an artifact, or a file of the request.")
@click.argument("id", type=Identifier())
@click.argument("version", type=click.IntRange(0))
@click.argument("part", type=click.IntRange(0), default=0)
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="The file to write.")
@json_option
@daemon_options
def save(id: str, version: int, part: int, output: Path) -> None:
    """Save one PART of an artifact's VERSION to a file.

    VERSION 0 is what came with the request. Parts are counted from 0; that is the one saved if none is named.

    \b
    Examples:
      taskferry task save 3f9c01ab 0 -o brief.md       (of the request, the first)
      taskferry task save 3f9c01ab 2 1 -o figures.csv  (of version 2, the second)
    """
    from .files import save_bytes

    with local_client() as daemon:
        content = daemon.get_bytes(f"/tasks/{id}/artifacts/{version}/{part}")
    save_bytes(output, content)
    _tell_written(id, output, content, f"{output}: {len(content):,} bytes")


def _tell_written(id: str, path: Path, content: bytes, told: str) -> None:
    if is_json_wanted():
        print_json({"ok": True, "task": id, "file": str(path), "bytes": len(content)})
    else:
        click.echo(told)


def _act(id: str, action: str, body: dict[str, object], as_agent: str | None, done: str) -> None:
    with local_client() as daemon:
        answer = daemon.task_action(id, action, body | ({"from": as_agent} if as_agent else {}))
        if answer.get("passed_on"):
            from .task_request import follow_request

            follow_request(daemon, answer, done)
            return
    _tell(answer, done)


def _tell(answer: dict[str, object], done: str) -> None:
    if is_json_wanted():
        print_json(answer)
        return
    from .render import clean, fitted
    from .values import object_in, texts

    rung = clean(object_in(answer, "delivery").get("rung") or "queued")
    click.echo(fitted(f"{done}. The task is {clean(answer.get('state'))}; this step is {rung}."))
    for warning in texts(answer, "warnings"):
        click.echo(fitted(f"Note: {clean(warning)}"))


def _short(answer: dict[str, object]) -> str:
    from .render import short

    return short(answer.get("task_id"))


_as_agent = click.option("--agent", "as_agent", help="Act as this agent, if several could.")


@task.command()
@click.argument("id", type=Identifier())
@click.option("--note", default="", help="A line to the requester.")
@_as_agent
@json_option
@daemon_options
def accept(id: str, note: str, as_agent: str | None) -> None:
    """Accept a task that was asked of your agent."""
    _act(id, "accept", {"message": note}, as_agent, "Accepted")


@task.command()
@click.argument("id", type=Identifier())
@click.argument("reason")
@_as_agent
@json_option
@daemon_options
def decline(id: str, reason: str, as_agent: str | None) -> None:
    """Decline a task, with the REASON."""
    _act(id, "decline", {"reason": reason}, as_agent, "Declined")


@task.command()
@click.argument("id", type=Identifier())
@click.argument("note")
@click.option("--percent", type=click.IntRange(0, 100), help="How much is done.")
@_as_agent
@json_option
@daemon_options
def progress(id: str, note: str, percent: int | None, as_agent: str | None) -> None:
    """Tell the requester how the work goes."""
    body: dict[str, object] = {"message": note}
    _act(id, "progress", body | ({} if percent is None else {"percent": percent}), as_agent, "Told")


@task.command()
@click.argument("id", type=Identifier())
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@click.option("--text", help="The artifact as text; - reads standard input.")
@click.option("--json-file", type=click.Path(path_type=Path), help="The artifact as JSON, from a file.")
@click.option("--note", default="", help="A line on what this version is.")
@_as_agent
@json_option
@daemon_options
def submit(
    id: str,
    files: tuple[Path, ...],
    text: str | None,
    json_file: Path | None,
    note: str,
    as_agent: str | None,
) -> None:
    """Submit an artifact: FILES, a text, or JSON. Submitting again makes the next version.

    \b
    Examples:
      taskferry task submit 3f9c01ab report.md figures.csv --note "First draft"
      make-report | taskferry task submit 3f9c01ab --text -
    """
    import json

    from .files import attachments, content_of

    body: dict[str, object] = {"notes": note, "files": attachments(files)}
    if json_file is not None:
        try:
            body |= {"artifact_type": "json", "content": json.loads(content_of(json_file))}
        except ValueError as error:
            raise CommandFailed(f"{json_file} is not JSON: {error}.", Exit.USAGE) from None
    elif text is not None:
        body |= {
            "artifact_type": "text",
            "content": read_text("Name it as a file instead: its bytes are sent as they are.")
            if text == "-"
            else text,
        }
    elif files:
        body |= {"artifact_type": "file"}
    else:
        raise CommandFailed("Nothing to submit: name files, or give --text or --json-file.", Exit.USAGE)
    _act(id, "artifacts", body, as_agent, "Submitted")


_version = click.option(
    "--version",
    type=click.IntRange(min=1),
    metavar="N",
    help="The version that you have seen; else the newest there is.",
)


@task.command()
@click.argument("id", type=Identifier())
@click.argument("reasons", nargs=-1, required=True)
@_version
@_as_agent
@json_option
@daemon_options
def revise(id: str, reasons: tuple[str, ...], version: int | None, as_agent: str | None) -> None:
    """Ask for a revision of the newest version, for these REASONS.

    Another one may come in while you look: name the one that you mean.
    """
    body: dict[str, object] = {"reason": reasons[0], "requested_changes": list(reasons[1:])}
    body |= {"version": version} if version is not None else {}
    _act(id, "revision", body, as_agent, "Revision asked")


@task.command()
@click.argument("id", type=Identifier())
@click.option("--note", default="", help="A line to the worker.")
@_version
@_as_agent
@json_option
@daemon_options
def complete(id: str, note: str, version: int | None, as_agent: str | None) -> None:
    """Take the newest version as done.

    Another one may come in while you look: name the one that you mean.
    """
    body: dict[str, object] = {"message": note} | ({"version": version} if version is not None else {})
    _act(id, "complete", body, as_agent, "Completed")


@task.command()
@click.argument("id", type=Identifier())
@click.argument("reason", default="")
@_as_agent
@json_option
@daemon_options
def cancel(id: str, reason: str, as_agent: str | None) -> None:
    """Cancel a task that you asked for."""
    _act(id, "cancel", {"reason": reason}, as_agent, "Cancelled")


@task.command()
@click.argument("id", type=Identifier())
@click.argument("reason")
@_as_agent
@json_option
@daemon_options
def fail(id: str, reason: str, as_agent: str | None) -> None:
    """Say that a task that you accepted cannot be done, and why."""
    _act(id, "fail", {"reason": reason}, as_agent, "Failed")
