"""Tickets, by which a new account comes in at a relay that asks for one (spec/session.md section 3)."""

from __future__ import annotations

import base64
import re
from typing import Final

__all__ = ["TICKET_BYTES", "TICKET_CHARS", "is_ticket", "make_ticket"]

#: Random bytes in a ticket that this implementation makes.
TICKET_BYTES: Final = 24
#: The longest that any relay may make.
TICKET_CHARS: Final = 128

_TICKET: Final = re.compile(rf"[!-~]{{1,{TICKET_CHARS}}}", re.ASCII)


def is_ticket(text: str) -> bool:
    """Whether `text` may be a ticket: 1 to 128 visible characters of ASCII."""
    return _TICKET.fullmatch(text) is not None


def make_ticket(random: bytes) -> str:
    """A ticket of `TICKET_BYTES` fresh random bytes. It begins with `tft_`, so that scanners know one."""
    return "tft_" + base64.urlsafe_b64encode(random).rstrip(b"=").decode("ascii")
