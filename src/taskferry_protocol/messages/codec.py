"""Content to bytes and back, by one table of types (spec/messages.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ..cbor import Value, decode, encode
from ..errors import LocalProtocolError, RejectCode, RemoteProtocolError
from ..ids import ConversationId, Hash
from ..limits import CAUSES, ENVELOPE_BYTES, HOPS
from ..links import EventType, TaskLink, check_link, read_link
from ..shape import MapReader, as_array
from .actions import ActionOutcome, ActionRequest
from .base import Body, kept
from .connections import ConnectionAccepted, ConnectionEnded, ConnectionRequested, GrantUpdated
from .content import Content
from .fields import digest
from .repeats import TaskRepeat
from .shares import DeviceShare
from .talk import AccountUpdate, CardUpdate, GrantDigest, Receipt, TextMessage
from .tasks import (
    ArtifactSubmit,
    RevisionRequest,
    TaskAccept,
    TaskCancel,
    TaskComplete,
    TaskDecline,
    TaskExpire,
    TaskFail,
    TaskProgress,
    TaskRequest,
    TaskSeen,
)
from .usual_text import read_usual_text, write_usual_text

__all__ = ["BODIES", "decode_content", "encode_content", "is_task_event"]

_TASK_EVENTS: Final[tuple[type[Body], ...]] = (
    TaskRequest,
    TaskAccept,
    TaskDecline,
    TaskProgress,
    ArtifactSubmit,
    RevisionRequest,
    TaskComplete,
    TaskCancel,
    TaskFail,
    TaskExpire,
    TaskSeen,
)

_ALL: Final[tuple[type[Body], ...]] = (
    TextMessage,
    ConnectionRequested,
    ConnectionAccepted,
    ConnectionEnded,
    GrantUpdated,
    *_TASK_EVENTS,
    TaskRepeat,
    Receipt,
    AccountUpdate,
    CardUpdate,
    GrantDigest,
    DeviceShare,
    ActionRequest,
    ActionOutcome,
)

#: Every message type of this version, by its name on the wire.
BODIES: Final[Mapping[str, type[Body]]] = {body.type_name: body for body in _ALL}

_REQUIRED: Final = ("type", "minor", "conv", "hop", "cause", "body")
_KNOWN: Final = (*_REQUIRED, "reply", "link")


def is_task_event(body: Body | type[Body]) -> bool:
    """Whether a link belongs to this body."""
    kind = body if isinstance(body, type) else type(body)
    return kind in _TASK_EVENTS


def encode_content(content: Content) -> bytes:
    """The deterministic encoding, checked as its reader will check it.

    Raises LocalProtocolError for content that the specification refuses; its `__cause__` then is the
    RemoteProtocolError that names code and field.
    """
    usual = write_usual_text(content)
    if usual is not None:
        return usual
    members: dict[str, object] = dict(kept(content.extra, _KNOWN))
    members |= {
        "type": content.body.type_name,
        "minor": content.minor,
        "conv": content.conv,
        "hop": content.hop,
        "cause": list(content.cause),
        "body": content.body.to_cbor(),
    }
    if content.reply is not None:
        members["reply"] = content.reply
    if content.link is not None:
        members["link"] = content.link.to_cbor()
    raw = encode(members)
    try:
        decode_content(raw)
    except RemoteProtocolError as error:
        raise LocalProtocolError(str(error)) from error
    return raw


def decode_content(raw: bytes) -> Content:
    """The content that `raw` encodes.

    Raises RemoteProtocolError: the codes of encoding and shape, unknown-type, bad-link.
    """
    usual = read_usual_text(raw)
    if usual is not None:
        return usual
    reader = MapReader.open(decode(raw, limit=ENVELOPE_BYTES), "", _REQUIRED)
    kind = _read_type(reader.value("type"))
    minor = reader.uint("minor")
    conv = ConversationId(reader.bytes("conv", size=16))
    hop = reader.uint("hop", high=HOPS)
    cause = reader.read("cause", _read_cause)
    body = reader.read("body", kind.read)
    reply = reader.hash("reply") if "reply" in reader else None
    link = _read_link_of(reader, kind)
    unknown = reader.extra(_KNOWN)  # noqa: S610 (no database is near)
    return Content(body, conv, hop, cause, reply, link, minor, unknown)


def _read_type(value: Value) -> type[Body]:
    if type(value) is not str:
        raise RemoteProtocolError(RejectCode.WRONG_TYPE, "a text expected", field="type")
    if value not in BODIES:
        raise RemoteProtocolError(RejectCode.UNKNOWN_TYPE, "not a message type of this version", field="type")
    return BODIES[value]


def _read_cause(value: Value, field: str) -> tuple[Hash, ...]:
    return tuple(digest(cause, field) for cause in as_array(value, field, most=CAUSES))


def _read_link_of(reader: MapReader, kind: type[Body]) -> TaskLink | None:
    if kind not in _TASK_EVENTS:
        if "link" in reader:
            raise RemoteProtocolError(RejectCode.BAD_LINK, "only task events have one", field="link")
        return None
    if "link" not in reader:
        raise RemoteProtocolError(RejectCode.MISSING_FIELD, "is required in a task event", field="link")
    link = reader.read("link", read_link)
    check_link(link, EventType(kind.type_name))
    return link
