"""One task on the terminal: what it is, what was delivered, what happened, and what can be done now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from taskferry_protocol.former_names import shown_agent

from .render import ago, clean, clean_lines, facts, fitted, short, table
from .task_request import draw_requests
from .values import object_in, objects, texts

if TYPE_CHECKING:
    from ..local_client import LocalClient

__all__ = ["draw_task", "whole_log"]

#: Events in one answer while all are fetched.
_LOG_PAGE: Final = 1_000


def draw_task(task: dict[str, object]) -> None:
    """Print a task as the API gives it."""
    state = clean(task.get("state")) + ("" if task.get("confirmed", True) else " (not yet confirmed)")
    click.secho(clean(task.get("title")), bold=True)
    facts(
        [
            ("task", clean(task.get("task_id"))),
            ("state", state),
            ("you are", clean(task.get("role")) + f" as {shown_agent(clean(task.get('mine')))}"),
            ("with", shown_agent(clean(task.get("peer")))),
            ("delivery", _how_far(task)),
            ("deadline", ago(task.get("deadline"))),
            ("revisions", f"{task.get('asks', 0)} of {task.get('revisions', 0)} asked"),
        ]
    )
    if task.get("brief"):
        click.echo("\n" + clean_lines(task.get("brief")))
    requirements = texts(task, "requirements")
    if requirements:
        click.secho("\nRequirements", bold=True)
    for requirement in requirements:
        click.echo(f"  - {clean(requirement)}")
    _versions(task)
    _timeline(task)
    draw_requests(task)
    for sentence in texts(task, "waiting"):
        click.secho(fitted(f"! {clean(sentence)}"), fg="yellow")
    actions = texts(task, "actions")
    elsewhere = clean(task.get("acts_on") or "")
    click.echo(
        "\nYou can: "
        + (
            ", ".join(map(clean, actions)) + (f" (your device {elsewhere} is asked to)" if elsewhere else "")
            if actions
            else "nothing; it is the other side's turn"
            if not task.get("final")
            else "nothing more; this task has ended"
        )
    )


def whole_log(daemon: LocalClient, id: str) -> dict[str, object]:
    """A task's log, fetched page by page from its end."""
    answer = daemon.get(f"/tasks/{id}/log", limit=_LOG_PAGE)
    events = objects(answer, "events")
    while cursor := str(answer.get("cursor") or ""):
        answer = daemon.get(f"/tasks/{id}/log", cursor=cursor, limit=_LOG_PAGE)
        events = [*objects(answer, "events"), *events]
    return {**answer, "events": events}


def _how_far(task: dict[str, object]) -> str:
    """How far the request came, and no further than is known here."""
    delivery = object_in(task, "delivery")
    rung = clean(delivery.get("rung") or "")
    if rung and any(_is_answer(event) for event in objects(task, "events")):
        return "answered by the other side"
    return clean(delivery.get("words") or rung)


def _is_answer(event: dict[str, object]) -> bool:
    # `task_seen` is the other daemon's own, whatever its agents do.
    return event.get("side") == "worker" and event.get("type") != "task_seen"


def _versions(task: dict[str, object]) -> None:
    versions = objects(task, "versions")
    if not versions:
        return
    click.echo()
    table(
        ["version", "status", "parts", "note", "when"],
        (
            [
                str(version.get("version")),
                clean(version.get("status")),
                ", ".join(_part(part) for part in objects(version, "parts")),
                clean(version.get("note"), most=40),
                ago(version.get("submitted_at")),
            ]
            for version in versions
        ),
        empty="",
    )
    if task.get("versions_cursor"):
        click.echo("Earlier versions are left out; each is saved by its number: taskferry task save")


def _part(part: dict[str, object]) -> str:
    name = clean(part.get("name") or part.get("kind"), most=32)
    size = part.get("size")
    return f"{name} ({size:,} bytes)" if isinstance(size, int) else name


def _timeline(task: dict[str, object]) -> None:
    click.echo()
    table(
        ["when", "who", "what", "effect", "delivery", "note"],
        (
            [
                ago(event.get("at")),
                clean(event.get("side")),
                clean(event.get("type")),
                clean(event.get("effect")),
                clean(object_in(event, "delivery").get("rung") or ""),
                clean(event.get("note") or "", most=48),
            ]
            for event in objects(task, "events")
            if event.get("type") != "task_seen"
        ),
        empty="Nothing has happened yet.",
    )
    if task.get("events_cursor"):
        click.echo("Earlier events are left out.")
    click.echo(f"\nThe whole record: taskferry task log {short(task.get('task_id'))}")
