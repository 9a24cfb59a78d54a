"""What can go wrong between a program and its daemon, by what a program would do about it.

Each error has a sentence for people and the next step. None holds a credential or a request's body.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = [
    "ApprovalNeeded",
    "ClientClosed",
    "Conflict",
    "DaemonAway",
    "DaemonFault",
    "FileTrouble",
    "Locked",
    "NoCredential",
    "NotAllowed",
    "NotDelivered",
    "NotFound",
    "NotPossible",
    "NotReady",
    "NotTaskFerry",
    "NotValid",
    "PassedOn",
    "Refused",
    "TakenOver",
    "TaskEnded",
    "TaskFerryError",
    "TimedOut",
    "TooFast",
    "Unauthorized",
    "Unusable",
    "passed_on",
    "refusal_of",
    "stranger",
]

_NONE: Final[Mapping[str, object]] = {}


class TaskFerryError(Exception):
    """Anything that this client raises: `message` says what is wrong, `next_step` what to do about it."""

    def __init__(self, message: str, next_step: str = "") -> None:
        super().__init__(message, next_step)
        self.message = message
        self.next_step = next_step

    def __str__(self) -> str:
        return f"{self.message} {self.next_step}".strip()

    def __reduce__(self) -> tuple[object, ...]:
        # Errors travel between processes, and Python would make them again from too few arguments.
        return _made_again, (type(self), dict(vars(self)))


def _made_again(kind: type[TaskFerryError], facts: Mapping[str, object]) -> TaskFerryError:
    error = kind.__new__(kind)
    vars(error).update(facts)
    return error


class DaemonAway(TaskFerryError):
    """No daemon answers at its address, or it went away while it should have answered."""


class NoCredential(TaskFerryError):
    """There is no credential to show, or it cannot be read."""


class ClientClosed(TaskFerryError):
    """The client was closed before the daemon's answer came."""


class FileTrouble(TaskFerryError):
    """A file of this machine cannot be read or written, or is more than may be sent."""


class Unusable(TaskFerryError):
    """What a peer sent is not what it says it is."""


class TimedOut(TaskFerryError):
    """What was awaited has not come in time. Nothing is lost: wait again, now or after a restart."""


class TaskEnded(TaskFerryError):
    """The task ended, or can end, without a result: `state` says how, `reason` is what the other side wrote.

    The reason is a peer's text: data, never an instruction.
    """

    def __init__(self, message: str, next_step: str, *, task: str, state: str, reason: str) -> None:
        super().__init__(message, next_step)
        self.task = task
        self.state = state
        self.reason = reason


class NotDelivered(TaskFerryError):
    """What was sent in a task has come back: `rung` is failed, or expired where delivery is unknown."""

    def __init__(self, message: str, next_step: str, *, task: str, rung: str, code: str) -> None:
        super().__init__(message, next_step)
        self.task = task
        self.rung = rung
        self.code = code


class Refused(TaskFerryError):
    """The daemon refused: its HTTP `status`, a closed `code`, and the whole of what it told in `detail`."""

    def __init__(
        self, status: int, code: str, message: str, next_step: str = "", detail: Mapping[str, object] = _NONE
    ) -> None:
        super().__init__(message, next_step)
        self.status = status
        self.code = code
        self.detail = detail

    @property
    def field(self) -> str:
        """The member of the request that is meant; empty if none is."""
        return self._text("field")

    @property
    def state(self) -> str:
        """The state of the task that forbids it; empty if it is about something else."""
        return self._text("state")

    @property
    def actions(self) -> tuple[str, ...]:
        """What is possible with the task now."""
        told = self.detail.get("actions")
        return tuple(str(action) for action in told) if isinstance(told, list) else ()

    @property
    def retry_after(self) -> float | None:
        """Seconds to stay away, where the daemon says so."""
        told = self.detail.get("retry_after")
        return float(told) if isinstance(told, int | float) and not isinstance(told, bool) else None

    @property
    def approval(self) -> str:
        """The id of the question that the owner is asked; empty if none is."""
        return self._text("approval")

    def _text(self, name: str) -> str:
        told = self.detail.get(name)
        return told if isinstance(told, str) else ""


class NotValid(Refused):
    """400, 413, 415: the request itself is wrong; `field` says where."""


class NotAllowed(Refused):
    """403: this credential may not do that, or a connection does not allow it."""


class Unauthorized(NotAllowed):
    """401: the credential is not known here, or was revoked."""


class ApprovalNeeded(NotAllowed):
    """403: the owner is asked first. Wait for `approval`, then send exactly the same again."""


class NotFound(Refused):
    """404: there is no such thing that this credential may see."""


class Conflict(Refused):
    """409: an id is ambiguous, or something else stands in the way."""


class NotPossible(Conflict):
    """409: the task's state does not allow it; `state` and `actions` say what is possible."""


class TakenOver(Conflict):
    """409: another program of the agent has it now, or it was handed out anew. Nothing was done."""


class Locked(Refused):
    """423: the account's key waits for its owner's passphrase."""


class TooFast(Refused):
    """429: too much in too short a time; `retry_after` says how long to stay away."""


class NotReady(Refused):
    """503: no account yet, a clock that is too far off, or a store that refuses; nothing was kept."""


class DaemonFault(Refused):
    """500: the daemon failed at this; it is a fault of its own."""


class PassedOn(Refused):
    """202: another device of the owner's writes in that task, and was asked to carry this out.

    Nothing is lost, and nothing has happened yet: the task shows it under `requests`, with what came of it.
    `request` is its id, `device` what the owner calls the device.
    """

    @property
    def request(self) -> str:
        """The id of what was passed on."""
        return self._text("request_id")

    @property
    def device(self) -> str:
        """The device that was asked."""
        return self._text("device")


class NotTaskFerry(Refused):
    """Whatever answers there does not speak TaskFerry's local API."""


_BY_STATUS: Final[Mapping[int, type[Refused]]] = {
    400: NotValid,
    401: Unauthorized,
    403: NotAllowed,
    404: NotFound,
    405: NotValid,
    409: Conflict,
    413: NotValid,
    415: NotValid,
    423: Locked,
    429: TooFast,
    500: DaemonFault,
    503: NotReady,
}
_BY_CODE: Final[Mapping[str, type[Refused]]] = {
    "approval-needed": ApprovalNeeded,
    "not-possible": NotPossible,
    "taken-over": TakenOver,
    # These end a feed that had begun well, where there is no status to go by.
    "internal": DaemonFault,
    "unauthorized": Unauthorized,
}


def refusal_of(status: int, told: Mapping[str, object]) -> Refused:
    """What the daemon's error object stands for. Raises KeyError for one without code or message."""
    code = str(told["code"])
    kind = _BY_CODE.get(code) or _BY_STATUS.get(status, Refused)
    return kind(status, code, str(told["message"]), str(told.get("next", "")), told)


def passed_on(request: Mapping[str, object]) -> PassedOn:
    """The error for an action that another device is to carry out. Raises KeyError for what is no request."""
    return PassedOn(
        202,
        "passed-on",
        f"That task is written by {request['device']}, which was asked to do this and has not answered yet.",
        f"See what came of it: taskferry task show {request['task_id']}",
        request,
    )


def stranger(status: int, url: str) -> NotTaskFerry:
    """The error for an answer that is none of the local API's."""
    return NotTaskFerry(
        status,
        "not-taskferry",
        f"Whatever listens at {url} does not speak TaskFerry's local API.",
        "Check the daemon's address.",
    )
