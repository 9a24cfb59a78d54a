"""`taskferry watch`: a line when an agent is needed, or for each thing that happens."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .daemon_link import daemon_options, open_client, spoken_of
from .outcome import CommandFailed, Exit
from .watch_place import WatchPlace

if TYPE_CHECKING:
    from ..local_client import LocalClient

__all__ = ["watch"]


@click.command()
@click.option("--agent", default="", help="Only what concerns one agent of yours.")
@click.option(
    "--runtime",
    default="",
    metavar="NAME",
    help="Only what is for one bound program of the agent, by its name or id: not what another one has.",
)
@click.option("--format", "style", type=click.Choice(["line", "json"]), default="line", show_default=True)
@click.option(
    "--wake/--all",
    "wake",
    default=True,
    help="What needs an agent, many things at once as one line (the default); or everything, line by line.",
)
@click.option(
    "--from",
    "begin",
    type=click.Choice(["now", "start"]),
    help="Where to begin instead of where the last watch ended; for the first one, by default, at what is "
    "unread, and with --all now.",
)
@click.option("--after", type=click.IntRange(0), help="Begin after this event's number.")
@click.option(
    "--state",
    "file",
    type=click.Path(path_type=Path),
    help="Keep the place in this file, instead of one for each agent in the data directory.",
)
@click.option("--once", is_flag=True, help="Only say how much waits now, in a line, if anything does.")
@click.option(
    "--as-agent",
    is_flag=True,
    help="For programs: act by the agent's own credential, the one of `taskferry mcp`, never by yours.",
)
@daemon_options
def watch(
    agent: str,
    runtime: str,
    style: str,
    wake: bool,
    begin: str | None,
    after: int | None,
    file: Path | None,
    once: bool,
    as_agent: bool,
) -> None:
    """Print a line when there is something for your agent, until interrupted.

    The line is a hint: look into the inbox. What was read meanwhile is not announced, and nothing twice,
    over restarts of this command and of the daemon, for which it waits.

    \b
    Examples:
      taskferry watch --agent writer
      taskferry watch --agent writer --format json --from now
      taskferry watch --agent writer --once
      taskferry watch --agent writer --runtime claude-code-2
      taskferry watch --all
    """
    if runtime and (once or not wake):
        raise CommandFailed("--runtime is for wakes: leave --once and --all out.", Exit.USAGE)
    find = _Found(agent) if as_agent else open_client
    if once:
        _tell_what_waits(find, agent, style)
        return
    from .watch_feed import follow

    place = WatchPlace.choose(file, agent, wake=wake, runtime=runtime)
    start = after if after is not None else place.start(begin, wake=wake)
    kept: int | None = None
    for number, event in follow(find, start, agent, wake=wake, runtime=runtime):
        if event is not None:
            click.echo(json.dumps(event) if style == "json" else _line(event))
        if number != kept:
            place.keep(number)
            kept = number


#: What is counted at most; the inbox has the rest.
_COUNTED = 200


class _Found:
    """Finds the daemon for a program that acts as an agent. Its credential is looked for once."""

    def __init__(self, agent: str) -> None:
        self._agent = agent
        self._token = ""

    def __call__(self) -> LocalClient:
        from ..local_client import DaemonUnreachable
        from .agent_credential import HOSTED, agent_credential, check_not_owners

        try:
            if not self._token:
                token = agent_credential(self._agent, HOSTED).token
                check_not_owners(token)
                self._token = token
        except CommandFailed as failed:
            if failed.code == Exit.UNREACHABLE:
                raise DaemonUnreachable(str(failed)) from None
            raise
        return open_client(self._token)


def _tell_what_waits(find: Callable[[], LocalClient], agent: str, style: str) -> None:
    """A line for each agent with something that is not processed. Nothing counts as read by that."""
    from collections import Counter

    from .values import objects

    with spoken_of(), find() as daemon:
        answer = daemon.get(
            "/inbox", agent=agent or None, unprocessed="true", header_only="true", limit=_COUNTED
        )
    counts = Counter(str(item.get("to")) for item in objects(answer, "messages"))
    for name, count in sorted(counts.items()):
        if style == "json":
            click.echo(json.dumps({"kind": "waiting", "agent": name, "count": count}))
            continue
        from .render import clean

        more = " or more" if answer.get("more") else ""
        click.echo(f"{clean(name)}  {count}{more} waiting. Look with: taskferry inbox")


def _line(event: dict[str, object]) -> str:
    from .render import clean

    words = [clean(event.get("at"))]
    if event.get("kind") == "wake":
        from .values import objects

        words += [clean(event.get("agent")), f"{event.get('count')} new"]
        needs = objects(event, "needs")
        return "  ".join([*words, *(_need(needs[0]) if needs else [])])
    words += [clean(event.get("kind"))]
    words += [clean(event["agent"])] if event.get("agent") else []
    return "  ".join([*words, *_names(event)])


def _need(need: dict[str, object]) -> list[str]:
    """The newest need: what it is, by whom, and its ids; nothing that somebody else has written."""
    from .render import clean

    state = need.get("state") or need.get("rung")
    words = [clean(need["type"])] if need.get("from") else [clean(need.get("kind"))]
    words += [clean(state)] if state and not need.get("from") else []
    words += [f"from {clean(need['from'])}"] if need.get("from") else []
    return words + _names(need)


def _names(event: dict[str, object]) -> list[str]:
    from .render import short

    words = [f"task {short(event['task_id'])}"] if event.get("task_id") else []
    words += [f"message {short(event['message_id'])}"] if event.get("message_id") else []
    return words
