"""What a message of a peer's does here, and one that another device of this owner has sent."""

from __future__ import annotations

from taskferry_protocol.inbound import Standing
from taskferry_protocol.messages import TextMessage
from taskferry_protocol.records import InboxState

from .arrival import Arrival
from .breakers import count_sent, screen_talk

__all__ = ["take_message"]


async def take_message(arrival: Arrival, body: TextMessage) -> None:
    """Keep it, and put it before our agent unless a breaker holds it. Raises as `screen_talk` does."""
    if arrival.decision.standing is Standing.COPY:
        arrival.store_copy()
        count_sent(arrival.draft, arrival.peer, arrival.mine, arrival.hash, arrival.content)
        return
    inbox = await screen_talk(arrival)
    arrival.store(inbox)
    if inbox is InboxState.UNREAD:
        arrival.draft.tell("message", arrival.mine.name, (arrival.hash,), type=body.type_name, direction="in")
