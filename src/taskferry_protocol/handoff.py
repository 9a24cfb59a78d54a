"""The handoff export: a task's history that anybody can verify offline (spec/tasks.md section 4).

It holds account logs, envelopes with their keys, and receipts; nothing in it opens anything else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import attrs

from .account_state import DeviceStatus
from .accounts import AccountLog, fold, refold
from .cbor import Value, decode, encode
from .connections import ConnectionAccept, ConnectionRequest, read_accept, read_request
from .crypto import KEY_BYTES, Kind, parse_signed
from .documents import peek
from .envelope import Envelope, parse_envelope, read_envelope
from .errors import LocalProtocolError, RejectCode, RemoteProtocolError
from .ids import AccountId, AgentRef, Hash, Instant, LogPosition
from .limits import STATEMENTS
from .links import ROLES, EventType, Role
from .messages import Content, Receipt, ReceiptItem, is_task_event
from .sealing import open_with_key
from .shape import MapReader, as_array, as_bytes, as_pair
from .task_events import check_event
from .task_messages import task_event
from .task_order import Viewer
from .task_view import TaskView, fold_task

__all__ = ["Check", "HandoffReport", "Kept", "Proven", "Said", "export_handoff", "verify_handoff"]

FORMAT: Final = "taskferry-handoff/1"
#: An export is read whole; a task's history without its blobs stays far below this.
HANDOFF_BYTES: Final = 64 * 1_048_576
#: Events, or receipts, in one export.
ITEMS: Final = 65_536
#: Items of its encoding: four for each event and receipt, one for each statement of a few logs.
CBOR_ITEMS: Final = 1_048_576
LOGS: Final = 64

_FIELDS: Final = ("format", "task", "exported_at", "logs", "events", "connection", "receipts")


@attrs.frozen
class Kept:
    """An envelope as it was stored, and the K that opens it."""

    envelope: bytes = attrs.field(repr=False)
    key: bytes = attrs.field(repr=False)


@attrs.frozen
class Proven:
    """A message whose signature, commitment, cipher and content hold, by a device that stood in its log."""

    envelope: Envelope
    content: Content


@attrs.frozen
class Said:
    """What a recipient's agent said of one of the events, in a receipt that its device signed."""

    by: AgentRef
    item: ReceiptItem
    receipt: Hash


@attrs.frozen
class Check:
    """Something that was verified, in words, and how many times."""

    what: str
    count: int


@attrs.frozen
class HandoffReport:
    """What a verified export proves, as long as `accounts` are those of whom the reader believes them to be.

    `messages` has each event by its hash, `view` the fold over them: state, chain of events, versions, gaps,
    forks. `connection` is the signed consent of both, if it was exported. All times in it, `exported_at`
    too, are claims of whoever wrote them.
    """

    task: Hash
    exported_at: Instant
    requester: AgentRef
    worker: AgentRef
    accounts: Mapping[AccountId, AccountLog]
    messages: Mapping[Hash, Proven]
    view: TaskView
    connection: tuple[ConnectionRequest, ConnectionAccept] | None
    receipts: tuple[Said, ...]
    checks: tuple[Check, ...]


# --- Export -------------------------------------------------------------------------------------------------


def export_handoff(
    task: Hash,
    *,
    logs: Iterable[AccountLog],
    events: Iterable[Kept],
    connection: tuple[bytes, bytes] | None,
    receipts: Iterable[Kept],
    at: Instant,
) -> bytes:
    """One file with a task's history, its events put in order.

    Raises LocalProtocolError for stored events that do not open. What else may be wrong, `verify_handoff` of
    the result says.
    """
    return encode(
        {
            "format": FORMAT,
            "task": task,
            "exported_at": at,
            "logs": {log.account.hex(): list(log.statements) for log in logs},
            "events": [[kept.envelope, kept.key] for kept in _in_order(task, events)],
            "connection": list(connection or ()),
            "receipts": [[kept.envelope, kept.key] for kept in receipts],
        }
    )


def _in_order(task: Hash, events: Iterable[Kept]) -> list[Kept]:
    """The requester's chain, then the worker's, each by n."""
    opened: dict[Hash, tuple[Kept, Proven]] = {}
    try:
        for kept in events:
            envelope = parse_envelope(kept.envelope)
            opened[envelope.hash] = (kept, Proven(envelope, open_with_key(envelope, kept.key)))
    except RemoteProtocolError as error:
        raise LocalProtocolError(f"an event that is stored does not open: {error}") from error
    if not opened or not all(is_task_event(proven.content.body) for _, proven in opened.values()):
        raise LocalProtocolError("a history is made of task events, one at least")
    requester, _ = _parties(task, {hash: proven for hash, (_, proven) in opened.items()})

    def place(hash: Hash) -> tuple[bool, int, Hash]:
        proven = opened[hash][1]
        link = proven.content.link
        return proven.envelope.header.from_ != requester, 0 if link is None else link.n, hash

    return [opened[hash][0] for hash in sorted(opened, key=place)]


def _parties(task: Hash, messages: Mapping[Hash, Proven]) -> tuple[AgentRef, AgentRef]:
    """Requester and worker: by the request, or, where it is missing, by the first event that tells."""
    first = messages.get(task)
    if first is not None:
        return first.envelope.header.from_, first.envelope.header.to
    for proven in messages.values():
        header = proven.envelope.header
        roles = ROLES[EventType(proven.content.body.type_name)]
        if len(roles) == 1:
            ends = header.from_, header.to
            return ends if Role.REQUESTER in roles else (ends[1], ends[0])
    header = next(iter(messages.values())).envelope.header
    return header.from_, header.to


# --- Verification -------------------------------------------------------------------------------------------


def verify_handoff(raw: bytes) -> HandoffReport:
    """Verify an export with nothing but its bytes.

    Raises RemoteProtocolError with the first fault; `field` says where, as in `events[3]`. A place that is
    missing is no fault: it is a gap in the view.
    """
    reader = _open(raw)
    task, exported_at = reader.hash("task"), reader.time("exported_at")
    archive = _Archive(reader.value("logs"))
    events = {
        proven.envelope.hash: proven for proven in archive.prove(reader.array("events", least=1, most=ITEMS))
    }
    requester, worker, view = _fold(task, events, archive)
    connection = archive.connection(reader.array("connection", most=2))
    if connection is not None and {connection[0].from_, connection[0].to} != {requester, worker}:
        raise RemoteProtocolError(
            RejectCode.UNKNOWN_REQUEST, "connects other agents than those of the task", field="connection"
        )
    receipts = archive.prove(reader.array("receipts", most=ITEMS), "receipts")
    said = _receipts(receipts, events, {requester, worker})
    envelopes = len(events) + len(receipts)
    return HandoffReport(
        task,
        exported_at,
        requester,
        worker,
        archive.relied_on,
        events,
        view,
        connection,
        said,
        (
            Check(
                "account logs that fold, each statement signed by a key that could", len(archive.relied_on)
            ),
            Check("envelopes signed by a device that stood in its account's log for the agent", envelopes),
            Check("keys that the signed header commits to and that open the ciphertext", envelopes),
            Check("events of this task, between its two agents", len(events)),
            Check("statements of the connection, signed by their accounts", 0 if connection is None else 2),
        ),
    )


@contextmanager
def _within(where: str) -> Iterator[None]:
    """Say of a fault inside that it is there."""
    try:
        yield
    except RemoteProtocolError as error:
        field = f"{where}.{error.field}".rstrip(".")
        raise RemoteProtocolError(error.code, error.text, field=field) from error


def _open(raw: bytes) -> MapReader:
    value = decode(raw, limit=HANDOFF_BYTES, items=CBOR_ITEMS)
    form = MapReader.open(value, "", ("format",))
    if form.text("format", most=64) != FORMAT:
        raise RemoteProtocolError(RejectCode.UNKNOWN_VERSION, f"only {FORMAT} is known", field="format")
    return MapReader(value, "", _FIELDS)


class _Archive:
    """The logs of an export, and everything that is judged by them."""

    def __init__(self, value: Value) -> None:
        if type(value) is not dict:
            raise RemoteProtocolError(RejectCode.WRONG_TYPE, "a map expected", field="logs")
        if len(value) > LOGS:
            raise RemoteProtocolError(RejectCode.TOO_MANY, f"{LOGS} logs are allowed", field="logs")
        self._logs = dict(self._read_log(name, listed) for name, listed in value.items())
        self.relied_on: dict[AccountId, AccountLog] = {}

    @staticmethod
    def _read_log(name: str, value: Value) -> tuple[AccountId, AccountLog]:
        with _within(f"logs.{name[:64]}"):
            log = fold([as_bytes(item, "") for item in as_array(value, "", most=STATEMENTS)])
            if log.account.hex() != name:
                raise RemoteProtocolError(RejectCode.WRONG_ACCOUNT, "the log of another account")
            return log.account, log

    def log_of(self, account: AccountId) -> AccountLog:
        """The newest log of an account in the export. Raises unknown-account."""
        if account not in self._logs:
            raise RemoteProtocolError(RejectCode.UNKNOWN_ACCOUNT, "its account's log is not in the export")
        self.relied_on[account] = self._logs[account]
        return self._logs[account]

    def _log_with(self, account: AccountId, quoted: LogPosition) -> AccountLog:
        """The log of an account, which has this position. Raises unknown-account, not-an-extension."""
        log = self.log_of(account)
        if not log.contains(quoted):
            raise RemoteProtocolError(RejectCode.NOT_AN_EXTENSION, "not a position of its account's log")
        return log

    def prove(self, listed: Iterable[Value], field: str = "events") -> list[Proven]:
        """Every pair of an envelope and its K, in order."""
        proven: list[Proven] = []
        for index, item in enumerate(listed):
            with _within(f"{field}[{index}]"):
                raw, key = as_pair(item, "")
                envelope = read_envelope(as_bytes(raw, ""), now=None)
                self._check_sender(envelope)
                content = open_with_key(envelope, as_bytes(key, "", size=KEY_BYTES))
                proven.append(Proven(envelope, content))
        return proven

    def _check_sender(self, envelope: Envelope) -> None:
        """Whether the device stood in the sender's log as quoted; what came later changes nothing."""
        header = envelope.header
        # Each event may quote another position, so no prefix is folded for it.
        log, length = self._log_with(header.from_.account, header.log), header.log.length
        device = log.state.devices.get(envelope.device)
        if device is None or length <= device.since:
            raise RemoteProtocolError(RejectCode.UNKNOWN_DEVICE, "signed by a device that never stood there")
        if not device.stood_at(length):
            raise RemoteProtocolError(RejectCode.DEVICE_GONE, "signed by a device that was gone")
        if not log.served_at(device.id, header.from_.name, length):
            raise RemoteProtocolError(RejectCode.UNKNOWN_AGENT, "signed by a device that did not serve it")

    def connection(self, listed: list[Value]) -> tuple[ConnectionRequest, ConnectionAccept] | None:
        """Request and acceptance, each by its signer's log as it was then; None if there are none."""
        if not listed:
            return None
        with _within("connection"):
            first, second = as_pair(listed, "")
            asked, accepted = as_bytes(first, ""), as_bytes(second, "")
            request = read_request(asked, self._log_behind(asked, Kind.CONNECTION_REQUEST))
            accept = read_accept(accepted, self._log_behind(accepted, Kind.CONNECTION_ACCEPT), request)
            return request, accept

    def _log_behind(self, raw: bytes, kind: Kind) -> AccountLog:
        account = peek(raw, kind).account
        quoted = MapReader.open(decode(parse_signed(raw).payload), "", ("log",)).position("log")
        return refold(self._log_with(account, quoted).statements[: quoted.length])


def _fold(
    task: Hash, events: Mapping[Hash, Proven], archive: _Archive
) -> tuple[AgentRef, AgentRef, TaskView]:
    """Requester, worker, and what their events come to."""
    for index, proven in enumerate(events.values()):
        if not is_task_event(proven.content.body):
            raise RemoteProtocolError(RejectCode.UNKNOWN_TASK, "no task event", field=f"events[{index}]")
    requester, worker = _parties(task, events)
    ends = {(worker, requester): Role.WORKER, (requester, worker): Role.REQUESTER}
    folded = []
    for index, (hash, proven) in enumerate(events.items()):
        header, device = proven.envelope.header, proven.envelope.device
        with _within(f"events[{index}]"):
            role = ends.get((header.from_, header.to))
            if role is None:
                raise RemoteProtocolError(RejectCode.WRONG_PARTY, "not between the two agents of the task")
            event = task_event(
                proven.content, hash=hash, role=role, device=device, created_at=header.created_at
            )
            check_event(event, task)
            folded.append(event)
    revoked = frozenset(
        device.id
        for device in archive.log_of(requester.account).state.devices.values()
        if device.status is DeviceStatus.REVOKED
    )
    return requester, worker, fold_task(folded, task=task, viewer=Viewer.ELSEWHERE, revoked=revoked)


def _receipts(
    receipts: Iterable[Proven], events: Mapping[Hash, Proven], ends: set[AgentRef]
) -> tuple[Said, ...]:
    """What the receipts say of these events; a receipt may speak of other messages too."""
    said: list[Said] = []
    for index, proven in enumerate(receipts):
        header, body = proven.envelope.header, proven.content.body
        where = f"receipts[{index}]"
        if not isinstance(body, Receipt):
            raise RemoteProtocolError(RejectCode.CLASS_MISMATCH, "not a receipt", field=where)
        if {header.from_, header.to} != ends:
            raise RemoteProtocolError(
                RejectCode.WRONG_PARTY, "not between the two agents of the task", field=where
            )
        for item in body.items:
            event = events.get(item.hash)
            # Only the recipient of a message can say what became of it.
            if event is not None and event.envelope.header.to == header.from_:
                said.append(Said(header.from_, item, proven.envelope.hash))
    return tuple(said)
