"""`taskferry watch`: a line for each thing that happens."""

from __future__ import annotations

import json
from pathlib import Path

import click

from .daemon_link import daemon_options, local_client
from .outcome import CommandFailed, Exit

__all__ = ["watch"]


@click.command()
@click.option("--agent", default="", help="Only what concerns one agent of yours.")
@click.option("--format", "style", type=click.Choice(["line", "json"]), default="line", show_default=True)
@click.option("--after", type=click.IntRange(0), help="Start after this event's number, instead of now.")
@click.option(
    "--state", "place", type=click.Path(path_type=Path), help="Keep the place in this file, and resume there."
)
@daemon_options
def watch(agent: str, style: str, after: int | None, place: Path | None) -> None:
    """Print a line for each thing that happens, until interrupted.

    With --state, nothing is printed twice and nothing is missed across restarts.

    \b
    Examples:
      taskferry watch --agent writer
      taskferry watch --agent writer --format json --state ~/.cache/writer.place
    """
    start = after if after is not None else _kept(place)
    if place is not None:
        _require_writable(place)
    with local_client() as daemon:
        for event in daemon.events(after=start, agent=agent or None):
            click.echo(json.dumps(event) if style == "json" else _line(event))
            if place is not None:
                _keep(place, event)


def _kept(place: Path | None) -> int | None:
    if place is None:
        return None
    try:
        return int(place.read_text().strip())
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        raise CommandFailed(
            f"{place} does not hold a place; remove it to start from now.", Exit.USAGE
        ) from None


def _beside(place: Path) -> Path:
    return place.with_name(place.name + ".new")


def _require_writable(place: Path) -> None:
    """Find out now, and not at the first event, that the place cannot be kept."""
    try:
        _beside(place).touch()
        _beside(place).unlink()
    except OSError as error:
        raise _unwritable(place, error) from None


def _keep(place: Path, event: dict[str, object]) -> None:
    try:
        _beside(place).write_text(str(event.get("id")))
        _beside(place).replace(place)
    except OSError as error:
        raise _unwritable(place, error) from None


def _unwritable(place: Path, error: OSError) -> CommandFailed:
    return CommandFailed(f"{place} cannot be written: {error.strerror}.", Exit.TROUBLE)


def _line(event: dict[str, object]) -> str:
    from .render import clean, short

    words = [clean(event.get("at")), clean(event.get("kind"))]
    words += [clean(event["agent"])] if event.get("agent") else []
    words += [f"task {short(event['task_id'])}"] if event.get("task_id") else []
    words += [f"message {short(event['message_id'])}"] if event.get("message_id") else []
    return "  ".join(words)
