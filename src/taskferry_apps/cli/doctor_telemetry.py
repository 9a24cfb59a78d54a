"""Whether a collector takes what a relay with these settings would send it: an empty request of each kind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from .doctor_checks import Look

if TYPE_CHECKING:
    from ..settings import RelaySettings
    from ..telemetry.posting import Target

__all__ = ["telemetry_of"]

_ENDPOINT = "TASKFERRY_RELAY_OTEL_ENDPOINT"


def telemetry_of(settings: RelaySettings) -> Iterator[Look]:
    """Nothing where no collector is named."""
    from ..telemetry.opening import CannotExport, spans_for, target_of

    target = target_of(settings)
    if target is None:
        return
    try:
        spans_for(settings, _ENDPOINT)
    except CannotExport as error:
        told, _, step = str(error).partition(". ")
        yield Look("telemetry", "fail", f"{told}.", step or "A relay does not start like this.")
        return
    failure = _failure(target)
    if failure:
        text = f"{target.origin} does not take it: {failure}."
        yield Look("telemetry", "warn", text, f"See the collector, {_ENDPOINT} and _HEADERS.")
    else:
        yield Look("telemetry", "ok", f"{target.origin} takes spans and numbers")


def _failure(target: Target) -> str:
    import trio

    from ..telemetry.exporter import METRICS_PATH, TRACES_PATH
    from ..telemetry.posting import NotTaken, open_client, post

    async def ask() -> str:
        async with open_client(target) as client:
            for path, what in ((TRACES_PATH, "spans"), (METRICS_PATH, "numbers")):
                try:
                    # No byte is a whole request, with nothing in it.
                    await post(client, target, path, b"", deadline_s=5.0)
                except NotTaken as error:
                    return f"{what}: {error}"
        return ""

    return trio.run(ask)
