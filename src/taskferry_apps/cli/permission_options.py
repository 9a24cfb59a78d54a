"""What a peer may send, as options of a command and in words for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import click

from ..amounts import bytes_in_words, listed

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


def permission_words(grant: Mapping[str, object], sender: str, receiver: str, decides: str) -> list[str]:
    """What a grant says, in sentences; `decides` is who looks at a task first, as in "you" or "its owner".

    Texts are taken as they are, so clean them first.
    """
    from .render import ago
    from .values import object_in, texts

    classes = [f"{word}s" for word in texts(grant, "classes") if word in _CLASSES]
    if not classes:
        return [f"{sender} may send nothing to {receiver}."]
    terms, until = object_in(grant, "terms"), grant.get("until")
    most = bytes_in_words(grant.get("largest_bytes"))
    ends = f"this ends {ago(until)}" if until else "this has no end"
    told = [
        f"{sender} may send {listed(classes)} to {receiver}.",
        f"At most {_count(grant, 'rate_per_minute')} envelopes a minute, of {most} each; {ends}.",
    ]
    if "tasks" in classes:
        budget = _count(terms, "task_budget")
        most_open = f"At most {budget} of its tasks are open at once."
        told.append(most_open if budget != "0" else "But no task may be open.")
        told.append(
            f"Each task waits for {decides} first (human gate)."
            if terms.get("human_gate", True)
            else f"Tasks go straight to {receiver} (no human gate)."
        )
    if "artifacts" in classes:
        told.append(f"An artifact has at most {bytes_in_words(terms.get('largest_artifact'))}.")
    told.append(
        "Programs may begin on it by themselves, once the sender's owner is verified or came by an invite."
        if terms.get("auto_trigger")
        else "No program begins on it by itself."
    )
    return told


def _count(told: Mapping[str, object], name: str) -> str:
    value = told.get(name)
    return f"{value:,}" if isinstance(value, int) else "0"
