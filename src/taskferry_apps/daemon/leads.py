"""What led to what an agent sends: what it names, or what it last read from the other (docs/breakers.md).

A program that names nothing is not taken at its silence: two of them would thank each other for ever.
"""

from __future__ import annotations

from collections.abc import Sequence

from taskferry_protocol.breakers import LED_MS, Lead, led_by
from taskferry_protocol.ids import AgentRef, ConversationId, Hash, Instant
from taskferry_protocol.limits import DAY_MS, HOPS
from taskferry_protocol.links import TaskLink
from taskferry_protocol.messages import decode_content
from taskferry_protocol.records import Flow, MessageRecord

from .draft import Draft, Thread
from .names import match_prefix, not_found, parse_prefix
from .port import Caller
from .search import recent_messages
from .taskbook import Held
from .visibility import without_hidden

__all__ = ["lead_of", "named_message", "within_task"]


async def named_message(draft: Draft, caller: Caller, mine: AgentRef, named: str) -> MessageRecord:
    """A message of our agent's by id or prefix; a task's id is that of its request. Raises DaemonRefusal."""
    wanted = parse_prefix(named, "message")
    if isinstance(wanted, str):
        wanted = match_prefix(wanted, await recent_messages(draft.core.store, mine.name), "message")
    found = (await draft.core.store.messages((Hash(wanted),))).get(Hash(wanted), ())
    shown = await without_hidden(draft.core, caller, found)
    named_one = next((message for message in shown if message.mine == mine), None)
    if named_one is None:
        raise not_found("message")
    return named_one


async def lead_of(
    draft: Draft, caller: Caller, mine: AgentRef, to: AgentRef, named: Sequence[MessageRecord]
) -> Lead:
    """What led to a message or new task for `to`: those that the caller named, in their order.

    Where it named none, an agent's program was led by the last talk of the other's that it has read, if that
    came within the hour. Whoever holds the owner's credential begins.
    """
    if not named and not caller.is_owner:
        named = await _read_last(draft, mine, to)
    return led_by([(message.hash, await _lead(draft, message)) for message in named])


async def _read_last(draft: Draft, mine: AgentRef, to: AgentRef) -> tuple[MessageRecord, ...]:
    # What others sent does not count: else anybody could use up the hops of what is said to somebody else.
    last = await draft.core.store.last_read(Flow(mine, to), Instant(draft.now - LED_MS))
    if last is None:
        return ()
    found = (await draft.core.store.messages((last.hash,))).get(last.hash, ())
    return tuple(message for message in found if message.mine == mine)


async def _lead(draft: Draft, message: MessageRecord) -> Lead:
    content = decode_content(message.content)
    pair = await draft.core.pairs.of(message.mine, message.peer, draft.now)
    looked_at = pair.breaker.looked_at
    # One that lies further ahead was written by a clock that was, and says nothing of what came since.
    looked = looked_at is not None and message.stored_at <= looked_at <= draft.now + DAY_MS
    # What came before a person's word counts no more: it is the word that leads on.
    return Lead(0 if looked else content.hop, content.cause)


def within_task(held: Held, conv: ConversationId, link: TaskLink) -> Thread:
    """The thread of an event in a task: its request led to it. How many there may be, the budget says."""
    request = held.contents.get(held.task)
    if request is None:
        return Thread(conv, link=link)
    lead = led_by(((held.task, Lead(request.hop, request.cause)),))
    return Thread(conv, link=link, hop=min(lead.hop, HOPS), cause=lead.cause)
