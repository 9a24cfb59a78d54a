"""The sealed content of envelopes: one frozen class a message type (spec/messages.md)."""

from .actions import ActionOutcome, ActionRequest, Credential, Upshot
from .base import Body, MessageClass
from .codec import BODIES, decode_content, encode_content, is_task_event
from .connections import ConnectionAccepted, ConnectionEnded, ConnectionRequested, GrantUpdated, InviteProof
from .content import Content
from .parts import BlobPart, FilePart, JsonPart, Part, TextPart, parts_size
from .repeats import TaskRepeat
from .shares import (
    DeviceShare,
    SharedAccount,
    SharedAgent,
    SharedCard,
    SharedConnection,
    SharedItem,
    SharedLabel,
    SharedMessage,
)
from .talk import AccountUpdate, CardUpdate, GrantDigest, Outcome, Receipt, ReceiptItem, TextMessage
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

__all__ = [
    "BODIES",
    "AccountUpdate",
    "ActionOutcome",
    "ActionRequest",
    "ArtifactSubmit",
    "BlobPart",
    "Body",
    "CardUpdate",
    "ConnectionAccepted",
    "ConnectionEnded",
    "ConnectionRequested",
    "Content",
    "Credential",
    "DeviceShare",
    "FilePart",
    "GrantDigest",
    "GrantUpdated",
    "InviteProof",
    "JsonPart",
    "MessageClass",
    "Outcome",
    "Part",
    "Receipt",
    "ReceiptItem",
    "RevisionRequest",
    "SharedAccount",
    "SharedAgent",
    "SharedCard",
    "SharedConnection",
    "SharedItem",
    "SharedLabel",
    "SharedMessage",
    "TaskAccept",
    "TaskCancel",
    "TaskComplete",
    "TaskDecline",
    "TaskExpire",
    "TaskFail",
    "TaskProgress",
    "TaskRepeat",
    "TaskRequest",
    "TaskSeen",
    "TextMessage",
    "TextPart",
    "Upshot",
    "decode_content",
    "encode_content",
    "is_task_event",
    "parts_size",
]
