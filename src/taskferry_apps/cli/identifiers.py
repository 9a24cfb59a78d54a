"""Ids as people copy them from a table."""

from __future__ import annotations

import re
from typing import Final

import click

__all__ = ["Identifier"]

_ID: Final = re.compile(r"[0-9a-f]{8,64}", re.ASCII)


class Identifier(click.ParamType[str]):
    """Eight to 64 characters of hex, as tables show them; becomes lower case."""

    name = "ID"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Read one value; click reports what does not fit."""
        wanted = value.strip().lower()
        if not _ID.fullmatch(wanted):
            self.fail(f"{value!r} is no id: copy 8 or more characters of one that a table shows", param, ctx)
        return wanted
