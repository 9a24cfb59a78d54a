"""What two owners have lived through, by their local APIs: tasks in many states, requests, questions."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import attrs

from taskferry_apps.local_client import ApiError, LocalClient

__all__ = ["Town"]

T = TypeVar("T")
PATIENCE_S = 30

FIRST = "The notes are clear.\nTwo terms want an explanation.\nThe figures are right.\n"
SECOND = (
    "The notes are clear now.\nTwo terms are explained below.\nThe figures are right.\nfence: it only rises\n"
)


def in_days(days: int) -> str:
    """A time to come, as the API reads it."""
    return (datetime.now(UTC) + timedelta(days=days)).isoformat(timespec="seconds")


def waited(ask: Callable[[], T | None]) -> T:
    """What `ask` gives, as soon as it gives something."""
    deadline = time.monotonic() + PATIENCE_S
    while not (found := ask()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


@attrs.frozen
class Town:
    """Alice and Bob, and how to speak to their daemons."""

    alice: LocalClient
    bob: LocalClient

    def connect(self, mine: str, theirs: str, **permissions: object) -> None:
        """Alice's agent with Bob's; Bob's owner accepts."""
        self.alice.post(
            "/connections/request", {"from": mine, "to": f"@bob/{theirs}", "message": "Shall we?"}
        )

        def request() -> Any:
            found: Any = self.bob.get("/connections", state="requested_in")["connections"]
            return next((one for one in found if one["peer"] == f"@alice/{mine}"), None)

        self.bob.post("/connections/accept", {"id": waited(request)["id"], "permissions": permissions})

        def accepted() -> Any:
            found: Any = self.alice.get("/connections", state="accepted")["connections"]
            return [
                one for one in found if one["mine"] == f"@alice/{mine}" and one["peer"] == f"@bob/{theirs}"
            ]

        waited(accepted)

    def trip(self, mine: str, theirs: str, *texts: str) -> None:
        """A breaker of Bob's between the two, which the second of these messages trips."""
        self.connect(mine, theirs)
        self.bob.post("/breakers", {"from": theirs, "to": f"@alice/{mine}", "messages": 1})
        for text in texts:
            self.alice.post("/messages/send", {"from": mine, "to": f"@bob/{theirs}", "text": text})
        waited(lambda: self.bob.get("/stops")["stops"])

    def ask(self, title: str, brief: str = "", **more: object) -> str:
        """A task of Alice's requester for Bob's writer; its id."""
        asked = {
            "from": "requester",
            "to": "@bob/writer",
            "title": title,
            "description": brief or title,
            **more,
        }
        return str(self.alice.post("/tasks", asked)["task_id"])

    def in_state(self, who: LocalClient, task: str, state: str) -> None:
        """Wait until it is so there."""

        def so() -> bool:
            try:
                return who.get(f"/tasks/{task}")["state"] == state
            except ApiError:
                return False

        waited(so)

    def act(self, who: LocalClient, task: str, action: str, body: dict[str, object], state: str) -> None:
        """One step, and wait until both sides see it."""
        who.task_action(task, action, body)
        for each in (self.alice, self.bob):
            self.in_state(each, task, state)

    def settle(self) -> None:
        """Let all of it happen."""
        for who, names in ((self.alice, ("planner", "courier")), (self.bob, ("coder", "desk"))):
            for name in names:
                who.post("/agents", {"handle": name, "tagline": f"The {name}", "capabilities": ["review"]})
        self.connect("requester", "writer", human_gate=False)
        self.connect("planner", "writer")
        reviewed = self.ask(
            "Review the release notes", "Please say what is unclear.", requirements=["At most one page"]
        )
        working, done = self.ask("Draft the announcement"), self.ask("Write a summary of the incident")
        declined, fresh = self.ask("Translate the manual"), self.ask("Check the figures")
        for task in (reviewed, working, done, declined, fresh):
            self.in_state(self.bob, task, "sent")
        for task in (reviewed, working, done):
            self.act(self.bob, task, "accept", {}, "accepted")
        self.act(self.bob, declined, "decline", {"reason": "No time this week"}, "declined")
        self.act(self.bob, working, "progress", {"message": "Half of it", "percent": 50}, "working")
        self.act(self.bob, reviewed, "artifacts", {"content": FIRST, "notes": "A first look"}, "submitted")
        self.act(self.alice, reviewed, "revision", {"reason": "Explain the two terms"}, "revision_requested")
        self.act(self.bob, reviewed, "artifacts", {"content": SECOND, "answers": 1}, "resubmitted")
        self.act(self.bob, done, "artifacts", {"content": "It was the clock."}, "submitted")
        self.act(self.alice, done, "complete", {"message": "Thank you"}, "completed")
        self.alice.post(
            "/messages/send", {"from": "requester", "to": "@bob/writer", "text": "Good morning. Five tasks."}
        )
        self.alice.post(
            "/tasks",
            {
                "from": "planner",
                "to": "@bob/writer",
                "title": "Tidy up the archive",
                "description": "Delete nothing yet.",
            },
        )
        self.alice.post(
            "/connections/request",
            {"from": "planner", "to": "@bob/coder", "message": "A second pair of hands"},
        )
        self.bob.post(
            "/approvals",
            {
                "from": "writer",
                "class": "shell",
                "what": "Run the tests of the manual",
                "why": "To see that its examples work",
            },
        )
        self.bob.post(
            "/approvals",
            {
                "from": "writer",
                "class": "local-files",
                "what": "Write the manual anew. " * 40,
                "task_id": working,
            },
        )
        self.trip("courier", "desk", "Is it there yet?", "Is it there now?", "And now?")
        self.bob.post("/rules", {"accept": "@alice/planner", "agent": "coder", "tasks_per_day": 3})
        self.bob.post(
            "/invites",
            {"agent": "writer", "expires_at": in_days(7), "note": "For the printers", "uses": 3},
        )
        self.bob.post("/runtimes", {"agent": "writer", "program": "Claude Code", "lease_s": 3600})
        self.bob.post("/tokens", {"agents": ["writer"], "label": "Claude Code"})
        waited(lambda: self.bob.get("/connections", state="requested_in")["connections"])
        waited(lambda: self.bob.get("/gates")["tasks"])
