"""All that a relay learns of an envelope, in its log at the level `debug`: from, to, class, size and id."""

from __future__ import annotations

from collections.abc import Callable

from taskferry_protocol.accounts import AccountLog
from taskferry_protocol.admission import AdmissionFacts
from taskferry_protocol.envelope import Envelope
from taskferry_protocol.frame_items import Refusal
from taskferry_protocol.ids import AgentRef

from ..logs import get_logger

__all__ = ["Witness", "log_envelope", "log_refusal"]

Witness = Callable[[AdmissionFacts, Envelope], None]
"""Hears of each envelope that is admitted."""

_LOG = get_logger()


def log_envelope(facts: AdmissionFacts, envelope: Envelope) -> None:
    """Log one envelope as the relay sees it."""
    header = envelope.header
    _LOG.debug(
        "envelope",
        sender=_handle(facts.sender, header.from_),
        recipient=_handle(facts.recipient, header.to),
        cls=header.cls.value,
        size=len(envelope.raw),
        message=envelope.header.id.hex(),
    )


def log_refusal(envelope: Envelope, refusal: Refusal) -> Refusal:
    """Log which envelope was refused, and why; the refusal itself."""
    _LOG.debug(
        "an envelope was refused",
        message=envelope.header.id.hex(),
        code=refusal.code,
        cls=envelope.header.cls.value,
    )
    return refusal


def _handle(log: AccountLog | None, agent: AgentRef) -> str:
    owner = log.state.name if log else "?"
    return f"@{owner}/{agent.name}" if agent.name else f"@{owner}"
