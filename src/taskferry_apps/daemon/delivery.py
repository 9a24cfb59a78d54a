"""How far outgoing messages came: the ladder with its times, and what is known of each rung, in words.

No rung is claimed before it was reached, and "nobody has looked" never where nobody would tell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from taskferry_protocol.errors import RejectCode
from taskferry_protocol.ids import Hash, Instant
from taskferry_protocol.limits import DAY_MS
from taskferry_protocol.records import Flow, MessageRecord, PeerWord, Rung

from .core import Core
from .names import handle_of
from .views import Delivery

__all__ = ["LONG_AGO_MS", "deliveries", "delivery_words", "duration_words", "idle_warning", "ladder_of"]

#: An agent that nobody has run for so long may not be run again soon: whoever sends to it is told.
LONG_AGO_MS: Final = 6 * 3_600_000
_HOUR_MS: Final = 3_600_000


def ladder_of(message: MessageRecord) -> Delivery | None:
    """The rungs of an outgoing message by their times alone, None for any other."""
    rung = message.rung
    if rung is None:
        return None
    steps: list[tuple[str, Instant | None]] = [
        ("queued", message.stored_at),
        ("relayed", message.relayed_at),
        ("delivered", message.delivered_at),
        ("offered", message.offered_at),
        ("read", message.read_at),
        ("processed", message.processed_at),
    ]
    history = tuple((name, at) for name, at in steps if at is not None)
    name, at = history[-1]
    if rung in {Rung.FAILED, Rung.EXPIRED}:
        name = rung.value
    return Delivery(name, at, message.code, history)


async def deliveries(core: Core, messages: Sequence[MessageRecord]) -> Mapping[tuple[Hash, str], Delivery]:
    """The ladders of those of the messages that are outgoing, by hash and agent, with their words."""
    ladders = [(message, ladder) for message in messages if (ladder := ladder_of(message)) is not None]
    words = await core.store.peer_words({Flow(message.mine, message.peer) for message, _ in ladders})
    shown = {}
    for message, ladder in ladders:
        word = words.get(Flow(message.mine, message.peer))
        handle = await handle_of(core, message.peer)
        shown[message.hash, message.mine.name] = Delivery(
            ladder.rung,
            ladder.at,
            ladder.code,
            ladder.history,
            None if word is None else word.tells,
            delivery_words(ladder, handle, word),
        )
    return shown


def delivery_words(delivery: Delivery, handle: str, word: PeerWord | None) -> str:
    """What is known of a message, in a sentence; `handle` is its recipient's, `word` what that said last."""
    at, owner = _clock(delivery.at), handle.partition("/")[0]
    silent = word is not None and not word.tells
    match delivery.rung:
        case "queued":
            return "Queued here; the relay has not taken it yet."
        case "relayed":
            return f"At the relay since {at}; not yet on {owner}'s machine."
        case "delivered":
            there = f"On {owner}'s machine since {at}"
            if silent:
                return f"{there}; {owner} does not let it be told whether it was read."
            if word is None:
                return f"{there}; whether an agent has looked at it is not told."
            ran = f" {handle} was last run at {_clock(word.seen_at)}." if word.seen_at is not None else ""
            return f"{there}; no agent has looked at it yet.{ran}"
        case "offered":
            rest = f"{owner} tells no more of it" if silent else "not read yet"
            return f"Put before {handle} at {at}; {rest}."
        case "read":
            rest = f"; {owner} tells no more of it" if silent else ""
            return f"Read by {handle} at {at}{rest}."
        case "processed":
            return f"Processed by {handle} at {at}."
        case "expired" if delivery.code == RejectCode.DEVICE_GONE.value:
            return "The machine that sent it was put out; whether it was delivered is not known."
        case "failed" if delivery.code == RejectCode.DEVICE_GONE.value:
            return f"Failed: {owner} has no machine any more. Ask {owner} by another way."
        case "failed" if delivery.code == RejectCode.UNKNOWN_RECIPIENT.value:
            return f"Failed: no machine of {owner} serves {handle} any more. Ask {owner} by another way."
        case "expired":
            return "Expired; whether it was delivered is not known."
        case _:
            return f"Failed: {delivery.code}." if delivery.code else "Failed."


def idle_warning(handle: str, word: PeerWord | None, now: Instant) -> str | None:
    """What a sender is told at once of an agent that nobody has run for a while, as far as that was said."""
    if word is None or not word.tells:
        return None
    if word.seen_at is None:
        return f"No program had run {handle} yet when its machine last said so, at {_clock(word.said_at)}."
    idle = now - word.seen_at
    if idle < LONG_AGO_MS:
        return None
    said = f" (its machine said so at {_clock(word.said_at)})"
    return f"{handle} has not been run for {duration_words(idle)}{said}; this waits until it is."


def duration_words(ms: int) -> str:
    """Some hours or days, as people say it."""
    count, unit = (ms // DAY_MS, "day") if ms >= 2 * DAY_MS else (ms // _HOUR_MS, "hour")
    return f"{count} {unit}" if count == 1 else f"{count} {unit}s"


def _clock(at: Instant) -> str:
    # A peer names its own times: what no calendar can write is cut off.
    when = datetime.fromtimestamp(min(at, 253_402_300_799_000) / 1000, UTC)
    return f"{when:%Y-%m-%d %H:%M} UTC"
