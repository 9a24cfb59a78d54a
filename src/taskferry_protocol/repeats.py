"""Events of tasks that expired on their way, brought once more inside another envelope (spec/tasks.md 1).

An event cannot be signed anew: its hash is what the rest of its chain stands on. So it is brought as it was
signed, and decided on as if it had come by itself, but that its carrier's time counts in place of its own.
"""

from __future__ import annotations

from .envelope import Envelope, parse_envelope
from .errors import RejectCode, RemoteProtocolError
from .header import Header
from .messages import MessageClass, TaskRepeat

__all__ = ["read_repeat"]

_CLASSES = frozenset({MessageClass.ARTIFACT, MessageClass.TASK})


def read_repeat(body: TaskRepeat, carrier: Header) -> Envelope:
    """The envelope that is brought once more; its signature and its K are looked at where it is decided on.

    Raises RemoteProtocolError: the codes of an envelope's encoding; wrong-party where it is not between the
    same two agents and in the same direction, class-mismatch for what no task has.
    """
    envelope = parse_envelope(body.envelope)
    header = envelope.header
    if (header.from_, header.to) != (carrier.from_, carrier.to):
        raise RemoteProtocolError(RejectCode.WRONG_PARTY, "not from this sender to this recipient")
    if header.cls not in _CLASSES:
        raise RemoteProtocolError(RejectCode.CLASS_MISMATCH, "only events of tasks are brought once more")
    return envelope
