"""An action that was passed on to another device of the owner: waited for a while, then told as it stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from .daemon_link import is_json_wanted, print_json
from .outcome import CommandFailed, Exit
from .render import ago, clean, short, table
from .values import object_in, objects

if TYPE_CHECKING:
    from ..local_client import JsonObject, LocalClient

__all__ = ["draw_requests", "follow_request"]

#: Seconds that a command waits for the other machine, which answers within one or two if it is on.
_PATIENCE_S: Final = 8


def follow_request(daemon: LocalClient, answer: JsonObject, done: str) -> None:
    """Wait a little for the other device, and tell what came of it. Raises CommandFailed for a refusal."""
    asked = object_in(answer, "request")
    task, device = short(answer.get("task_id")), clean(asked.get("device"))
    if not is_json_wanted():
        click.echo(f"Your device {device} acts in this task. It is asked to.", err=True)
    path = f"/tasks/{answer.get('task_id')}/requests/{asked.get('request_id')}"
    asked = object_in(daemon.get(path, wait=_PATIENCE_S), "request")
    refused = asked.get("state") in {"refused", "lost", "overdue"}
    if is_json_wanted():
        print_json({**answer, "request": asked})
        if refused:
            raise SystemExit(Exit.REFUSED)
        return
    if refused:
        words = " ".join(filter(None, (clean(asked.get("message")), clean(asked.get("next")))))
        raise CommandFailed(
            f"Your device {device} did not do it: {words or clean(asked.get('code'))}", Exit.REFUSED
        )
    if asked.get("state") == "done":
        click.echo(f"{done}, on your device {device}.")
        return
    click.echo(
        f"It has not answered, and may be off. The request waits for it, and ends {ago(asked.get('until'))}."
    )
    click.echo(f"See what comes of it: taskferry task show {task}")


def draw_requests(task: JsonObject) -> None:
    """What was passed on, and what came of it."""
    requests = objects(task, "requests")
    if not requests:
        return
    click.echo()
    table(
        ["asked", "of", "to do", "outcome", "why"],
        (
            [
                ago(asked.get("asked_at")),
                clean(asked.get("device"), most=24),
                clean(asked.get("action")),
                clean(asked.get("state")),
                clean(asked.get("message") or asked.get("code") or "", most=60),
            ]
            for asked in requests
        ),
        empty="",
    )
