"""A task that an agent wants to hand on, kept whole from the question to its owner until it is sent.

What the owner reads is what is kept, and what is kept is what is sent.
"""

from __future__ import annotations

from functools import cached_property
from typing import Final

import attrs

from taskferry_protocol.cbor import decode, encode
from taskferry_protocol.errors import LocalProtocolError
from taskferry_protocol.ids import AgentRef, ConversationId, Hash, sha256
from taskferry_protocol.limits import ENVELOPE_BYTES
from taskferry_protocol.links import Seen, TaskLink
from taskferry_protocol.messages import Content, TaskRequest, encode_content
from taskferry_protocol.shape import MapReader

from ..amounts import counted
from .draft import refusal_of

__all__ = ["Proposal", "check_sendable", "read_proposal"]

#: An envelope's content, and whom it is for.
_MOST_BYTES: Final = ENVELOPE_BYTES + 1_024


@attrs.frozen(slots=False)
class Proposal:
    """A task, and the agent that is to have it: the account itself, whoever has its name later."""

    to: AgentRef
    task: TaskRequest

    @cached_property
    def content(self) -> bytes:
        """Its one encoding."""
        return encode({"to": self.to.to_cbor(), "task": self.task.to_cbor()})

    @property
    def hash(self) -> Hash:
        """A hash over all of it."""
        return sha256(self.content)

    @property
    def lasting(self) -> Hash:
        """A hash over all of it but the deadline, by which the same is known when it comes again."""
        return Proposal(self.to, attrs.evolve(self.task, deadline=None)).hash

    def words(self, peer: str) -> str:
        """What an owner is asked, in short; all of it is read where the question is shown."""
        brief = counted(len(self.task.brief), "character", "characters")
        return (
            f"Send {peer} the task: {self.task.title}\n"
            f"Brief: {brief}. Requirements: {len(self.task.requirements)}."
            f" Attached: {len(self.task.parts)}.\nsha256 {self.hash.hex()}"
        )


def check_sendable(task: TaskRequest) -> None:
    """Nothing if an envelope can hold it: an owner is asked about nothing else. Raises DaemonRefusal."""
    try:
        encode_content(Content(task, ConversationId(bytes(16)), link=TaskLink(None, 0, None, Seen(0, None))))
    except LocalProtocolError as error:
        raise refusal_of(error) from error


def read_proposal(content: bytes) -> Proposal:
    """The proposal that was kept. Raises RemoteProtocolError for other bytes."""
    reader = MapReader(decode(content, limit=_MOST_BYTES), "", ("to", "task"))
    return Proposal(reader.agent("to"), reader.read("task", TaskRequest.read))
