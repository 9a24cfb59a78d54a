"""Whether something may be sent at all, found out before it is committed: what a peer's owner allows us.

The relay and the peer's daemon ask the same again. Asking here tells the agent at once and in plain words.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

import attrs

from taskferry_protocol.errors import RejectCode
from taskferry_protocol.gates import Deed
from taskferry_protocol.ids import AgentRef, ConversationId, Instant
from taskferry_protocol.messages import ArtifactSubmit, TaskRequest, TextMessage, parts_size
from taskferry_protocol.permissions import GRANTABLE, permits
from taskferry_protocol.records import ConnectionState

from .bonds import Bond, bond_between, bonds_between
from .breakers import count_words, permit_talk
from .core import Core
from .deeds import permit_deed
from .draft import Draft, Posted, Thread
from .leads import lead_of, named_message
from .names import handle_of, named_peer
from .port import Caller, DaemonRefusal
from .together import Fill
from .unserved import check_not_put_out

__all__ = ["Way", "check_may_say", "check_may_send", "check_takes_tasks", "message_to", "open_way"]

#: Why a relay would not carry an event of a task yet.
_UNHEARD: Final = frozenset({RejectCode.NOT_CONNECTED.value, RejectCode.NOT_PERMITTED.value})


@attrs.frozen
class Way:
    """From an agent of ours to a peer, along a connection in force; none is needed to our own agents."""

    mine: AgentRef
    peer: AgentRef
    handle: str
    bond: Bond | None


async def open_way(core: Core, mine: AgentRef, peer: str | AgentRef) -> Way:
    """The way to a peer.

    Raises DaemonRefusal: bad-value, device-gone, unknown-account, account-held, not-connected.
    """
    to = await named_peer(core, peer) if isinstance(peer, str) else peer
    handle = await handle_of(core, to)
    check_not_put_out(await core.own_log(), core.device)
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


async def check_may_say(
    core: Core, mine: AgentRef, peer: AgentRef, posted: Posted, now: Instant, *, ends: bool
) -> None:
    """Nothing if the peer's owner allows an event of a task, or if it `ends` the task.

    A task is over whether or not its peer may hear of it: what a relay refuses goes there once it may.
    Raises DaemonRefusal as `open_way` and `check_may_send` do.
    """
    try:
        check_may_send(await open_way(core, mine, peer), posted, now)
    except DaemonRefusal as refused:
        if not ends or refused.code not in _UNHEARD:
            raise


def check_may_send(way: Way, posted: Posted, now: Instant) -> None:
    """Nothing if the peer's owner allows it. Raises DaemonRefusal(not-permitted)."""
    if way.bond is None:
        return
    allowed = way.bond.received
    header = posted.envelope.header
    if allowed is None:
        raise _not_permitted(way, f"{way.handle} has not said yet what it allows.")
    grant, size = allowed.grant, len(posted.envelope.raw)
    # By a rate of none the relay would put it off for ever.
    never = not grant.rate and header.cls in GRANTABLE
    if never or permits(grant, header.cls, size, now) is not None:
        if size > grant.largest:
            text = f"This is {size} bytes sealed; {way.handle} takes at most {grant.largest}."
        else:
            text = f"{way.handle} does not take messages of class {header.cls.value} now."
        raise _not_permitted(way, text)
    body, terms = posted.content.body, allowed.terms
    if terms is None:
        return
    if isinstance(body, TaskRequest):
        check_takes_tasks(way)
    if isinstance(body, ArtifactSubmit) and parts_size(body.parts) > terms.largest_artifact:
        raise _not_permitted(way, f"{way.handle} takes artifacts of at most {terms.largest_artifact} bytes.")


def check_takes_tasks(way: Way) -> None:
    """Nothing if the peer's owner allows any task to be open. Raises DaemonRefusal(not-permitted).

    Only the peer's daemon knows how many are.
    """
    allowed = way.bond.received if way.bond is not None else None
    if allowed is not None and allowed.terms is not None and not allowed.terms.task_budget:
        raise _not_permitted(
            way, f"{way.mine.name} may start no task with {way.handle}; it may answer those of {way.handle}."
        )


def _not_permitted(way: Way, text: str) -> DaemonRefusal:
    return DaemonRefusal("not-permitted", text, f"Ask the owner of {way.handle} to allow more.", status=403)


def message_to(
    core: Core,
    caller: Caller,
    agent: AgentRef,
    peer: str,
    body: TextMessage,
    conversation: str,
    reply_to: str,
    cause: str = "",
) -> Fill:
    """What puts a message into a draft, or raises DaemonRefusal; the last three texts may be ""."""

    async def fill(draft: Draft) -> Posted:
        await draft.once(("word", caller, agent), partial(permit_deed, draft, caller, agent, Deed.WORD))
        way = await draft.once(("way", agent, peer), partial(open_way, core, agent, peer))
        conv = _conversation(conversation) if conversation else None
        answered = await named_message(draft, caller, agent, reply_to) if reply_to else None
        led = [answered] if answered is not None else []
        if cause:
            led.insert(0, await named_message(draft, caller, agent, cause))
        if led:
            lead = await lead_of(draft, caller, agent, way.peer, led)
        else:
            follow = partial(lead_of, draft, caller, agent, way.peer, ())
            lead = await draft.once(("lead", caller, agent, way.peer), follow)
        words = await permit_talk(draft, agent, way.peer, lead, body)
        thread = Thread(
            conv or (answered.conv if answered is not None else draft.conversation()),
            answered.hash if answered is not None else None,
            hop=lead.hop,
            cause=lead.cause,
        )
        posted = await draft.post(body, agent, way.peer, thread)
        check_may_send(way, posted, draft.now)
        count_words(draft, agent, way.peer, posted.hash, words)
        draft.tell("message", agent.name, (posted.hash,), type=body.type_name, direction="out")
        return posted

    return fill


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
