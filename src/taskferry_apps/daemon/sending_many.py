"""Messages that are sent for agents, one or many at a time, and what whoever sends is told of each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import Context
from typing import Final

import trio

from taskferry_protocol.envelope import parse_envelope
from taskferry_protocol.ids import Hash
from taskferry_protocol.messages import TextMessage, decode_content
from taskferry_protocol.records import IdempotencyRecord

from .core import Core
from .draft import Posted
from .link import Link
from .names import own_agent
from .outgoing import posted_before, sent, sent_each
from .port import Caller, DaemonRefusal
from .sending import message_to
from .sending_port import NewMessage
from .steps import check_same, context_of_each, done_before_each, scope_of
from .together import Fill, Together
from .views import Sent

__all__ = ["Sending"]

_TWICE: Final = DaemonRefusal(
    "bad-value",
    "Another message before it has the same key.",
    "Give each message a key of its own, or none.",
    detail={"field": "key"},
)


class Sending:
    """Posts messages, those that wait together in one commit."""

    def __init__(self, core: Core, link: Link) -> None:
        self._core = core
        self._link = link
        self._together = Together(core)
        self._turns: dict[tuple[str, str], _Turn] = {}

    async def one(self, caller: Caller, message: NewMessage) -> Sent:
        """Send a message. Raises DaemonRefusal."""
        posted = await posted_before(self._core)
        if posted is None:
            posted = await self._together.post(await self._fill(caller, message))
        return await sent(self._core, self._link, posted)

    async def many(self, caller: Caller, messages: Sequence[NewMessage]) -> tuple[Sent | Exception, ...]:
        """Send each of them, as if by itself; what became of each."""
        async with self._alone(scope_of(caller), {message.key for message in messages if message.key}):
            posted = await self._post(caller, messages)
        shown = await sent_each(self._core, self._link, [one for one in posted if isinstance(one, Posted)])
        return tuple(shown[one.hash] if isinstance(one, Posted) else one for one in posted)

    async def _post(self, caller: Caller, messages: Sequence[NewMessage]) -> list[Posted | Exception]:
        outcomes: dict[int, Posted | Exception] = {}
        before = await self._before(caller, {message.key for message in messages if message.key})
        waiting: list[tuple[int, Fill, Context]] = []
        met: set[str] = set()
        for number, message in enumerate(messages):
            try:
                if message.key in met:
                    raise _TWICE
                if message.key:
                    met.add(message.key)
                if message.key in before:
                    kept, posted = before[message.key]
                    check_same(kept, message.digest)
                    outcomes[number] = posted
                    continue
                fill = await self._fill(caller, message)
            except DaemonRefusal as refused:
                outcomes[number] = refused
            else:
                waiting.append((number, fill, context_of_each(caller, message.key, message.digest)))
        if waiting:
            made = await self._together.post_all([(fill, context) for _, fill, context in waiting])
            outcomes |= {number: one for (number, _, _), one in zip(waiting, made, strict=True)}
        return [outcomes[number] for number in range(len(messages))]

    async def _fill(self, caller: Caller, message: NewMessage) -> Fill:
        agent = await own_agent(self._core, caller, message.mine)
        body = TextMessage(message.text, message.parts)
        return message_to(
            self._core,
            caller,
            agent,
            message.peer,
            body,
            message.conversation,
            message.reply_to,
            message.cause,
        )

    async def _before(
        self, caller: Caller, keys: Collection[str]
    ) -> Mapping[str, tuple[IdempotencyRecord, Posted]]:
        """What was sent under these keys before."""
        if not keys:
            return {}
        found = await done_before_each(self._core, caller, keys)
        sealed = await self._core.store.sealed([Hash(one.response) for one in found.values()])
        posted = {
            hash: Posted(parse_envelope(kept.envelope), decode_content(kept.content))
            for hash, kept in sealed.items()
        }
        return {key: (kept, posted[Hash(kept.response)]) for key, kept in found.items()}

    @asynccontextmanager
    async def _alone(self, scope: str, keys: Collection[str]) -> AsyncIterator[None]:
        """While nobody else sends under one of these keys, which all take in one order."""
        async with AsyncExitStack() as stack:
            for key in sorted(keys):
                await stack.enter_async_context(self._turn((scope, key)))
            yield

    @asynccontextmanager
    async def _turn(self, name: tuple[str, str]) -> AsyncIterator[None]:
        turn = self._turns.setdefault(name, _Turn())
        turn.users += 1
        try:
            async with turn.lock:
                yield
        finally:
            turn.users -= 1
            if not turn.users:
                del self._turns[name]


class _Turn:
    """Those who came with one key: one acts, the others wait."""

    def __init__(self) -> None:
        self.lock = trio.Lock()
        self.users = 0
