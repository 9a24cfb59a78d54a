"""An event of a task that expired on its way, brought once more as it was signed."""

from __future__ import annotations

from functools import partial
from typing import Final

import attrs

from ..shape import as_bytes
from .base import Body, MessageClass, Wire
from .fields import octets

__all__ = ["TaskRepeat"]

_KEY_BYTES: Final = 32


@attrs.frozen
class TaskRepeat(Body):
    """The envelope of an event by the same sender for the same recipient, and the K that opens it."""

    type_name = "task_repeat"
    message_class = MessageClass.TASK
    wire = (Wire("envelope", octets), Wire("key", partial(as_bytes, size=_KEY_BYTES)))

    envelope: bytes = attrs.field(repr=False)
    key: bytes = attrs.field(repr=False)
