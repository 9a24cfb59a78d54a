"""A whole task in real envelopes, and the export of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from spec.generate.identity import Log
from spec.generate.kit import NOW, Map, Signer, Value, enc, fixed
from spec.generate.pacts import REQUEST as ASKED
from spec.generate.pacts import accept
from spec.generate.parcels import ADA, BOB, CODER, DESKTOP, LAPTOP, LEAD, Built, content, header, sealed
from spec.generate.story import REQUEST

REQUESTER, WORKER = "requester", "worker"


@dataclass
class Handoff:
    """Events signed and sealed one after the other; each author has seen all before it."""

    chains: dict[str, list[Built]] = field(default_factory=lambda: {REQUESTER: [], WORKER: []})

    @property
    def task(self) -> bytes:
        """The task's id."""
        return self.chains[REQUESTER][0].hash

    def add(
        self,
        side: str,
        kind: str,
        body: Map,
        *,
        by: Signer | None = None,
        task: bytes | None = None,
        sender: Value = None,
        **head: Value,
    ) -> Built:
        """One more event; `head` has header members that differ, `sender` takes the place of `from`."""
        mine, theirs = self.chains[side], self.chains[WORKER if side == REQUESTER else REQUESTER]
        first = kind == "task_request"
        link: Map = {
            "task": None if first else task or self.task,
            "n": len(mine),
            "prev": mine[-1].hash if mine else None,
            "seen": [len(theirs), theirs[-1].hash if theirs else None],
        }
        label = f"handoff {side} {len(mine)}"
        members: Map = {
            "class": "artifact" if kind == "artifact_submit" else "task",
            "seq": len(mine) + 1,
            "created_at": NOW + 1000 * (len(mine) + len(theirs)),
            "nonce": fixed(label + " nonce", 24),
        }
        if side == WORKER:
            members |= {"from": CODER, "to": LEAD, "log": BOB.position(), "to_log": ADA.position()}
        if sender is not None:
            members["from"] = sender
        signer = by or (LAPTOP if side == REQUESTER else DESKTOP).id
        built = sealed(
            {**header(label), **members, **head},
            content(kind, body, link=link),
            by=signer,
            key=fixed(label + " K"),
        )
        mine.append(built)
        return built

    def tell(self) -> Handoff:
        """Request, acceptance, a version, a revision, a second version, completion."""
        part: Map = {"kind": "text", "text": "def parse(): ...", "name": "parser.py"}
        self.add(REQUESTER, "task_request", dict(REQUEST))
        self.add(WORKER, "task_accept", {"note": ""})
        first = self.add(WORKER, "artifact_submit", {"note": "", "parts": [part], "answers": 0})
        asks: Map = {"version": 1, "hash": first.hash, "reasons": ["Tests, please."]}
        self.add(REQUESTER, "revision_request", asks)
        second = self.add(WORKER, "artifact_submit", {"note": "", "parts": [part], "answers": 1})
        self.add(REQUESTER, "task_complete", {"version": 2, "hash": second.hash, "note": ""})
        return self

    def events(self) -> list[Built]:
        """The requester's chain, then the worker's."""
        return [*self.chains[REQUESTER], *self.chains[WORKER]]

    def receipt(self, **head: Value) -> Built:
        """Bob's word that the request was applied."""
        members: Map = {"class": "receipt", "from": CODER, "to": LEAD, "log": BOB.position(), "seq": 9}
        items: list[Value] = [[self.task, "applied", None]]
        inside = content("receipt", {"items": items})
        key = fixed("handoff receipt K")
        return sealed({**header("handoff receipt"), **members, **head}, inside, by=DESKTOP.id, key=key)


def kept(built: Sequence[Built]) -> list[Value]:
    """Envelopes with their keys."""
    return [[one.raw, one.key] for one in built]


def exported(
    handoff: Handoff,
    change: Callable[[Map], Map] = lambda members: members,
    *,
    logs: Sequence[Log] = (ADA, BOB),
    events: Sequence[Built] | None = None,
) -> bytes:
    """The export, with one member changed."""
    members: Map = {
        "format": "taskferry-handoff/1",
        "task": handoff.task,
        "exported_at": NOW + 60_000,
        "logs": {log.account.hex(): list(log.statements) for log in logs},
        "events": kept(handoff.events() if events is None else events),
        "connection": [ASKED, accept()],
        "receipts": kept([handoff.receipt()]),
    }
    return enc(change(members))
