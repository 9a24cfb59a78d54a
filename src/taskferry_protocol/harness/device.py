"""A device as its agents use it: ask for work, do it, look at how it stands."""

from __future__ import annotations

from collections.abc import Iterable

from ..envelope import parse_envelope
from ..errors import LocalProtocolError, RejectCode
from ..handoff import Kept, export_handoff
from ..ids import AgentRef, DeviceId, Hash, Instant
from ..links import EventType, Role, Seen, TaskLink
from ..messages import (
    ArtifactSubmit,
    Content,
    RevisionRequest,
    TaskAccept,
    TaskCancel,
    TaskComplete,
    TaskDecline,
    TaskExpire,
    TaskFail,
    TaskProgress,
    TaskRequest,
    TextMessage,
    TextPart,
)
from ..messages.base import Body
from ..task_table import VersionName
from ..task_view import TaskView
from .device_store import Quarantined, Received, Sent, TaskRow
from .faults import NotPossible
from .machine import Machine

__all__ = ["Device"]


class Device:
    """One device of an owner. `World.device` makes it.

    Whatever sends something stores it first; it travels while the world runs. Everything raises DeviceDown
    while the device is down, but for what only looks.
    """

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    # --- Looking

    @property
    def name(self) -> str:
        """What the world calls it."""
        return self._machine.name

    @property
    def id(self) -> DeviceId:
        """Its key."""
        return self._machine.keys.id

    @property
    def is_up(self) -> bool:
        """Whether it runs."""
        return self._machine.is_up

    @property
    def commits(self) -> int:
        """How often it has committed, or failed at it."""
        return self._machine.commits

    def agent(self, name: str) -> AgentRef:
        """A reference to an agent that this device serves. Raises LocalProtocolError for another."""
        state = self._machine.store.log.state
        if all(device.id != self.id for device in state.serving(name)):
            raise LocalProtocolError(f"{self.name} serves no agent {name}")
        return AgentRef(state.account, name)

    def tasks(self) -> tuple[Hash, ...]:
        """The tasks that it knows of, in the order in which it came to know them."""
        return tuple(self._machine.store.tasks)

    def task(self, task: Hash) -> TaskView:
        """The task as this device sees it. Raises LocalProtocolError for one that it does not know."""
        self._row(task)
        return self._machine.store.view(task, self.id)

    def role(self, task: Hash) -> Role:
        """Which side of the task this owner is."""
        return self._row(task).role

    def actions(self, task: Hash) -> tuple[EventType, ...]:
        """What this side can do in the task now."""
        return self.task(task).actions(self.role(task), self._machine.timeline.now)

    def content(self, message: Hash) -> Content:
        """What a message says that this device sent or took. Raises LocalProtocolError for another."""
        content = self._machine.store.contents.get(message)
        if content is None:
            raise LocalProtocolError("no such message is held here")
        return content

    def text(self, task: Hash, version: int | None = None) -> str:
        """The text of the newest version, or of the one numbered `version`.

        Raises LocalProtocolError if it has not come.
        """
        versions = self.task(task).versions
        wanted = [known for known in versions if version is None or known.number == version]
        if not wanted:
            raise LocalProtocolError("no such version has come")
        body = self.content(wanted[-1].hash).body
        parts = body.parts if isinstance(body, ArtifactSubmit) else ()
        return "".join(part.text for part in parts if isinstance(part, TextPart))

    def inbox(self) -> tuple[Received, ...]:
        """The plain messages that its agents got, in order."""
        return self._machine.store.inbox

    def sent(self, message: Hash) -> Sent:
        """How far a message of this device has come. Raises LocalProtocolError for what it did not send."""
        sent = self._machine.store.sent.get(message)
        if sent is None:
            raise LocalProtocolError("this device sent no such message")
        return sent

    def quarantine(self) -> tuple[Quarantined, ...]:
        """What came and has no effect, and why."""
        return self._machine.store.quarantine

    def handoff(self, task: Hash) -> bytes:
        """The task's history as a file that anybody can verify offline with `verify_handoff`."""
        row, store = self._row(task), self._machine.store
        logs = [log for log in (store.log_of(row.mine.account), store.log_of(row.peer.account)) if log]
        bond = store.bonds[row.mine, row.peer]
        flow = (row.peer, row.mine)
        receipts = [store.kept[hash] for hash in store.receipts]
        return export_handoff(
            task,
            logs=logs,
            events=[store.kept[event.hash] for event in store.events[task]],
            connection=(bond.request.raw, bond.accept),
            receipts=[kept for kept in receipts if _flow(kept) == flow],
            at=self._machine.timeline.now,
        )

    def _row(self, task: Hash) -> TaskRow:
        row = self._machine.store.tasks.get(task)
        if row is None:
            raise LocalProtocolError(f"{self.name} knows no such task")
        return row

    # --- Sending

    def say(self, mine: AgentRef, peer: AgentRef, text: str) -> Hash:
        """Send a plain message; its hash."""
        draft = self._machine.draft()
        envelope = draft.post(TextMessage(text), mine, peer, draft.conversation())
        self._machine.commit_own(draft)
        self._machine.pump()
        return envelope.hash

    def request(
        self,
        mine: AgentRef,
        peer: AgentRef,
        title: str,
        brief: str = "",
        *,
        requirements: Iterable[str] = (),
        revisions: int = 3,
        deadline: Instant | None = None,
        budget: int | None = None,
    ) -> Hash:
        """Ask a peer's agent for work; the task's id."""
        body = TaskRequest(title, brief, (), tuple(requirements), deadline, revisions, budget)
        draft = self._machine.draft()
        conv = draft.conversation()
        task = draft.post(body, mine, peer, conv, TaskLink(None, 0, None, Seen(0, None)))
        draft.store.tasks[task.hash] = TaskRow(task.hash, Role.REQUESTER, mine, peer, conv)
        draft.hold_own(task.hash, Role.REQUESTER, task)
        self._machine.commit_own(draft)
        self._machine.pump()
        return task.hash

    def act(self, task: Hash, body: Body) -> Hash:
        """Sign any event of a task; its hash. Raises NotPossible where the task does not allow it now."""
        row = self._row(task)
        draft = self._machine.draft()
        view = draft.view(task)
        if not view.may_write(row.role, self.id):
            raise LocalProtocolError("another device of this owner writes in this task")
        named = body if isinstance(body, RevisionRequest | TaskComplete) else None
        refusal = view.refuse(
            row.role,
            EventType(body.type_name),
            now=draft.now,
            names=None if named is None else VersionName(named.version, named.hash),
            answers=body.answers if isinstance(body, ArtifactSubmit) else 0,
        )
        if refusal is not None:
            raise NotPossible(refusal.code, view.state, view.actions(row.role, draft.now))
        envelope = draft.sign_event(task, body, view.next_link(row.role))
        self._machine.commit_own(draft)
        self._machine.pump()
        return envelope.hash

    def accept(self, task: Hash, note: str = "") -> Hash:
        """Take the task on."""
        return self.act(task, TaskAccept(note))

    def decline(self, task: Hash, reason: str = "") -> Hash:
        """Do not take it."""
        return self.act(task, TaskDecline(reason))

    def progress(self, task: Hash, note: str = "", percent: int | None = None) -> Hash:
        """Say how far it is."""
        return self.act(task, TaskProgress(note, percent))

    def submit(self, task: Hash, text: str, note: str = "") -> Hash:
        """Hand in a version, as an answer to all revision requests that have come so far."""
        return self.act(task, ArtifactSubmit(note, (TextPart(text),), self.task(task).asks))

    def revise(self, task: Hash, *reasons: str) -> Hash:
        """Ask for another version than the newest one."""
        newest = self._newest(task)
        return self.act(task, RevisionRequest(newest.version, newest.hash, reasons))

    def complete(self, task: Hash, note: str = "") -> Hash:
        """Take the newest version as the result."""
        newest = self._newest(task)
        return self.act(task, TaskComplete(newest.version, newest.hash, note))

    def cancel(self, task: Hash, reason: str = "") -> Hash:
        """Want it no longer."""
        return self.act(task, TaskCancel(reason))

    def fail(self, task: Hash, reason: str = "") -> Hash:
        """Give it up."""
        return self.act(task, TaskFail(reason))

    def expire(self, task: Hash) -> Hash:
        """Say that the deadline has passed. Raises LocalProtocolError if there is none."""
        terms = self.task(task).terms
        if terms is None or terms.deadline is None:
            raise LocalProtocolError("this task has no deadline")
        return self.act(task, TaskExpire(terms.deadline))

    def _newest(self, task: Hash) -> VersionName:
        newest = self.task(task).newest
        if newest is None:
            raise NotPossible(RejectCode.SUPERSEDED, self.task(task).state, self.actions(task))
        return newest


def _flow(kept: Kept) -> tuple[AgentRef, AgentRef]:
    header = parse_envelope(kept.envelope).header
    return header.from_, header.to
