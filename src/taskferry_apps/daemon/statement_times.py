"""When statements of a log that is held were signed, as their signers say."""

from __future__ import annotations

from taskferry_protocol.accounts import AccountLog
from taskferry_protocol.crypto import Kind, Signed
from taskferry_protocol.ids import Instant
from taskferry_protocol.statements import open_statement

__all__ = ["claimed_at"]


def claimed_at(log: AccountLog, index: int) -> Instant:
    """The time in a statement, a claim. Its signature was checked when the log was folded."""
    return open_statement(log.statements[index], _believe).at


def _believe(_signed: Signed, _kind: Kind) -> None:
    """The log was folded: its signatures have been checked."""
