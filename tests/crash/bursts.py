"""Agents that say much at once: a request of many messages under keys, and many requests at one time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Final

from taskferry_apps.local_client import ApiError, JsonObject, LocalClient
from tests.crash.world import listed, until

if TYPE_CHECKING:
    from tests.crash.stories import Lane

__all__ = ["is_said_at_once", "says_many", "widen"]

#: Messages of one request: a run of the recipient's, and more than two of them.
SIZES: Final = (64, 150)
AT_ONCE: Final = 64
CALLERS: Final = 8
#: What a message may be refused with while a program is being killed: it is asked for again.
_PASSING: Final = frozenset({"internal", "storage", "conflict"})
_WIDE: Final = 100_000


def widen(
    alice: LocalClient,
    bob: LocalClient,
    asks: str,
    does: str,
    check: Callable[[], None] = lambda: None,
    second: LocalClient | None = None,
) -> None:
    """Let so much pass between two agents that no rate and no breaker stops it.

    `second` is another machine of Alice's.
    """
    for client, mine, peer in ((alice, asks, f"@bob/{does}"), (bob, does, f"@alice/{asks}")):
        wider = {"from": mine, "to": peer, "rate_per_minute": _WIDE}
        until(partial(client.post, "/permissions", wider), "a wider grant", check=check)
        laxer = {"from": mine, "to": peer, "messages": _WIDE, "messages_a_day": _WIDE}
        # Each machine counts by its own limits.
        for machine in (alice, second) if client is alice and second is not None else (client,):
            until(partial(machine.post, "/breakers", laxer), "laxer breakers", check=check)
    for client, mine, peer in ((alice, asks, f"@bob/{does}"), (bob, does, f"@alice/{asks}")):
        until(partial(_is_wide, client, mine, peer), "the wider grant is known", check=check)


def _is_wide(client: LocalClient, mine: str, peer: str) -> bool | None:
    shown = client.get("/permissions", **{"from": mine, "to": peer})
    return str(shown).count(f"'rate_per_minute': {_WIDE}") >= 2 or None


def says_many(lane: Lane) -> None:
    """Many messages in one request, asked for until each is sent; asked for again, each is the same."""
    count = lane.dice.choice(SIZES)
    texts = [f"many {lane.seed}-{lane.number}-{lane.rounds}-{n}." for n in range(count)]
    said = {"from": lane.asks, "to": f"@bob/{lane.does}"}
    # No key of a request of one message is like these.
    messages = [{**said, "text": text, "key": text.replace(" ", "-")} for text in texts]
    known: dict[int, str] = {}

    def sent() -> bool | None:
        answer = lane.alice.post("/messages/batch", {"messages": messages})
        results = listed(answer, "results")
        assert len(results) == count, f"{len(results)} answers to {count} messages"
        refused = [_note(known, n, result, texts[n]) for n, result in enumerate(results)]
        for text, error in zip(texts, refused, strict=True):
            if error is not None:
                # The first of them stands for all: they share a commit.
                lane.heard(lane.alice, "/messages/send", {"text": text}, error)
                break
        return True if len(known) == count else None

    until(sent, "many messages are sent", check=lane.world.check)
    lane.pulse.beat()
    lane.texts["bob"] += texts
    if lane.dice.random() < 0.5:
        until(sent, "many messages are sent again", check=lane.world.check)
        lane.pulse.beat()
    at = lane.dice.randrange(count)
    shown = until(lambda: lane.alice.get(f"/messages/{known[at]}"), "a message", check=lane.world.check)
    assert isinstance(shown["payload"], dict)
    assert shown["payload"]["text"] == texts[at], "an answer stands in the wrong place"


def _note(known: dict[int, str], number: int, result: JsonObject, text: str) -> ApiError | None:
    """Hold an answer to those before it; what a message is refused with."""
    if not result["ok"]:
        error = result["error"]
        assert isinstance(error, Mapping)
        assert error["code"] in _PASSING, f"{text}: {error}"
        if number in known:
            # Its answer could not be read again; what was stored is stored.
            return None
        return ApiError(503, str(error["code"]), str(error["message"]))
    message = str(result["message_id"])
    assert known.setdefault(number, message) == message, f"{text} was sent twice"
    return None


def is_said_at_once(lane: Lane) -> None:
    """Many requests of one message each at the same time, to one recipient."""
    texts = [f"at once {lane.seed}-{lane.number}-{lane.rounds}-{n}." for n in range(AT_ONCE)]
    said = {"from": lane.does, "to": f"@alice/{lane.asks}"}

    def say(number: int) -> None:
        with ExitStack() as stack:
            client = stack.enter_context(lane.world.client("bob"))
            for text in texts[number::CALLERS]:
                lane.say(client, "/messages/send", {**said, "text": text}, text.replace(" ", "-"))

    with ThreadPoolExecutor(CALLERS) as callers:
        for done in [callers.submit(say, number) for number in range(CALLERS)]:
            done.result()
    lane.texts["alice"] += texts
