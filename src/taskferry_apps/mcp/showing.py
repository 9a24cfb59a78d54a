"""The tool that shows a task or a message in full: what others wrote is fenced, what is long is named."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import attrs

from ..client.errors import NotFound
from ..client.results import Connection, Message
from ..client.task_results import Part, Task
from ..visible import one_line, visible
from .answers import Answer, delivery_words, short
from .budget import cut_to, tokens
from .desk import Desk, Host, may_start, permission_words
from .fence import Fence, Origin
from .schema import Arguments

__all__ = ["show"]

_TOKENS: Final = 4_000
_NAME: Final = 120
_WORD: Final = 400


@attrs.define
class _Budget:
    """Tokens that are left of an answer."""

    left: int

    def take(self, text: str) -> tuple[str, bool]:
        """The text, or its beginning and True."""
        cost = tokens(text)
        if cost <= self.left:
            self.left -= cost
            return text, False
        beginning = cut_to(text, max(self.left, 0))
        self.left = 0
        return beginning, True


async def show(desk: Desk, args: Arguments, host: Host) -> Answer:
    """A task, or else a message, by its id."""
    del host
    id = args.text("id").strip().lower()
    budget = _Budget(args.whole("max_tokens") or _TOKENS)
    try:
        task = await desk.client.task(id).show()
    except NotFound:
        return await _message(desk, await desk.client.message(id), budget)
    origin, connection = await desk.origin(task.peer)
    ask_owner = await _is_owner_asked(desk, task, connection)
    if task.role == "worker" and not ask_owner and connection is not None:
        origin = attrs.evolve(origin, permission=permission_words(connection, "you may start on this task"))
    answer = _Shown(task, origin, desk.fence(*_texts(task)), budget, ask_owner=ask_owner).answer()
    desk.memory.note(task.id, task.mark, len(task.revision_requests))
    return answer


async def _is_owner_asked(desk: Desk, task: Task, connection: Connection | None) -> bool:
    """Whether it is work that the owner has neither let through nor lets programs begin on."""
    if task.role != "worker":
        return False
    try:
        return not (await desk.client.message(task.id)).auto_start
    except NotFound:
        # Another of the owner's devices received it.
        return not may_start(connection)


def _texts(task: Task) -> list[str]:
    parts = [*task.parts, *(part for version in task.versions for part in version.parts)]
    return [
        task.title,
        task.brief,
        *task.requirements,
        *(part.text or part.json_text or part.name for part in parts),
        *(reason for asked in task.revision_requests for reason in asked.reasons),
        *(version.note for version in task.versions),
        *(event.note for event in task.events),
    ]


class _Shown:
    """One task, put into words and facts together. The newest is shown first, so that it has the room."""

    def __init__(self, task: Task, origin: Origin, fence: Fence, budget: _Budget, *, ask_owner: bool) -> None:
        self._task = task
        self._origin = origin
        self._fence = fence
        self._budget = budget
        self._is_worker = task.role == "worker"
        self._ask_owner = ask_owner
        self._lines: list[str] = []

    def answer(self) -> Answer:
        """The whole."""
        task = self._task
        facts: dict[str, object] = {
            "kind": "task",
            "id": short(task.id),
            "role": task.role,
            "peer": task.peer,
            "trust": self._origin.trust,
            "permission": self._origin.permission,
            "state": task.state,
            "actions": list(task.actions),
        }
        can = ", ".join(task.actions) or "nothing"
        self._lines.append(
            f"Task {facts['id']}: you are the {task.role}, {task.peer} the other side. State {task.state}; "
            f"you can: {can}."
        )
        if task.deadline is not None:
            facts["deadline"] = task.deadline.isoformat(timespec="seconds")
            self._lines.append(f"Deadline {facts['deadline']}.")
        if self._ask_owner and "accept" in task.actions:
            facts["ask_owner"] = True
            self._lines.append("Ask your owner before you start on it.")
        if task.delivery is not None:
            facts["delivery"] = delivery_words(task.delivery)
            self._lines.append(f"Your last step: {facts['delivery']}.")
        facts["revisions_left"] = max(task.revisions - task.asks, 0)
        self._last_word(facts)
        self._reasons(facts)
        self._versions(facts)
        self._request(facts)
        facts["mark"] = task.mark
        return Answer("\n".join(self._lines), facts)

    def _theirs(self, what: str, text: str) -> str:
        """What the peer wrote, into the words; gives what of it goes into the facts."""
        kept, cut = self._budget.take(visible(text))
        more = "\n<cut here; taskferry_artifact_save, or a larger max_tokens, gives the rest>" if cut else ""
        self._lines.append(self._fence.around(what, self._origin, kept) + more)
        return kept + more

    def _ours(self, what: str, text: str) -> str:
        kept, cut = self._budget.take(visible(text))
        self._lines.append(f"{what}: {kept}{'…' if cut else ''}")
        return kept + ("…" if cut else "")

    def _request(self, facts: dict[str, object]) -> None:
        task = self._task
        if not self._is_worker:
            facts["title"] = self._ours("Your title", task.title)
            facts["brief"] = self._ours("Your brief", task.brief)
            if task.requirements:
                facts["requirements"] = [self._ours("Required", one) for one in task.requirements]
            return
        facts["peer_title"] = self._theirs("title", one_line(task.title, _WORD))
        facts["peer_brief"] = self._theirs("brief", task.brief)
        if task.requirements:
            facts["peer_requirements"] = [self._theirs("requirement", one) for one in task.requirements]
        if task.parts:
            facts["parts"] = self._parts("the request", task.parts, theirs=True)

    def _reasons(self, facts: dict[str, object]) -> None:
        if not self._task.revision_requests:
            return
        found: list[dict[str, object]] = []
        for asked in reversed(self._task.revision_requests):
            if self._is_worker:
                what = f"wanting in version {asked.version}"
                reasons = [self._theirs(what, reason) for reason in asked.reasons]
                found.append({"version": asked.version, "peer_reasons": reasons})
            else:
                own = [self._ours(f"You asked of version {asked.version}", one) for one in asked.reasons]
                found.append({"version": asked.version, "reasons": own})
        facts["revisions"] = found

    def _versions(self, facts: dict[str, object]) -> None:
        if not self._task.versions:
            return
        found: list[dict[str, object]] = []
        for version in reversed(self._task.versions):
            name = f"version {version.number}"
            self._lines.append(f"{name.capitalize()} ({version.status}):")
            one: dict[str, object] = {"version": version.number, "status": version.status}
            if version.note and self._is_worker:
                one["note"] = self._ours("Note", version.note)
            elif version.note:
                one["peer_note"] = self._theirs(f"note on {name}", version.note)
            one["parts"] = self._parts(name, version.parts, theirs=not self._is_worker)
            found.append(one)
        facts["versions"] = found

    def _parts(self, of: str, parts: Sequence[Part], *, theirs: bool) -> list[dict[str, object]]:
        found: list[dict[str, object]] = []
        for part in parts:
            one: dict[str, object] = {"part": part.number, "kind": part.kind, "bytes": part.size}
            name = one_line(part.name, _NAME)
            content = part.text if part.text is not None else part.json_text
            what = f"part {part.number}, {part.kind}, {part.size} bytes, of {of}"
            if not theirs:
                # One's own work is known: its size is enough.
                self._lines.append(f"- {what}")
            elif content is not None and tokens(content) <= self._budget.left:
                if name:
                    one["peer_name"] = name
                one["peer_text"] = self._theirs(what + (" (with a name)" if name else ""), content)
            else:
                if name:
                    one["peer_name"] = self._theirs(f"name of {what}", name)
                self._lines.append(f"- {what}: fetch it with taskferry_artifact_save")
            found.append(one)
        return found

    def _last_word(self, facts: dict[str, object]) -> None:
        """The line that came with the newest step, such as the reason of a decline."""
        for event in reversed(self._task.events):
            if event.note and event.type != "artifact_submit":
                if event.side == self._task.role:
                    facts["note"] = self._ours(f"Your line with {event.type}", event.note)
                else:
                    facts["peer_note"] = self._theirs(f"line with {event.type}", event.note)
                return


async def _message(desk: Desk, message: Message, budget: _Budget) -> Answer:
    incoming = message.direction == "in"
    peer = message.sender if incoming else message.to
    origin, _ = await desk.origin(peer)
    if incoming:
        origin = attrs.evolve(origin, trust=message.trust)
    facts: dict[str, object] = {
        "kind": "message",
        "id": short(message.id),
        "peer": peer,
        "trust": origin.trust,
        "permission": origin.permission,
        "direction": message.direction,
        "state": message.state,
        "conversation": short(message.conversation),
    }
    said = f"to {peer}" if not incoming else f"from {peer}"
    lines = [f"Message {facts['id']} {said}, state {message.state}."]
    if message.task_id is not None:
        lines.append(f"It belongs to task {short(message.task_id)}: taskferry_show that.")
    if message.delivery is not None:
        facts["delivery"] = delivery_words(message.delivery)
        lines.append(f"Delivery: {facts['delivery']}.")
    kept, cut = budget.take(visible(_said(message)))
    if cut:
        kept += "\n<cut here; a larger max_tokens gives the rest>"
    if incoming:
        facts["peer_text"] = kept
        lines.append(desk.fence(kept).around("message", origin, kept))
    else:
        facts["text"] = kept
        lines.append(kept)
    return Answer("\n".join(lines), facts)


def _said(message: Message) -> str:
    parts = (message.payload or {}).get("parts")
    more = [
        str(part.get("text") or part.get("json") or "")
        for part in (parts if isinstance(parts, list) else [])
        if isinstance(part, dict)
    ]
    return "\n".join(text for text in (message.text, *more) if text)
