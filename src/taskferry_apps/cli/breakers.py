"""`taskferry breakers`: when two agents that go on and on are stopped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeVar

import click

from .daemon_link import daemon_options, is_json_wanted, json_option, local_client, print_json
from .groups import Group
from .identifiers import Identifier

__all__ = ["breakers"]

F = TypeVar("F", bound=Callable[..., object])

#: Each limit with what it counts.
_LIMITS: Final = {
    "hops": "Messages that may lead to each other, 1 to 16.",
    "messages": "Messages and new tasks in ten minutes, both directions together.",
    "messages_a_day": "The same in 24 hours.",
    "events": "Events of tasks under way in ten minutes.",
    "events_a_day": "The same in 24 hours.",
    "repeats": "How often the same may be said in an hour.",
    "task_messages": "Messages in a task whose request sets no budget.",
}
_MOST: Final = {"hops": 16}
_OTHER_MOST: Final = 100_000


@click.group(cls=Group, invoke_without_command=True)
@json_option
@daemon_options
@click.pass_context
def breakers(ctx: click.Context) -> None:
    """Show when breakers stop two agents that go on and on, or set it for one connection.

    What is stopped waits for you: taskferry approvals

    \b
    Examples:
      taskferry breakers
      taskferry breakers set 3f9c01ab --messages 30 --hops 4
      taskferry breakers set 3f9c01ab --messages-a-day 5000
      taskferry breakers reset 3f9c01ab
    """
    if ctx.invoked_subcommand is None:
        _list()


@breakers.command("list")
@json_option
@daemon_options
def list_limits() -> None:
    """Show the usual limits, and what is set for each connection alone."""
    _list()


def _list() -> None:
    with local_client() as daemon:
        answer = daemon.get("/breakers")
    if is_json_wanted():
        print_json(answer)
        return
    from ..amounts import counted
    from .render import clean, facts, short, table
    from .values import object_in, objects, texts

    click.secho("Usual limits", bold=True)
    usual = object_in(answer, "limits")
    facts((f"  {_option(name)}", _number(usual, name)) for name in _LIMITS)
    click.echo()
    connections = objects(answer, "connections")
    own = [item for item in connections if texts(item, "own")]
    table(
        ["id", "mine", "peer", "set for it alone"],
        (
            [short(item.get("id")), clean(item.get("mine")), clean(item.get("peer")), _own(item)]
            for item in own
        ),
        empty="" if connections else "No connections yet, for which other limits could be set.",
    )
    if as_usual := len(connections) - len(own):
        count = counted(as_usual, "connection has", "connections have")
        click.echo(f"{count} the usual limits; ids: taskferry connections")
    click.echo("\nFor one connection: taskferry breakers set ID")
    click.echo("For all that have none of their own: TASKFERRY_BREAKERS, where the daemon starts")


def _limit_options(command: F) -> F:
    for name, about in reversed(_LIMITS.items()):
        most = click.IntRange(1, _MOST.get(name, _OTHER_MOST))
        command = click.option(f"--{name.replace('_', '-')}", name, type=most, help=about)(command)
    return command


@breakers.command("set")
@click.argument("id", type=Identifier())
@_limit_options
@json_option
@daemon_options
def change(id: str, **limits: int | None) -> None:
    """Set limits for the connection ID, laxer or stricter than usual; what is left out stays.

    What is held already waits for you all the same: taskferry approvals

    \b
    Examples:
      taskferry breakers set 3f9c01ab --messages 30 --hops 4
      taskferry breakers set 3f9c01ab --events 2000 --events-a-day 20000
    """
    given = {name: number for name, number in limits.items() if number is not None}
    if not given:
        raise click.UsageError("Say which limit; see: taskferry breakers set --help")
    _tell({"id": id, **given})


@breakers.command()
@click.argument("id", type=Identifier())
@json_option
@daemon_options
def reset(id: str) -> None:
    """Let the usual limits count for the connection ID again."""
    _tell({"id": id, "reset": True})


def _tell(body: Mapping[str, object]) -> None:
    with local_client() as daemon:
        answer = daemon.post("/breakers", body)
    if is_json_wanted():
        print_json(answer)
        return
    from .render import clean
    from .values import object_in

    set_for = object_in(answer, "connection")
    click.echo(f"Between {clean(set_for.get('mine'))} and {clean(set_for.get('peer'))}: {_own(set_for)}.")


def _own(connection: Mapping[str, object]) -> str:
    from .values import object_in, texts

    limits = object_in(connection, "limits")
    own = texts(connection, "own")
    return ", ".join(f"{_option(name)} {_number(limits, name)}" for name in own) or "as usual"


def _option(name: str) -> str:
    from .render import clean

    return clean(name).replace("_", "-")


def _number(limits: Mapping[str, object], name: str) -> str:
    number = limits.get(name)
    return f"{number:,}" if isinstance(number, int) else ""
