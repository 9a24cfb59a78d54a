"""Links that carry a ticket to whoever sets up an account.

They are for people: the command line takes them apart, and no server sees what stands behind the `#`.
"""

from __future__ import annotations

import re
from typing import Final

import attrs

from .errors import RejectCode, RemoteProtocolError
from .invites import PORTS, RELAY_HOST
from .tickets import is_ticket

__all__ = ["SetupLink"]

LINK_CHARS: Final = 512

_SCHEME: Final = "taskferry://"
_LINK: Final = re.compile(
    rf"taskferry://(?P<relay>{RELAY_HOST})/setup#ticket=(?P<ticket>[A-Za-z0-9._~-]+)", re.ASCII
)


@attrs.frozen
class SetupLink:
    """`taskferry://RELAY-HOST/setup#ticket=…`; `relay` is a host with an optional port."""

    relay: str
    ticket: str = attrs.field(repr=False)

    def format(self) -> str:
        """The link. Whoever sees it whole can use the ticket."""
        return f"{_SCHEME}{self.relay}/setup#ticket={self.ticket}"

    @classmethod
    def parse(cls, text: str) -> SetupLink:
        """Read a link. Raises RemoteProtocolError(bad-value), whose text says what is wrong with it."""
        if not text.startswith(_SCHEME):
            raise _refused("a set-up link begins with taskferry://")
        if len(text) > LINK_CHARS:
            raise _refused("a set-up link is not that long")
        match = _LINK.fullmatch(text)
        if match is not None and int(match["port"] or 0) <= PORTS and is_ticket(match["ticket"]):
            return cls(match["relay"], match["ticket"])
        place, _, fragment = text.removeprefix(_SCHEME).partition("#")
        host, _, path = place.partition("/")
        if path.startswith("invite/"):
            raise _refused("this is an invite to connect, not a ticket to set up an account")
        if path != "setup":
            raise _refused("a set-up link looks like taskferry://HOST/setup#ticket=…")
        named = re.fullmatch(RELAY_HOST, host, re.ASCII)
        if named is None or int(named["port"] or 0) > PORTS:
            raise _refused("the link names no relay: HOST is lower case, with a port if it needs one")
        if not fragment.startswith("ticket="):
            raise _refused("the ticket is missing: copy the whole link, with what follows its #, in quotes")
        raise _refused("the ticket in this link is cut or changed; copy the link again")


def _refused(text: str) -> RemoteProtocolError:
    return RemoteProtocolError(RejectCode.BAD_VALUE, text)
