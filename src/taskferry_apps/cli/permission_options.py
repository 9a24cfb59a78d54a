"""What a peer may send, as options of a command and in words for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import click

__all__ = ["permission_options", "permission_words", "permissions_given"]

F = TypeVar("F", bound=Callable[..., object])

_OPTIONS: tuple[tuple[str, str], ...] = (
    ("rate", "rate_per_minute"),
    ("largest", "largest_bytes"),
    ("task_budget", "task_budget"),
    ("largest_artifact", "largest_artifact"),
    ("gate", "human_gate"),
    ("auto_start", "auto_trigger"),
)
#: What a flag of the API is called in an option's name.
_CLASSES = ("message", "task", "artifact")


def permission_options(command: F) -> F:
    """Add the options, kept in the context for `permissions_given`."""
    options: tuple[Callable[[F], F], ...] = (
        click.option(
            "--auto-start/--no-auto-start",
            default=None,
            expose_value=False,
            callback=_keep,
            help="Whether programs may begin on what comes without a person.",
        ),
        click.option(
            "--gate/--no-gate",
            default=None,
            expose_value=False,
            callback=_keep,
            help="Whether each task waits for you before your agent sees it.",
        ),
        _number("--largest-artifact", "Bytes of the largest artifact."),
        _number("--task-budget", "Open tasks at once."),
        _number("--largest", "Bytes of the largest envelope."),
        _number("--rate", "Envelopes a minute."),
        click.option(
            "--classes",
            expose_value=False,
            callback=_keep,
            help="What may be sent: message, task, artifact; comma-separated, or none.",
        ),
    )
    for option in options:
        command = option(command)
    return command


def _number(name: str, about: str) -> Callable[[F], F]:
    option: Callable[[F], F] = click.option(
        name, type=click.IntRange(0), expose_value=False, callback=_keep, help=about
    )
    return option


def _keep(ctx: click.Context, parameter: click.Parameter, value: object) -> None:
    if value is not None and parameter.name:
        ctx.meta.setdefault(__name__, {})[parameter.name] = value


def permissions_given() -> dict[str, object]:
    """What the options of the running command change, in the API's names. Raises click.BadParameter."""
    given: Mapping[str, object] = click.get_current_context().meta.get(__name__, {})
    changes = {field: given[option] for option, field in _OPTIONS if option in given}
    named = given.get("classes")
    if isinstance(named, str):
        words = [] if named == "none" else [word.strip() for word in named.split(",")]
        unknown = [word for word in words if word not in _CLASSES]
        if unknown:
            raise click.BadParameter(f"{unknown[0]!r} is none of {', '.join(_CLASSES)}, or none")
        changes["classes"] = words
    return changes


def permission_words(grant: Mapping[str, object], sender: str, receiver: str) -> list[str]:
    """What a grant says, in sentences; texts are taken as they are, so clean them first."""
    from .render import ago
    from .values import object_in, texts

    if not grant:
        return [f"{sender} may send nothing to {receiver}."]
    terms = object_in(grant, "terms")
    classes = [word for word in texts(grant, "classes") if word in _CLASSES]
    until = grant.get("until")
    if not classes:
        return [f"{sender} may send nothing to {receiver} (version {grant.get('version')})."]
    listed = " and ".join(f"{word}s" for word in classes)
    ends = f"and that ends {ago(until)}" if until else "without end"
    told = [
        f"{sender} may send {listed} to {receiver}: up to {_count(grant, 'rate_per_minute')} a minute, "
        f"{_size(grant, 'largest_bytes')} each, {ends}."
    ]
    if "task" in classes:
        told.append(f"It may have {_count(terms, 'task_budget')} tasks open at once.")
        waits = terms.get("human_gate", True)
        told.append(
            "Each task waits for its owner first (human gate)."
            if waits
            else "Tasks go straight to the agent (no human gate)."
        )
    if "artifact" in classes:
        told.append(f"An artifact may have {_size(terms, 'largest_artifact')}.")
    told.append(
        "Programs may begin on it by themselves, once its owner is verified."
        if terms.get("auto_trigger")
        else "No program begins on it by itself."
    )
    return told


def _count(told: Mapping[str, object], name: str) -> str:
    value = told.get(name)
    return f"{value:,}" if isinstance(value, int) else "0"


def _size(told: Mapping[str, object], name: str) -> str:
    value = told.get(name)
    if not isinstance(value, int):
        return "0 bytes"
    for size, unit in ((1_048_576, "MiB"), (1_024, "KiB")):
        if value >= size and value % size == 0:
            return f"{value // size} {unit}"
    return f"{value:,} bytes"
