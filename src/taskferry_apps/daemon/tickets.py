"""The ticket that a set-up was given, kept until the relay that it is for has let the account in.

It stands in the daemon's own file alone, and is shown to no other relay, whichever the daemon is told to use.
"""

from __future__ import annotations

import json
from typing import Final

from taskferry_protocol.records import DropSetting, PutSetting
from taskferry_stores.port import DaemonStore

from ..origins import origin_of
from .port import DaemonRefusal

__all__ = ["FORGET_TICKET", "keep_ticket", "kept_ticket", "require_same_relay"]

_KEY: Final = "ticket"

FORGET_TICKET: Final = DropSetting(_KEY)


def keep_ticket(ticket: str, origin: str) -> PutSetting:
    """Remember a ticket for the relay at `origin`."""
    return PutSetting(_KEY, json.dumps({"origin": origin, "ticket": ticket}).encode())


def require_same_relay(configured: str, url: str) -> None:
    """Refuse a ticket for the relay at `url` where the daemon was told to use another one."""
    if origin_of(configured) != origin_of(url):
        raise DaemonRefusal(
            "bad-value",
            f"That ticket is for {url}, and this daemon was told to use {configured}.",
            "Start the daemon without --relay (or TASKFERRY_RELAY_WS and TASKFERRY_RELAY_HTTP).",
            detail={"field": "ticket"},
        )


async def kept_ticket(store: DaemonStore, origin: str) -> str:
    """The ticket for the relay at `origin`; "" if there is none."""
    raw = (await store.settings((_KEY,))).get(_KEY)
    if raw is None:
        return ""
    kept = json.loads(raw)
    return str(kept["ticket"]) if kept["origin"] == origin else ""
