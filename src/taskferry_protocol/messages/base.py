"""What every message shares (spec/messages.md)."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["MessageClass"]


class MessageClass(StrEnum):
    """What a relay sees of a message's type; permissions and rates go by it (spec/envelope.md section 3)."""

    ACCOUNT = "account"
    ARTIFACT = "artifact"
    CONNECTION = "connection"
    MESSAGE = "message"
    RECEIPT = "receipt"
    TASK = "task"
