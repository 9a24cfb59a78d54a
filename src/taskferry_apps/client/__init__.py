"""A client of the daemon's local API: `Client` for plain code, `AsyncClient` for asyncio and trio.

Its parts are imported when they are asked for: the command line needs some of them, and should start at once.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .async_client import AsyncClient, AsyncEvents, AsyncJob, AsyncRuntime, AsyncTaskHandle, AsyncWork
    from .attachments import Attachment
    from .errors import (
        ApprovalNeeded,
        ClientClosed,
        Conflict,
        DaemonAway,
        DaemonFault,
        FileTrouble,
        Locked,
        NoCredential,
        NotAllowed,
        NotDelivered,
        NotFound,
        NotPossible,
        NotReady,
        NotTaskFerry,
        NotValid,
        PassedOn,
        Refused,
        TakenOver,
        TaskEnded,
        TaskFerryError,
        TimedOut,
        TooFast,
        Unauthorized,
        Unusable,
    )
    from .results import (
        Agent,
        Approval,
        Connection,
        ConnectionStep,
        Delivery,
        Event,
        Identity,
        InboxPage,
        Lease,
        Message,
        MessagePage,
        Outgoing,
        Program,
        Sent,
        SentOne,
        Status,
    )
    from .sync_client import Client, Events, Job, Runtime, TaskHandle
    from .task_results import (
        ListedTask,
        Part,
        RevisionRequest,
        SentTask,
        Task,
        TaskEvent,
        TaskPage,
        TaskRequest,
        Version,
    )

__all__ = [
    "Agent",
    "Approval",
    "ApprovalNeeded",
    "AsyncClient",
    "AsyncEvents",
    "AsyncJob",
    "AsyncRuntime",
    "AsyncTaskHandle",
    "AsyncWork",
    "Attachment",
    "Client",
    "ClientClosed",
    "Conflict",
    "Connection",
    "ConnectionStep",
    "DaemonAway",
    "DaemonFault",
    "Delivery",
    "Event",
    "Events",
    "FileTrouble",
    "Identity",
    "InboxPage",
    "Job",
    "Lease",
    "ListedTask",
    "Locked",
    "Message",
    "MessagePage",
    "NoCredential",
    "NotAllowed",
    "NotDelivered",
    "NotFound",
    "NotPossible",
    "NotReady",
    "NotTaskFerry",
    "NotValid",
    "Outgoing",
    "Part",
    "PassedOn",
    "Program",
    "Refused",
    "RevisionRequest",
    "Runtime",
    "Sent",
    "SentOne",
    "SentTask",
    "Status",
    "TakenOver",
    "Task",
    "TaskEnded",
    "TaskEvent",
    "TaskFerryError",
    "TaskHandle",
    "TaskPage",
    "TaskRequest",
    "TimedOut",
    "TooFast",
    "Unauthorized",
    "Unusable",
    "Version",
]

#: Where these names are at home; each of these imports those before it anyway.
_HOMES: Final = ("errors", "results", "task_results", "attachments", "sync_client", "async_client")


def __getattr__(name: str) -> object:
    if name in __all__:
        for home in _HOMES:
            found: object = getattr(import_module(f".{home}", __name__), name, None)
            if found is not None:
                return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
