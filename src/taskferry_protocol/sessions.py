"""The session between daemon and relay (spec/session.md): both ends, their commands and events.

A session dies with its connection; whatever must survive stands in stores. For either end:

- `receive(data, *, now) -> Step`, `submit(command, *, now) -> Step`, `elapse(*, now) -> Step`, `deadline`;
- a Step's `events` are for the application, its `frames` for the peer, both in order;
- `SessionBroken` means that the peer broke a rule: send its `reply` if there is one, and hang up.
"""

from __future__ import annotations

from .client_session import (
    Ack,
    BatchSent,
    Call,
    CallSent,
    ClientCommand,
    ClientEvent,
    ClientSession,
    Delivered,
    LogExtension,
    Ready,
    ReplyReceived,
    ResultReceived,
    Send,
)
from .relay_session import (
    Acked,
    Admit,
    AuthRequested,
    CallReceived,
    Deliver,
    ParcelsReceived,
    RelayCommand,
    RelayEvent,
    RelaySession,
    Reply,
    SendResult,
)
from .session_base import TURNS, Goaway, Phase, SessionBroken, SessionOver, Side, Step, TimedOut, WentAway

__all__ = [
    "TURNS",
    "Ack",
    "Acked",
    "Admit",
    "AuthRequested",
    "BatchSent",
    "Call",
    "CallReceived",
    "CallSent",
    "ClientCommand",
    "ClientEvent",
    "ClientSession",
    "Deliver",
    "Delivered",
    "Goaway",
    "LogExtension",
    "ParcelsReceived",
    "Phase",
    "Ready",
    "RelayCommand",
    "RelayEvent",
    "RelaySession",
    "Reply",
    "ReplyReceived",
    "ResultReceived",
    "Send",
    "SendResult",
    "SessionBroken",
    "SessionOver",
    "Side",
    "Step",
    "TimedOut",
    "WentAway",
]
