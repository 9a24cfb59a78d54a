"""What of telemetry a program starts with, by its settings; without a collector, nothing more is loaded."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from .. import system
from ..release import version
from .spans import Spans

if TYPE_CHECKING:
    from .exporter import Collect, Exporter
    from .posting import Target

__all__ = ["CannotExport", "TelemetrySettings", "exporter_for", "spans_for", "target_of"]

RUN_BYTES: Final = 8


class CannotExport(Exception):
    """Telemetry cannot be sent as it is set up; the text is a sentence for whoever did that."""


class TelemetrySettings(Protocol):
    """The fields that a relay's and a daemon's settings share."""

    @property
    def otel_endpoint(self) -> str | None:
        """The collector's URL; None: nothing is sent."""

    @property
    def otel_headers(self) -> Mapping[str, str] | None:
        """What is sent along."""

    @property
    def otel_ca(self) -> Path | None:
        """The authorities that vouch for it."""

    @property
    def otel_one_in(self) -> int:
        """Of how many messages and requests one is traced."""


def target_of(settings: TelemetrySettings) -> Target | None:
    """Where to send; None for nowhere."""
    if settings.otel_endpoint is None:
        return None
    from .posting import Target

    return Target(settings.otel_endpoint, settings.otel_headers or {}, settings.otel_ca)


def spans_for(settings: TelemetrySettings, variable: str) -> Spans | None:
    """What takes spans; None where none are wanted. `variable` turned it on. Raises CannotExport."""
    if settings.otel_endpoint is None:
        return None
    check_installed(variable)
    check_authorities(settings, variable.replace("ENDPOINT", "CA"))
    return Spans(system.entropy, settings.otel_one_in)


def check_installed(variable: str) -> None:
    """Raises CannotExport where the optional part is not there."""
    try:
        import_module(".encoding", __package__)
    except ImportError as error:
        raise CannotExport(
            f"{variable} is set, and what speaks OpenTelemetry is not installed here. "
            f"Install it with: pip install 'taskferry[otel]', or unset {variable}."
        ) from error


def check_authorities(settings: TelemetrySettings, variable: str) -> None:
    """Raises CannotExport where the authorities' file is no such thing."""
    if settings.otel_ca is None:
        return
    try:
        ssl.create_default_context(cafile=settings.otel_ca)
    except OSError as error:
        raise CannotExport(
            f"The certificates in {settings.otel_ca} cannot be used ({error}); name a PEM file in {variable}."
        ) from error


def exporter_for(settings: TelemetrySettings, service: str, spans: Spans, collect: Collect) -> Exporter:
    """What sends them to the collector in `settings`. A program is told apart by its run, not its machine."""
    from .exporter import Exporter

    target = target_of(settings)
    if target is None:
        raise ValueError("no collector is named")
    program = {
        "service.name": service,
        "service.version": version(),
        "service.instance.id": system.entropy(RUN_BYTES).hex(),
    }
    return Exporter(target, program, spans, collect)
