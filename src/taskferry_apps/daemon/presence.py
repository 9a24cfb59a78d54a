"""Whether peers' agents are there now, as the relay says: asked once for all who send at the same time.

It is a hint for whoever sends, and decides nothing.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final, Protocol

import trio

from taskferry_protocol import calls
from taskferry_protocol.ids import AgentRef

from ..relay_client import CallRefused, LinkEnded

__all__ = ["KEPT_S", "PRESENCE_S", "Presence"]

#: A sender waits no longer than this to hear whether its peer is there.
PRESENCE_S: Final = 0.5
#: Who sends again within this time is told what was found then.
KEPT_S: Final = 0.25
#: A relay that does not say is not asked again for so long: other look-ups need what it allows.
UNSAID_S: Final = 5.0
#: Agents whose presence is held.
MOST: Final = 256


class Relay(Protocol):
    """What is asked: `RelayClient` is one."""

    async def call(self, request: calls.CallRequest) -> calls.CallAnswer:
        """Its answer. Raises CallRefused, LinkEnded."""


class _Asked:
    """One question, and its answer once that is there."""

    def __init__(self, *, away: bool) -> None:
        """`away` is what was found before."""
        self.done = trio.Event()
        self.until = 0.0
        self.away = away


class Presence:
    """What one session's relay said last. A session that ends takes it with it."""

    def __init__(self) -> None:
        self._client: Relay | None = None
        self._asked: dict[AgentRef, _Asked] = {}

    async def is_away(self, client: Relay, agent: AgentRef) -> bool:
        """Whether the relay says, and soon, that no device of a peer's agent has a session now."""
        if client is not self._client:
            self._client, self._asked = client, {}
        asked = self._asked.get(agent)
        if asked is None or (asked.done.is_set() and trio.current_time() >= asked.until):
            asked = self._asked[agent] = _Asked(away=asked is not None and asked.away)
            while len(self._asked) > MOST:
                del self._asked[next(iter(self._asked))]
            try:
                await self._ask(client, agent, asked)
            finally:
                asked.done.set()
        elif not asked.done.is_set():
            with trio.move_on_after(PRESENCE_S):
                await asked.done.wait()
        return asked.away

    async def _ask(self, client: Relay, agent: AgentRef, asked: _Asked) -> None:
        with trio.move_on_after(PRESENCE_S), suppress(CallRefused, LinkEnded):
            answer = await client.call(calls.GetPresence((agent,)))
            if isinstance(answer, calls.PresenceFound):
                asked.away = not answer.online[0]
                # Who is away may come back at any time, and is not called away then.
                asked.until = trio.current_time() + (0.0 if asked.away else KEPT_S)
                return
        asked.until = trio.current_time() + UNSAID_S
