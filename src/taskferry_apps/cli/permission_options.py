"""What a peer may send, as options of a command and in words for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import click

from ..grant_words import CLASSES, grant_sentences

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
        unknown = [word for word in words if word not in CLASSES]
        if unknown:
            raise click.BadParameter(f"{unknown[0]!r} is none of {', '.join(CLASSES)}, or none")
        changes["classes"] = words
    return changes


def permission_words(grant: Mapping[str, object], sender: str, receiver: str, decides: str) -> list[str]:
    """What a grant in the API's form says, as `grant_sentences` does."""
    from .render import ago
    from .values import object_in, texts

    terms, until = object_in(grant, "terms"), grant.get("until")
    return grant_sentences(
        sender,
        receiver,
        decides,
        classes=texts(grant, "classes"),
        rate_per_minute=_count(grant, "rate_per_minute"),
        largest_bytes=_count(grant, "largest_bytes"),
        ends=ago(until) if until else "",
        auto_trigger=bool(terms.get("auto_trigger")),
        human_gate=bool(terms.get("human_gate", True)),
        task_budget=_count(terms, "task_budget"),
        largest_artifact=_count(terms, "largest_artifact"),
    )


def _count(told: Mapping[str, object], name: str) -> int:
    value = told.get(name)
    return value if isinstance(value, int) else 0
