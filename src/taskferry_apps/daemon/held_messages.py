"""Messages that come to be held otherwise than by their own delivery: what makes them count, their row."""

from __future__ import annotations

from taskferry_protocol.accounts import AccountLog
from taskferry_protocol.envelope import Envelope
from taskferry_protocol.errors import RejectCode, RemoteProtocolError
from taskferry_protocol.former import agent_then
from taskferry_protocol.ids import Instant
from taskferry_protocol.messages import Content, encode_content
from taskferry_protocol.records import Direction, InboxState, MessageRecord

from .draft import Draft

__all__ = ["held_message", "stood"]


def stood(log: AccountLog, envelope: Envelope) -> bool:
    """Whether the device that signed it was one of the account's where the envelope says."""
    device, quoted = log.state.devices.get(envelope.device), envelope.header.log
    return device is not None and log.contains(quoted) and device.stood_at(quoted.length)


async def held_message(
    draft: Draft, envelope: Envelope, content: Content, inbox: InboxState = InboxState.PROCESSED
) -> MessageRecord:
    """The row of a message of ours, or to us, which then stands in `inbox`; it wakes nobody by itself.

    What was said by or to an agent that was withdrawn since is the former one's.
    Raises RemoteProtocolError(wrong-recipient) for one between two others.
    """
    header, own = envelope.header, draft.core.own
    if own not in (header.to.account, header.from_.account):
        raise RemoteProtocolError(RejectCode.WRONG_RECIPIENT, "between two others")
    received = header.to.account == own
    log = await draft.own_log()
    from_ = agent_then(log, header.from_, header.log.length)
    to = agent_then(log, header.to, header.to_log.length)
    task = None
    if content.link is not None:
        task = content.link.task if content.link.task is not None else envelope.hash
    return MessageRecord(
        hash=envelope.hash,
        direction=Direction.IN if received else Direction.COPY,
        mine=to if received else from_,
        peer=from_ if received else to,
        device=envelope.device,
        id=header.id,
        seq=header.seq,
        cls=header.cls.value,
        type=content.body.type_name,
        conv=content.conv,
        content=encode_content(content),
        created_at=Instant(header.created_at),
        expires_at=header.expires_at,
        stored_at=draft.now,
        task=task,
        reply=content.reply,
        inbox=inbox if received else InboxState.QUIET,
    )
