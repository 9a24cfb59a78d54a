"""What both demo agents share: waiting for work in the inbox, and telling what they do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from ..local_client import JsonObject, LocalClient

__all__ = ["DemoFailed", "Tell", "entry", "next_item", "text"]

Tell = Callable[[str], None]
"""Where an agent says, in one line, what it has just done."""

T = TypeVar("T")


class DemoFailed(Exception):
    """The demonstration cannot go on; the text says why."""


def text(value: Mapping[str, object], key: str) -> str:
    """A text member of an answer."""
    member = value.get(key)
    if not isinstance(member, str):
        raise DemoFailed(f"the daemon's answer has no {key}")
    return member


def entry(value: Mapping[str, object], key: str) -> JsonObject:
    """An object member of an answer."""
    member = value.get(key)
    if not isinstance(member, dict):
        raise DemoFailed(f"the daemon's answer has no {key}")
    return member


def entries(value: Mapping[str, object], key: str) -> list[JsonObject]:
    """A list of objects in an answer."""
    member = value.get(key)
    if not isinstance(member, list):
        raise DemoFailed(f"the daemon's answer has no {key}")
    return [item for item in member if isinstance(item, dict)]


def next_item(api: LocalClient, agent: str, wanted: frozenset[str], *, patience_s: int = 60) -> JsonObject:
    """The next unprocessed inbox item of a wanted type; others are acknowledged and passed over.

    Each request waits at the daemon, so an idle agent costs nothing. Raises DemoFailed when nothing has come.
    """
    waited = 0
    while waited < patience_s:
        answer = api.get("/inbox", agent_id=agent, unprocessed="true", wait=10)
        waiting = sorted(entries(answer, "messages"), key=lambda item: str(item.get("received_at")))
        for item in waiting:
            if item.get("type") in wanted:
                return item
            api.post(f"/messages/{text(item, 'id')}/ack", {})
        if not waiting:
            waited += 10
    raise DemoFailed(f"nothing came for {agent} in {patience_s} s")
