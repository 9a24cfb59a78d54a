"""What an agent is told right after it sent something: the id, how far it is, and what it should know."""

from __future__ import annotations

from collections.abc import Collection

from taskferry_protocol.envelope import parse_envelope
from taskferry_protocol.errors import RejectCode
from taskferry_protocol.ids import AgentRef, Hash, Instant
from taskferry_protocol.messages import ArtifactSubmit, decode_content
from taskferry_protocol.records import Flow
from taskferry_protocol.task_actions import ENDING

from .bonds import bond_between
from .core import Core
from .delivery import deliveries, idle_warning
from .describe_tasks import state_shown
from .draft import Posted
from .identity_changes import stopped
from .link import Link
from .names import handle_of
from .steps import done_before
from .taskbook import Held
from .undelivered import lost_word, unconfirmed
from .unserved import PUT_OUT
from .views import Delivery, Sent

__all__ = ["posted_as", "posted_before", "sent", "sent_each"]


async def posted_before(core: Core) -> Posted | None:
    """What the request under way, which has come again, posted in this step before its answer was lost."""
    hash = await done_before(core)
    if hash is None:
        return None
    posted = await posted_as(core, hash)
    if posted is None:
        raise LookupError("a message that was sent is part of the history")
    return posted


async def posted_as(core: Core, hash: Hash) -> Posted | None:
    """What was posted, by its hash; None of what is neither a message nor an event and was sent since."""
    kept = (await core.store.sealed((hash,))).get(hash)
    return Posted(parse_envelope(kept.envelope), decode_content(kept.content)) if kept is not None else None


async def sent(core: Core, link: Link, posted: Posted, held: Held | None = None) -> Sent:
    """The answer to a sender; `held` is the task that it belongs to."""
    base = (await sent_each(core, link, (posted,)))[posted.hash]
    if held is None:
        return base
    state = held.view.state.value if held.view.state is not None else "unknown"
    version = None
    if isinstance(posted.content.body, ArtifactSubmit):
        version = next((v.number for v in held.view.versions if v.hash == posted.hash), None)
    lost, unheard = await _lost_before(core, posted, held), await _unheard(core, posted)
    # Where nobody hears of it, nothing else is to be said of when it gets there.
    warnings = (unheard,) if unheard else base.warnings
    return Sent(
        base.message,
        base.conversation,
        base.delivery,
        (*warnings, lost) if lost else warnings,
        held.task,
        state_shown(state, base.delivery if held.task == posted.hash else None),
        version,
    )


async def _unheard(core: Core, posted: Posted) -> str:
    """What is to be known of the end of a task with whom no agent here is connected any more."""
    header = posted.envelope.header
    if posted.content.body.type_name not in ENDING or header.from_.account == header.to.account:
        return ""
    if await bond_between(core.store, header.from_, header.to) is not None:
        return ""
    peer = await handle_of(core, header.to)
    mine = header.from_.name
    return f"{mine} is not connected with {peer}: the task is over here, and {peer} may never hear of it."


async def _lost_before(core: Core, posted: Posted, held: Held) -> str:
    """What is to be known of an earlier word of ours in the task that did not arrive."""
    role = next((event.role for event in held.events if event.hash == posted.hash), None)
    if role is None:
        return ""
    return await lost_word(
        core, [event for event in unconfirmed(held.view, role) if event.hash != posted.hash]
    )


async def sent_each(core: Core, link: Link, posted: Collection[Posted]) -> dict[Hash, Sent]:
    """The answers to senders of messages, by hash. What is known of a peer is asked once."""
    made = {one.hash: (one.record,) for one in posted if one.record is not None}
    rest = [one.hash for one in posted if one.record is None]
    found = {**made, **(await core.store.messages(rest) if rest else {})}
    ladders = await deliveries(core, [message for messages in found.values() for message in messages])
    known: dict[tuple[AgentRef, AgentRef], tuple[str, ...]] = {}
    answers: dict[Hash, Sent] = {}
    for one in posted:
        header = one.envelope.header
        pair = (header.from_, header.to)
        if pair not in known:
            known[pair] = await _warnings(core, link, *pair)
        shown = [ladders[one.hash, m.mine.name] for m in found.get(one.hash, ()) if m.rung is not None]
        delivery = shown[0] if shown else Delivery("queued", Instant(header.created_at), "")
        answers[one.hash] = Sent(one.hash, one.content.conv, delivery, known[pair])
    return answers


async def _warnings(core: Core, link: Link, mine: AgentRef, to: AgentRef) -> tuple[str, ...]:
    warnings: tuple[str, ...] = ()
    if await stopped(core.store, (to.account,)):
        handle = await handle_of(core, to)
        warnings = (
            f"The identity of {handle} is in question; this waits here until your owner has decided."
            f" See: taskferry peer show {handle}",
        )
    elif link.refused is RejectCode.DEVICE_GONE:
        warnings = (PUT_OUT,)
    elif not link.connected:
        warnings = ("The relay is not reachable now; this waits here and is sent as soon as it is.",)
    elif await link.is_away(to):
        handle = await handle_of(core, to)
        warnings = (f"{handle} is not connected now; this is delivered when it comes back.",)
    if (idle := await _idle(core, mine, to)) is not None:
        warnings = (*warnings, idle)
    return warnings


async def _idle(core: Core, mine: AgentRef, peer: AgentRef) -> str | None:
    flow = Flow(mine, peer)
    word = (await core.store.peer_words((flow,))).get(flow)
    return idle_warning(await handle_of(core, peer), word, core.now())
