"""The content of an envelope: a body, where it belongs in a conversation, and what led to it."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from ..cbor import Value
from ..ids import ConversationId, Hash
from ..links import TaskLink
from ..values import value
from .base import Body

__all__ = ["Content"]


def _kept() -> dict[str, Value]:
    return {}


@value
class Content:
    """What is sealed. `hop` counts the messages that led to this one, `cause` names up to 8 of them.

    `link` is there in task events and only there. `extra` holds the members that this version does not know,
    `minor` the sender's minor version.
    """

    body: Body
    conv: ConversationId
    hop: int = 0
    cause: tuple[Hash, ...] = ()
    reply: Hash | None = None
    link: TaskLink | None = None
    minor: int = 0
    extra: Mapping[str, Value] = attrs.field(factory=_kept)
