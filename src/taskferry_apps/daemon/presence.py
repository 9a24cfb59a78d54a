"""Whether peers' agents are there now, as the relay says: asked once for all who send at the same time.

One question is for all peers that anybody has sent to just before: each by itself costs both sides as much.

It is a hint for whoever sends, and decides nothing.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final, Protocol

import trio

from taskferry_protocol import calls
from taskferry_protocol.call_answers import PRESENCE_AGENTS
from taskferry_protocol.ids import AgentRef

from ..relay_client import CallRefused, LinkEnded

__all__ = ["ALONG_S", "KEPT_S", "PRESENCE_S", "Presence"]

#: A sender waits no longer than this to hear whether its peer is there.
PRESENCE_S: Final = 0.5
#: Who sends again within this time is told what was found then.
KEPT_S: Final = 0.25
#: A relay that does not say is not asked again for so long: other look-ups need what it allows.
UNSAID_S: Final = 5.0
#: Agents whose presence is held.
MOST: Final = 256
#: Who has sent to a peer within this time is taken to go on: that peer is asked about along with another.
ALONG_S: Final = 1.0


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
        self.wanted_at = trio.current_time()

    @property
    def is_over(self) -> bool:
        """Whether it counts no more."""
        return self.done.is_set() and trio.current_time() >= self.until


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
        if asked is None or asked.is_over:
            asked = await self._ask(client, agent)
        elif not asked.done.is_set():
            with trio.move_on_after(PRESENCE_S):
                await asked.done.wait()
        asked.wanted_at = trio.current_time()
        return asked.away

    async def _ask(self, client: Relay, agent: AgentRef) -> _Asked:
        recently = trio.current_time() - ALONG_S
        along = [one for one, then in self._asked.items() if then.is_over and then.wanted_at >= recently]
        agents = tuple(dict.fromkeys((agent, *along)))[:PRESENCE_AGENTS]
        asked = {one: self._begin(one) for one in agents}
        while len(self._asked) > MOST:
            del self._asked[next(iter(self._asked))]
        try:
            with trio.move_on_after(PRESENCE_S), suppress(CallRefused, LinkEnded):
                answer = await client.call(calls.GetPresence(agents))
                if isinstance(answer, calls.PresenceFound) and len(answer.online) == len(agents):
                    for one, is_online in zip(asked.values(), answer.online, strict=True):
                        one.away = not is_online
                        # Who is away may come back at any time, and is not called away then.
                        one.until = trio.current_time() + (KEPT_S if is_online else 0.0)
                    return asked[agent]
            for one in asked.values():
                one.until = trio.current_time() + UNSAID_S
        finally:
            for one in asked.values():
                one.done.set()
        return asked[agent]

    def _begin(self, agent: AgentRef) -> _Asked:
        before = self._asked.get(agent)
        asked = self._asked[agent] = _Asked(away=before is not None and before.away)
        if before is not None:
            asked.wanted_at = before.wanted_at
        return asked
