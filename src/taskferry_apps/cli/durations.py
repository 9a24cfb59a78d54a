"""Lengths of time as people type them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

import click

__all__ = ["Length", "Moment"]

_UNITS: Final = {"s": 1, "m": 60, "min": 60, "h": 3_600, "d": 86_400}
_LENGTH: Final = re.compile(r"([1-9][0-9]{0,5})(m|min|h|d)", re.ASCII)
_SECONDS: Final = re.compile(r"([1-9][0-9]{0,5})(s)", re.ASCII)


class Moment(click.ParamType[str]):
    """`30m`, `2h`, `3d` from now, or an RFC 3339 time that is to come; becomes the API's text."""

    name = "TIME"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Read one value; click reports what does not fit."""
        match = _LENGTH.fullmatch(value)
        if match:
            moment = datetime.now(UTC) + timedelta(seconds=int(match[1]) * _UNITS[match[2]])
        else:
            try:
                moment = datetime.fromisoformat(value)
            except ValueError:
                self.fail("a time looks like 30m, 2h, 3d or 2026-12-24T18:00:00Z", param, ctx)
            if moment.tzinfo is None:
                self.fail("a time needs its zone, as in 2026-12-24T18:00:00Z", param, ctx)
            if moment <= datetime.now(UTC):
                self.fail(f"{value} has passed already", param, ctx)
        return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Length(click.ParamType[float]):
    """`90s`, `30m`, `2h`, `3d`; becomes seconds."""

    name = "LENGTH"

    def convert(self, value: str | float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read one value; click reports what does not fit."""
        if isinstance(value, float):
            return value
        match = _LENGTH.fullmatch(value) or _SECONDS.fullmatch(value)
        if not match:
            self.fail("a length of time looks like 90s, 30m, 2h or 3d", param, ctx)
        return float(int(match[1]) * _UNITS[match[2]])
