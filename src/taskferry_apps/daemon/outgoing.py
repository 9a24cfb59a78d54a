"""What an agent is told right after it sent something: the id, how far it is, and what it should know."""

from __future__ import annotations

from taskferry_protocol.envelope import parse_envelope
from taskferry_protocol.ids import AgentRef, Instant
from taskferry_protocol.messages import ArtifactSubmit, decode_content
from taskferry_protocol.records import Flow, MessageRecord

from .core import Core
from .delivery import deliveries, idle_warning
from .describe_tasks import state_shown
from .draft import Posted
from .identity_changes import stopped
from .link import Link
from .names import handle_of
from .steps import done_before
from .taskbook import Held
from .views import Delivery, Sent

__all__ = ["posted_before", "sent"]


async def posted_before(core: Core) -> Posted | None:
    """What the request under way, which has come again, posted in this step before its answer was lost."""
    hash = await done_before(core)
    if hash is None:
        return None
    kept = (await core.store.sealed((hash,)))[hash]
    return Posted(parse_envelope(kept.envelope), decode_content(kept.content))


async def sent(core: Core, link: Link, posted: Posted, held: Held | None = None) -> Sent:
    """The answer to a sender; `held` is the task that it belongs to."""
    if posted.record is not None:
        found: tuple[MessageRecord, ...] = (posted.record,)
    else:
        found = (await core.store.messages((posted.hash,))).get(posted.hash, ())
    ladders = tuple((await deliveries(core, found)).values())
    created = posted.envelope.header.created_at
    delivery = ladders[0] if ladders else Delivery("queued", Instant(created), "")
    warnings: tuple[str, ...] = ()
    header = posted.envelope.header
    to = header.to
    if await stopped(core.store, (to.account,)):
        handle = await handle_of(core, to)
        warnings = (
            f"The identity of {handle} is in question; this waits here until your owner has decided."
            f" See: taskferry peer show {handle}",
        )
    elif not link.connected:
        warnings = ("The relay is not reachable now; this waits here and is sent as soon as it is.",)
    elif await link.is_away(to):
        handle = await handle_of(core, to)
        warnings = (f"{handle} is not connected now; this is delivered when it comes back.",)
    if (idle := await _idle(core, header.from_, to)) is not None:
        warnings = (*warnings, idle)
    base = Sent(posted.hash, posted.content.conv, delivery, warnings)
    if held is None:
        return base
    state = held.view.state.value if held.view.state is not None else "unknown"
    version = None
    if isinstance(posted.content.body, ArtifactSubmit):
        version = next((v.number for v in held.view.versions if v.hash == posted.hash), None)
    return Sent(
        base.message,
        base.conversation,
        base.delivery,
        base.warnings,
        held.task,
        state_shown(state, delivery if held.task == posted.hash else None),
        version,
    )


async def _idle(core: Core, mine: AgentRef, peer: AgentRef) -> str | None:
    flow = Flow(mine, peer)
    word = (await core.store.peer_words((flow,))).get(flow)
    return idle_warning(await handle_of(core, peer), word, core.now())
