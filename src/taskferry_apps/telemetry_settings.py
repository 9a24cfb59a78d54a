"""How the settings of telemetry are read. Each raises ValueError with what would do, in words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote, urlsplit

from taskferry_transports.loopback import is_loopback

from .setting_values import number, url

__all__ = ["collector", "headers", "one_in"]

#: What the request itself says, and what would change how it is read.
_TAKEN: Final = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "host",
        "te",
        "transfer-encoding",
        "upgrade",
    }
)
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_VALUE: Final = re.compile(r"[!-~]([ -~]{0,4094}[!-~])?", re.ASCII)
_WANTED: Final = (
    "name=value, comma-separated, of visible characters (a comma in a value is written %2C), "
    "and none that the request itself has"
)


def collector(text: str) -> str:
    """The URL of a collector, to which /v1/traces and /v1/metrics are added."""
    plain = url("http", "https")(text)
    parts = urlsplit(plain)
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise ValueError(
            "a URL that begins with https://, unless the collector is on this machine, "
            "such as http://127.0.0.1:4318"
        )
    return plain


def headers(text: str) -> Mapping[str, str]:
    """`name=value,...` as other programs of OpenTelemetry read them: values may be percent-encoded."""
    found: dict[str, str] = {}
    for item in text.split(","):
        name, equals, value = item.strip().partition("=")
        if not item.strip():
            continue
        name, value = name.strip().lower(), unquote(value.strip(), errors="strict")
        if not equals or not _NAME.fullmatch(name) or not _VALUE.fullmatch(value) or name in _TAKEN:
            raise ValueError(_WANTED)
        if name in found:
            raise ValueError("one value for each name")
        found[name] = value
    return found


def one_in(text: str) -> int:
    """Of how many one is traced."""
    if (many := number(text)) < 1:
        raise ValueError("a number from 1 on, of how many one is traced")
    return many
