"""What another device of this owner asks of this one, and what one says that was asked from here.

A request is carried out in the transaction that takes it, and answered in it: once, or not at all.
"""

from __future__ import annotations

from typing import Final

from taskferry_protocol.errors import LocalProtocolError, RejectCode, RemoteProtocolError
from taskferry_protocol.ids import AgentRef, DeviceId
from taskferry_protocol.messages import ActionOutcome, ActionRequest, Credential, Upshot

from .arrival import Arrival
from .asked import AskedState, keep, rows_of
from .draft import Draft, refusal_of
from .port import Caller, DaemonRefusal, TaskAction
from .tasks import Tasks

__all__ = ["take_action_outcome", "take_action_request"]

#: Characters of a sentence that travels: no sentence of ours is longer, and none becomes too many bytes.
_SENTENCE: Final = 500


async def take_action_request(arrival: Arrival, body: ActionRequest) -> None:
    """Do what is asked, as if a program of this machine had asked it, and answer.

    Raises RemoteProtocolError(not-authorized) where it is not from a device of ours to this one alone.
    """
    draft, device = arrival.draft, arrival.decision.envelope.device
    _check_between_devices(arrival)
    arrival.keep()
    before = draft.mark()
    try:
        outcome = await _carry_out(draft, arrival, body)
    except DaemonRefusal as refused:
        draft.back_to(before)
        outcome = _refused(arrival, refused)
    except (LocalProtocolError, RemoteProtocolError) as error:
        draft.back_to(before)
        outcome = _refused(arrival, refusal_of(error))
    own = draft.core.own
    await draft.post_quietly(outcome, AgentRef(own, ""), AgentRef.to_device(own, device))


async def take_action_outcome(arrival: Arrival, body: ActionOutcome) -> None:
    """Note what became of a request of this machine's; of one that is not known any more nothing.

    Raises RemoteProtocolError(not-authorized) where another device says it than was asked.
    """
    draft = arrival.draft
    _check_between_devices(arrival)
    asked = (await rows_of(draft)).get(body.request)
    if asked is not None and asked.device != arrival.decision.envelope.device:
        raise RemoteProtocolError(RejectCode.NOT_AUTHORIZED, "not from the device that was asked")
    arrival.keep()
    if asked is not None and asked.state in {AskedState.WAITING, AskedState.LOST}:
        await keep(draft, asked.answered(body, draft.now))


def _check_between_devices(arrival: Arrival) -> None:
    header = arrival.decision.envelope.header
    if header.from_.account != arrival.draft.core.own or header.to.device is None:
        raise RemoteProtocolError(RejectCode.NOT_AUTHORIZED, "not from one device of this account to another")


async def _carry_out(draft: Draft, arrival: Arrival, body: ActionRequest) -> ActionOutcome:
    if draft.now >= body.until:
        raise DaemonRefusal(
            RejectCode.EXPIRED.value,
            "It came here after its time was over.",
            "Ask again, if you still want it.",
        )
    action = TaskAction(
        body.action,
        body.agent,
        body.text,
        body.percent,
        body.parts,
        body.reasons,
        body.version,
        body.hash,
        body.answers,
    )
    caller = await _caller(draft, arrival.decision.envelope.device, body)
    tasks = Tasks(draft.core)
    step = await tasks.prepare(draft, caller, body.task, action)
    posted, held = await tasks.sign(draft, step, action)
    return ActionOutcome(arrival.hash, Upshot.DONE, posted.hash, held.view.display)


async def _caller(draft: Draft, device: DeviceId, body: ActionRequest) -> Caller:
    """As whom the request counts here: the owner's word is believed from a device that may manage."""
    state = (await draft.own_log()).state
    if device not in state.agents.get(body.agent, ()):
        raise DaemonRefusal(
            RejectCode.NOT_AUTHORIZED.value,
            f"That device does not serve {body.agent}, and asks nothing for it.",
            "Do it on a device that serves the agent.",
            status=403,
        )
    manages = state.devices[device].record.manage is not None
    owner = body.by is Credential.OWNER and manages
    return Caller(None) if owner else Caller(frozenset({body.agent}))


def _refused(arrival: Arrival, refused: DaemonRefusal) -> ActionOutcome:
    state = refused.detail.get("state")
    return ActionOutcome(
        arrival.hash,
        Upshot.REFUSED,
        state=state if isinstance(state, str) else "",
        code=refused.code,
        text=refused.message[:_SENTENCE],
        next_step=refused.next_step[:_SENTENCE],
    )
