"""`python -m spec.diagrams` draws what the code's tables say; with `--check` it fails if a drawing is stale.

Drawings are Mermaid in Markdown, below `docs/diagrams/`: text that shows what changed.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from taskferry_protocol.session_base import TURNS, Phase
from taskferry_protocol.tasks import (
    CONDITIONS,
    FINAL_STATES,
    ROLES,
    TRANSITIONS,
    Cell,
    EventType,
    TaskState,
)
from tools.generated import run

DIAGRAMS = Path(__file__).resolve().parents[1] / "docs" / "diagrams"
NOTICE = "<!-- Drawn by `python -m spec.diagrams`; change the tables in the code instead. -->"

Edges = Mapping[tuple[str, str], list[str]]


def arrows(edges: Edges) -> Iterator[str]:
    """One arrow from each state to each next one, with all that leads there."""
    for (state, following), labels in edges.items():
        yield f"    {state} --> {following}: {', '.join(labels)}"


def label(event: EventType, cell: Cell, following: TaskState) -> str:
    """An event's name, its footnote, and on which revisions the step depends."""
    words = [event.value]
    if event in CONDITIONS:
        words.append(f"({CONDITIONS[event].number})")
    if cell.unasked is not cell.asked:
        words.append("after a revision request" if cell.asked is following else "before any revision request")
    return " ".join(words)


def task_edges() -> Edges:
    """The table of events by state, turned into arrows."""
    edges: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for state in TaskState:
        for event, row in TRANSITIONS.items():
            cell = row.get(state, Cell(None, None))
            for following in dict.fromkeys((cell.unasked, cell.asked)):
                if following is not None:
                    edges[state, following].append(label(event, cell, following))
    return edges


def tasks() -> str:
    """The life of a task."""
    lines = [
        NOTICE,
        "",
        "# The life of a task",
        "",
        "What each event does to a task that both daemons hold the same events of;",
        "[the specification](../../spec/tasks.md) says in which order events count.",
        "An event without an arrow from a state is *superseded* there: no effect, but it keeps its place in",
        "its author's chain.",
        "",
        "```mermaid",
        "stateDiagram-v2",
        f"    [*] --> {TaskState.SENT}: {EventType.TASK_REQUEST}",
        *arrows(task_edges()),
        *(f"    {state} --> [*]" for state in TaskState if state in FINAL_STATES),
        "```",
        "",
        *(
            f"{condition.number}. `{event}`: only if it {condition.text}."
            for event, condition in CONDITIONS.items()
        ),
        "",
        "A submission that answers fewer revision requests than took effect is kept as a version, and the",
        "state stays.",
        "",
        "| event | signed by |",
        "|---|---|",
        *(f"| `{event}` | {', '.join(sorted(roles))} |" for event, roles in ROLES.items()),
    ]
    return "\n".join(lines) + "\n"


def session_edges() -> Edges:
    """The turns of a session as arrows; what ends it from anywhere is told in words."""
    edges: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for phase, sides in TURNS.items():
        for side, frames in sides.items():
            for frame, following in frames.items():
                if following is not Phase.OVER:
                    edges[phase, following].append(f"{side} {frame.name.lower()}")
    return edges


def session() -> str:
    """The phases of a session between daemon and relay."""
    lines = [
        NOTICE,
        "",
        "# A session between daemon and relay",
        "",
        "Who may send which frame in which phase; any other frame is `unexpected-frame` and the end.",
        "In every phase either side may say `goaway`, which ends the session.",
        "[The specification](../../spec/session.md) says what the frames hold.",
        "",
        "```mermaid",
        "stateDiagram-v2",
        f"    [*] --> {Phase.GREETING}",
        *arrows(session_edges()),
        f"    {Phase.OPEN} --> {Phase.OVER}: goaway",
        f"    {Phase.OVER} --> [*]",
        "```",
    ]
    return "\n".join(lines) + "\n"


def wanted() -> dict[Path, str]:
    """Each drawing by its file."""
    return {DIAGRAMS / "tasks.md": tasks(), DIAGRAMS / "session.md": session()}


if __name__ == "__main__":
    sys.exit(run("spec.diagrams", wanted()))
