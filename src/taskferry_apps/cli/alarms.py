"""`taskferry alarms`: what you must know, until you have dismissed it or its cause is gone."""

from __future__ import annotations

import click

from .daemon_link import daemon_options, is_json_wanted, json_option, local_client, print_json, say
from .groups import Group
from .identifiers import Identifier

__all__ = ["alarms"]


@click.group(cls=Group)
def alarms() -> None:
    """Show the alarms that stand, and dismiss those that you have looked into.

    \b
    Examples:
      taskferry alarms list
      taskferry alarms dismiss 3f9c01ab
    """


@alarms.command(name="list")
@json_option
@daemon_options
def list_() -> None:
    """List the alarms, the oldest first."""
    with local_client() as daemon:
        answer = daemon.get("/alarms")
    if is_json_wanted():
        print_json(answer)
        return
    from .render import ago, clean, short
    from .values import objects

    found = objects(answer, "alarms")
    if not found:
        click.echo("No alarm stands.")
    for alarm in found:
        click.secho(f"! {clean(alarm.get('text'))}", fg="red", bold=True)
        times, raised = alarm.get("times"), ago(alarm.get("raised_at"))
        often = f"{times} times, last " if isinstance(times, int) and times > 1 else ""
        said = f"  {often}{raised}" if raised else " "
        until = clean(alarm.get("until"))
        click.echo(f"{said}  {until or 'Dismiss it: taskferry alarms dismiss ' + short(alarm.get('id'))}")


@alarms.command()
@click.argument("alarm", type=Identifier())
@json_option
@daemon_options
def dismiss(alarm: str) -> None:
    """Let ALARM, named by the beginning of its id, stand no longer.

    One whose cause goes on stays, and says what it stands until. What is raised again stands again.
    """
    with local_client() as daemon:
        answer = daemon.post("/alarms/dismiss", {"id": alarm})
    say(answer, "Dismissed. If it happens again, you are told again.")
