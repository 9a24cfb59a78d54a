"""Links that a new machine shows, for a machine that manages its owner's account.

They carry the place to meet and nothing secret: who takes a machine in compares words (`linking`). Like those
of invites they are taken apart on the machine that opens them, and no server sees what stands behind the `#`.
"""

from __future__ import annotations

import re
from typing import Final

import attrs

from .errors import RejectCode, RemoteProtocolError
from .invites import PORTS, RELAY_HOST
from .linking import read_place, show_place

__all__ = ["DeviceLink"]

_LINK: Final = re.compile(rf"taskferry://(?P<relay>{RELAY_HOST})/device#code=(?P<code>[a-z0-9-]+)", re.ASCII)


@attrs.frozen
class DeviceLink:
    """`taskferry://RELAY-HOST/device#code=…`: a host, perhaps with a port, and the place to meet there."""

    relay: str
    place: str

    def format(self) -> str:
        """The link."""
        return f"taskferry://{self.relay}/device#code={show_place(self.place)}"

    @classmethod
    def parse(cls, text: str) -> DeviceLink:
        """Read a link, exactly as `format` writes it. Raises RemoteProtocolError(bad-value)."""
        match = _LINK.fullmatch(text)
        if match is not None and int(match["port"] or 0) <= PORTS:
            link = cls(match["relay"], read_place(match["code"]))
            if link.format() == text:
                return link
        raise RemoteProtocolError(
            RejectCode.BAD_VALUE, "a device link looks like taskferry://HOST/device#code=…"
        )
