"""Tasks told event by event: each author sees all that came before, unless the story says otherwise."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from spec.generate.fold import REQUESTER, WORKER, Event, Fold, folded
from spec.generate.kit import NOW, Map, Value, enc, sha
from spec.generate.parcels import DESKTOP, LAPTOP, content
from spec.generate.vector import Json, Vector

HOUR = 3_600_000
DEADLINE = NOW + HOUR
TASK = sha(b"task event request")
SIDES = {
    "task_accept": WORKER,
    "task_decline": WORKER,
    "task_progress": WORKER,
    "artifact_submit": WORKER,
    "task_fail": WORKER,
    "task_request": REQUESTER,
    "revision_request": REQUESTER,
    "task_complete": REQUESTER,
    "task_cancel": REQUESTER,
    "task_expire": REQUESTER,
}
REQUEST: Map = {
    "title": "Make the parser strict",
    "brief": "",
    "parts": [],
    "requirements": [],
    "deadline": DEADLINE,
    "revisions": 2,
    "budget": None,
}


class Story:
    """A task as it goes on; `do` appends an event, `events` are all of them in the order told."""

    def __init__(self, **terms: Value) -> None:
        self.events: list[Event] = []
        self.chains: dict[str, list[Event]] = {REQUESTER: [], WORKER: []}
        self.contents: dict[bytes, bytes] = {}
        self.revoked: list[bytes] = []
        self.do("task_request", {**REQUEST, **terms}, label="request")

    def branch(self) -> Story:
        """A copy that can go on another way."""
        other = Story()
        other.events = list(self.events)
        other.chains = {side: list(chain) for side, chain in self.chains.items()}
        other.contents = dict(self.contents)
        return other

    @property
    def fold(self) -> Fold:
        """What it has come to, with everything held."""
        return folded(self.events, self.revoked)

    def newest(self) -> Map:
        """The newest version, named as requests and completions name it."""
        number, name = self.fold.versions[-1]
        return {"version": number, "hash": name}

    def body(self, kind: str) -> Map:
        """A body that is right at this place."""
        match kind:
            case "task_request":
                return {}
            case "task_accept":
                return {"note": ""}
            case "task_progress":
                return {"note": "", "percent": None}
            case "artifact_submit":
                part: Map = {"kind": "text", "text": "done", "name": ""}
                return {"note": "", "parts": [part], "answers": self.fold.asks}
            case "revision_request":
                return {**self._named(), "reasons": ["Not yet."]}
            case "task_complete":
                return {**self._named(), "note": ""}
            case "task_expire":
                return {"deadline": DEADLINE}
            case "task_seen":
                return {}
            case _:
                return {"reason": ""}

    def _named(self) -> Map:
        return self.newest() if self.fold.versions else {"version": 1, "hash": sha(b"no submission")}

    def do(
        self,
        kind: str,
        fields: Map | None = None,
        *,
        side: str | None = None,
        label: str = "",
        seen: int | None = None,
        seen_hash: bytes | None = None,
        n: int | None = None,
        prev: bytes | None = None,
        device: bytes | None = None,
        adopt: bool = False,
        at: int | None = None,
        held: bool = True,
        **body: Value,
    ) -> Event:
        """One event. It stands at the end of its author's chain unless `n` and `prev` put it elsewhere."""
        author = side or SIDES[kind]
        mine, theirs = self.chains[author], self.chains[WORKER if author == REQUESTER else REQUESTER]
        place = len(mine) if n is None else n
        before = prev if prev is not None else (mine[place - 1].hash if place else None)
        count = len(theirs) if seen is None else seen
        named = seen_hash if seen_hash is not None else (theirs[count - 1].hash if count else None)
        name = sha(f"task event {label or f'{author} {place} {kind} {len(self.events)}'}".encode())
        default = (LAPTOP if author == REQUESTER else DESKTOP).id.public
        created = (DEADLINE if kind == "task_expire" else NOW + 1000 * len(self.events)) if at is None else at
        members = {**self.body(kind), **(fields or {}), **body}
        event = Event(
            name, author, device or default, kind, place, before, (count, named), members, created, adopt
        )
        link: Map = {
            "task": None if kind == "task_request" else TASK,
            "n": place,
            "prev": before,
            "seen": [count, named],
        }
        if adopt:
            link["adopt"] = True
        self.contents[name] = enc(content(kind, members, link=link))
        if n is None:
            mine.append(event)
        if held:
            self.events.append(event)
        return event


def told(
    name: str,
    comment: str,
    story: Story,
    expect: str = "accept",
    *,
    about: Event | None = None,
    events: Sequence[Event] | None = None,
    revoked: Iterable[bytes] = (),
    viewer: str = "home",
    state: str | None = None,
    cell: tuple[str, str] | None = None,
    arrivals: Sequence[Sequence[int]] = (),
) -> Vector:
    """The story as a vector. `state` is what the text says it comes to, against which the fold is held."""
    held = list(story.events if events is None else events)
    gone = sorted(revoked)
    outcome = folded(held, gone, viewer)
    assert state is None or outcome.state == state, (name, outcome.state, state)
    for order in arrivals:
        assert folded([held[index] for index in order], gone, viewer).json() == outcome.json()
    if about is not None and about.hash in outcome.effects:
        effect = outcome.effects[about.hash]
        assert (effect == "superseded") == (expect == "superseded"), (name, effect, expect)
    listed: list[Json] = [
        {
            "hash": event.hash.hex(),
            "side": event.side,
            "device": event.device.hex(),
            "created_at": event.created_at,
            "content": story.contents[event.hash].hex(),
        }
        for event in held
    ]
    members: dict[str, Json] = {"spec": "tasks.md#2-the-fold", "comment": comment, "kind": "task-fold"}
    if cell is not None:
        members |= {"spec": "tasks.md#3-the-table", "cell": list(cell)}
    members |= {
        "task": TASK.hex(),
        "viewer": viewer,
        "revoked": [key.hex() for key in gone],
        "events": listed,
    }
    if arrivals:
        members["arrivals"] = [list(order) for order in arrivals]
    if about is not None:
        members["about"] = about.hash.hex()
    members |= {"expect": expect, "decoded": outcome.json()}
    return Vector("tasks", name, members)
