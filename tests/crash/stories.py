"""What goes on between two agents while programs are killed, and what has to be there at the end."""

from __future__ import annotations

import base64
import random
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final

import attrs

from taskferry_apps.local_client import ApiError, JsonObject, LocalClient
from tests.crash.bursts import is_said_at_once, says_many
from tests.crash.world import World, until

__all__ = ["STORIES", "Lane"]

FILE_BYTES: Final = (1_000, 60_000)


@attrs.define
class Pulse:
    """Counts what succeeds, so that kills can follow the traffic and not the clock."""

    beats: int = 0
    changed: threading.Condition = attrs.field(factory=threading.Condition)

    def beat(self) -> None:
        """Something succeeded."""
        with self.changed:
            self.beats += 1
            self.changed.notify_all()

    def wait(self, beats: int, seconds: float) -> None:
        """Until so many more things have succeeded, or the time is over."""
        with self.changed:
            goal = self.beats + beats
            self.changed.wait_for(lambda: self.beats >= goal, seconds)


@attrs.define
class Lane:
    """Two connected agents, what they said and did, and how it has to end."""

    world: World
    number: int
    seed: int
    alice: LocalClient
    bob: LocalClient
    second: LocalClient | None
    """Alice's other machine, if she has one."""
    pulse: Pulse
    heard: Callable[[LocalClient, str, Mapping[str, object], ApiError], None] = lambda *_: None
    """Hears of every refusal, with what was asked of whom."""
    dice: random.Random = attrs.field(init=False)
    rounds: int = 0
    told: Counter[str] = attrs.field(factory=Counter)
    """How many stories of each kind there were."""
    texts: dict[str, list[str]] = attrs.field(factory=lambda: {"alice": [], "bob": []})
    """What each owner has to have received."""
    tasks: dict[str, str] = attrs.field(factory=dict)
    """How each task has to have ended."""
    events: dict[str, Counter[str]] = attrs.field(factory=dict)
    """Of some tasks, how many events of each type there have to be."""
    files: dict[tuple[str, int], bytes] = attrs.field(factory=dict)
    """The bytes of files by task and version."""
    acked: list[str] = attrs.field(factory=list)
    """Messages that Bob's agent has acknowledged."""

    def __attrs_post_init__(self) -> None:
        """Each lane has its own dice, so that one does not depend on how fast the others are."""
        self.dice = random.Random(self.seed * 100 + self.number)

    @property
    def asks(self) -> str:
        """Alice's agent."""
        return f"asks{self.number}"

    @property
    def does(self) -> str:
        """Bob's agent."""
        return f"does{self.number}"

    def say(self, client: LocalClient, path: str, body: Mapping[str, object], key: str) -> JsonObject:
        """Ask until the daemon has said that it is done; the key makes that once. 409: it was done before."""

        def attempt() -> JsonObject | None:
            try:
                return client.post(path, body, key=f"{key}-{self.seed}-{self.number}-{self.rounds}")
            except ApiError as error:
                self.heard(client, path, body, error)
                if error.status == 409 and error.code == "not-possible":
                    return {"already": True}
                if error.status in (409, 503) or error.code == "internal":
                    return None
                raise AssertionError(f"{path}: {error.code} {error}") from error

        answer = until(attempt, path, check=self.world.check)
        self.pulse.beat()
        return answer

    def ask(self, **more: object) -> str:
        """A new task; its id."""
        asked = {
            "from": self.asks,
            "to": f"@bob/{self.does}",
            "title": f"task {self.seed}-{self.number}-{self.rounds}",
            "description": "crash",
            **more,
        }
        return str(self.say(self.alice, "/tasks", asked, "task")["task_id"])

    def act(self, client: LocalClient, task: str, action: str, key: str = "", **body: object) -> JsonObject:
        """An action on a task."""
        return self.say(client, f"/tasks/{task}/{action}", body, key or action)

    def shows(self, client: LocalClient, task: str, *states: str) -> None:
        """Wait until a task is in one of the states there."""
        until(
            lambda: True if client.get(f"/tasks/{task}")["state"] in states else None,
            f"{task} {states}",
            check=self.world.check,
        )
        self.pulse.beat()


def _talks(lane: Lane) -> None:
    """A message each way; Bob's agent acknowledges his."""
    there, back = (f"{word} {lane.seed}-{lane.number}-{lane.rounds}" for word in ("there", "back"))
    said = {"from": lane.asks, "to": f"@bob/{lane.does}", "text": there}
    (message,) = _listed_texts(lane.say(lane.alice, "/messages/send", said, "there"), "message_ids")
    lane.texts["bob"].append(there)
    said = {"from": lane.does, "to": f"@alice/{lane.asks}", "text": back}
    lane.say(lane.bob, "/messages/send", said, "back")
    lane.texts["alice"].append(back)
    until(lambda: lane.bob.get(f"/messages/{message}"), "the message arrives", check=lane.world.check)
    lane.say(lane.bob, f"/messages/{message}/ack", {}, "ack")
    lane.acked.append(message)


def _is_revised(lane: Lane) -> None:
    """A task from request to completion with one revision."""
    task = lane.ask(requirements=["one", "two"])
    lane.shows(lane.bob, task, "sent")
    lane.act(lane.bob, task, "accept")
    work: dict[str, object] = {"artifact_type": "text", "content": f"work on {task}"}
    lane.act(lane.bob, task, "artifacts", "submit", **work)
    lane.shows(lane.alice, task, "submitted")
    lane.act(lane.alice, task, "revision", reason="again")
    lane.shows(lane.bob, task, "revision_requested")
    lane.act(lane.bob, task, "artifacts", "resubmit", **work)
    lane.shows(lane.alice, task, "resubmitted")
    lane.act(lane.alice, task, "complete")
    lane.tasks[task] = "completed"
    lane.events[task] = Counter(
        task_request=1, task_accept=1, artifact_submit=2, revision_request=1, task_complete=1
    )


def _progresses(lane: Lane) -> None:
    """A task whose worker says how it goes, with files both ways."""
    sent = lane.dice.randbytes(lane.dice.randint(*FILE_BYTES))
    made = lane.dice.randbytes(lane.dice.randint(*FILE_BYTES))
    task = lane.ask(files=[_file("in.bin", sent)])
    lane.shows(lane.bob, task, "sent")
    lane.act(lane.bob, task, "accept")
    for step in range(3):
        lane.act(lane.bob, task, "progress", f"progress{step}", message=f"step {step}", percent=30 * step)
    lane.act(lane.bob, task, "artifacts", files=[_file("out.bin", made)])
    lane.shows(lane.alice, task, "submitted")
    lane.act(lane.alice, task, "complete")
    lane.tasks[task] = "completed"
    lane.files |= {(task, 0): sent, (task, 1): made}
    lane.events[task] = Counter(
        task_request=1, task_accept=1, task_progress=3, artifact_submit=1, task_complete=1
    )


def _is_cancelled(lane: Lane) -> None:
    """A task taken back at some moment, which may cross what its worker does."""
    task = lane.ask()
    canceller = lane.alice
    steps = lane.dice.randrange(3)
    if steps > 0:
        lane.shows(lane.bob, task, "sent")
        lane.act(lane.bob, task, "accept")
    if steps > 1:
        lane.act(lane.bob, task, "progress", message="on it")
    if lane.second is not None and lane.dice.random() < 0.5:
        # The other machine knows the task once its mail has come, and asks this one.
        canceller = lane.second
        lane.shows(canceller, task, "sent", "accepted", "working")
    lane.act(canceller, task, "cancel", reason="no longer")
    if steps > 1:
        # As fast as that, the worker may not have heard of it.
        lane.act(lane.bob, task, "artifacts", content="too late?", artifact_type="text")
    lane.shows(lane.alice, task, "cancelled")
    lane.shows(lane.bob, task, "cancelled")
    lane.tasks[task] = "cancelled"


def _is_refused(lane: Lane) -> None:
    """A task that its worker declines, or fails at."""
    task = lane.ask()
    lane.shows(lane.bob, task, "sent")
    if lane.dice.random() < 0.5:
        lane.act(lane.bob, task, "decline", reason="busy")
        lane.tasks[task] = "declined"
    else:
        lane.act(lane.bob, task, "accept")
        lane.act(lane.bob, task, "fail", reason="could not")
        lane.tasks[task] = "failed"


def _listed_texts(answer: JsonObject, key: str) -> list[str]:
    found = answer[key]
    assert isinstance(found, list)
    return [str(one) for one in found]


def _file(name: str, content: bytes) -> dict[str, str]:
    return {"name": name, "data_base64": base64.b64encode(content).decode()}


STORIES: Final[Mapping[str, Callable[[Lane], None]]] = {
    "talk": _talks,
    "revised": _is_revised,
    "progress and files": _progresses,
    "cancelled": _is_cancelled,
    "refused": _is_refused,
    "many in one request": says_many,
    "many at once": is_said_at_once,
}
