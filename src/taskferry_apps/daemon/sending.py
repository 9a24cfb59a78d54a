"""Whether something may be sent at all, found out before it is committed: what a peer's owner allows us.

The relay and the peer's daemon ask the same again. Asking here tells the agent at once and in plain words.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from taskferry_protocol.gates import Deed
from taskferry_protocol.ids import AgentRef, ConversationId, Hash, Instant
from taskferry_protocol.limits import CAUSES, HOPS
from taskferry_protocol.messages import ArtifactSubmit, TextMessage, decode_content, parts_size
from taskferry_protocol.permissions import permits
from taskferry_protocol.records import ConnectionState

from .bonds import Bond, bond_between, bonds_between
from .core import Core
from .deeds import permit_deed
from .draft import Draft, Posted, Thread
from .names import handle_of, match_prefix, named_peer, not_found, own_agent, parse_prefix
from .port import Caller, DaemonRefusal
from .search import recent_messages

__all__ = ["Way", "check_may_send", "open_way", "send_message"]


@attrs.frozen
class Way:
    """From an agent of ours to a peer, along a connection in force; none is needed to our own agents."""

    mine: AgentRef
    peer: AgentRef
    handle: str
    bond: Bond | None


async def open_way(core: Core, mine: AgentRef, peer: str | AgentRef) -> Way:
    """The way to a peer. Raises DaemonRefusal: bad-value, unknown-account, account-held, not-connected."""
    to = await named_peer(core, peer) if isinstance(peer, str) else peer
    handle = await handle_of(core, to)
    if to == mine:
        raise DaemonRefusal("bad-value", "An agent does not send to itself.", detail={"field": "to"})
    pinned = (await core.store.accounts((to.account,))).get(to.account)
    if pinned is not None and pinned.record.held:
        raise DaemonRefusal(
            "account-held",
            f"The account behind {handle} is held: {pinned.record.held}",
            "Ask its owner by another way what happened.",
            status=409,
        )
    if to.account == mine.account:
        return Way(mine, to, handle, None)
    bond = await bond_between(core.store, mine, to)
    if bond is None:
        raise _not_connected(await bonds_between(core.store, mine, to), mine, handle)
    return Way(mine, to, handle, bond)


def _not_connected(bonds: Sequence[Bond], mine: AgentRef, handle: str) -> DaemonRefusal:
    newest = bonds[-1].record if bonds else None
    if newest is not None and newest.state is ConnectionState.REQUESTED_OUT:
        return DaemonRefusal(
            "not-connected",
            f"{handle} has not accepted the request for a connection yet.",
            "Its owner decides; see: taskferry connections",
            status=403,
        )
    if newest is not None and newest.state is ConnectionState.REQUESTED_IN:
        return DaemonRefusal(
            "not-connected",
            f"{handle} waits for your decision on its request for a connection.",
            f"Accept it first: taskferry approve {newest.request.hex()[:8]}",
            status=403,
        )
    return DaemonRefusal(
        "not-connected",
        f"{mine.name} is not connected with {handle}.",
        f"Ask for a connection: taskferry connect {mine.name} {handle}",
        status=403,
    )


def check_may_send(way: Way, posted: Posted, now: Instant) -> None:
    """Nothing if the peer's owner allows it. Raises DaemonRefusal(not-permitted)."""
    if way.bond is None:
        return
    allowed = way.bond.received
    header = posted.envelope.header
    if allowed is None:
        raise _not_permitted(way, f"{way.handle} has not said yet what it allows.")
    grant, size = allowed.grant, len(posted.envelope.raw)
    if permits(grant, header.cls, size, now) is not None:
        if size > grant.largest:
            text = f"This is {size} bytes sealed; {way.handle} takes at most {grant.largest}."
        else:
            text = f"{way.handle} does not take messages of class {header.cls.value} now."
        raise _not_permitted(way, text)
    body, terms = posted.content.body, allowed.terms
    if terms is None:
        return
    if isinstance(body, ArtifactSubmit) and parts_size(body.parts) > terms.largest_artifact:
        raise _not_permitted(way, f"{way.handle} takes artifacts of at most {terms.largest_artifact} bytes.")


def _not_permitted(way: Way, text: str) -> DaemonRefusal:
    return DaemonRefusal("not-permitted", text, f"Ask the owner of {way.handle} to allow more.", status=403)


async def send_message(
    core: Core,
    caller: Caller,
    mine: str,
    peer: str,
    body: TextMessage,
    conversation: str,
    reply_to: str,
) -> Posted:
    """Send a message. `conversation` and `reply_to` may be "". Raises DaemonRefusal."""
    agent = await own_agent(core, caller, mine)
    async with core.lock:
        draft = Draft(core)
        await permit_deed(draft, caller, agent, Deed.WORD)
        way = await open_way(core, agent, peer)
        thread = await _thread(draft, agent, conversation, reply_to)
        posted = await draft.post(body, agent, way.peer, thread)
        check_may_send(way, posted, draft.now)
        draft.tell("message", agent.name, (posted.hash,), type=body.type_name, direction="out")
        await draft.commit()
    return posted


async def _thread(draft: Draft, mine: AgentRef, conversation: str, reply_to: str) -> Thread:
    conv = _conversation(conversation) if conversation else None
    if not reply_to:
        return Thread(conv or draft.conversation())
    wanted = parse_prefix(reply_to, "message")
    if isinstance(wanted, str):
        wanted = match_prefix(wanted, await recent_messages(draft.core.store, mine.name), "message")
    found = (await draft.core.store.messages((Hash(wanted),))).get(Hash(wanted), ())
    answered = next((message for message in found if message.mine == mine), None)
    if answered is None:
        raise not_found("message")
    content = decode_content(answered.content)
    if content.hop >= HOPS:
        raise DaemonRefusal(
            "too-many",
            f"{HOPS} messages led to each other here; a person has to look.",
            "Start a new conversation.",
            status=409,
        )
    cause = (*content.cause, answered.hash)[-CAUSES:]
    return Thread(conv or answered.conv, answered.hash, hop=content.hop + 1, cause=cause)


def _conversation(text: str) -> ConversationId:
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        raw = b""
    if len(raw) != 16:
        raise DaemonRefusal(
            "bad-value",
            "A conversation's id is 32 hexadecimal digits.",
            "Leave it out to begin a new one.",
            detail={"field": "conversation"},
        )
    return ConversationId(raw)
