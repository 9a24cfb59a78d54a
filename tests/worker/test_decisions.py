"""The worker's pure decisions: what to do next with a task, what counts as progress, what is harmless."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import attrs
import pytest

from taskferry_apps.client import Task
from taskferry_apps.client.task_results import RevisionRequest, TaskEvent, Version
from taskferry_apps.worker.progress import Lines, Progress, Waiting, progress_in
from taskferry_apps.worker.rules import Choice, Rules, asked_by, judged
from taskferry_apps.worker.steps import Kept, Next, Stage, begun, key_of, next_of, open_reasons
from taskferry_apps.worker.text import fenced, harmless, tail

AT = datetime(2026, 1, 2, tzinfo=UTC)
DAY_MS = 86_400_000


def event(kind: str, effect: str = "effective") -> TaskEvent:
    """An event of a task."""
    side = "worker" if kind == "task_accept" else ""
    return TaskEvent(0, side, kind, kind, AT, effect, True, "", None)


def a_task(state: str = "accepted", kinds: tuple[str, ...] = (), **changes: Any) -> Task:
    """A task in a state after events of these kinds."""
    count = kinds.count("artifact_submit")
    given: dict[str, Any] = {
        **dict.fromkeys(("title", "mine", "peer", "brief"), ""),
        **dict.fromkeys(("created_at", "updated_at"), AT),
        **dict.fromkeys(("deadline", "budget", "delivery")),
        "id": "ab" * 32,
        "role": "worker",
        "state": state,
        "confirmed": True,
        "final": state in ("completed", "cancelled", "failed", "expired"),
        "requirements": (),
        "parts": (),
        "asks": 0,
        "revisions": 3,
        "versions": tuple(Version(n + 1, "", "effective", "", (), AT) for n in range(count)),
        "revision_requests": tuple(
            RevisionRequest(n + 1, (f"reason {n}",)) for n in range(kinds.count("revision_request"))
        ),
        "events": tuple(event(kind) for kind in kinds),
        "waiting": (),
        "actions": ("submit", "fail") if state not in ("completed", "cancelled", "failed") else (),
    }
    return Task(**{**given, **changes})


def unconfirmed(task: Task) -> Task:
    """The same before the other side has said whom it takes."""
    return attrs.evolve(task, events=tuple(attrs.evolve(each, confirmed=False) for each in task.events))


SUBMITTED = ("artifact_submit",)
REVISED = ("artifact_submit", "revision_request")


@pytest.mark.parametrize(
    ("task", "stage", "more", "wanted"),
    [
        (a_task("sent", actions=("accept", "decline")), Stage.ACCEPTING, {}, Next.ACCEPT),
        (a_task(), Stage.ACCEPTING, {}, Next.ACCEPT),
        (a_task(), Stage.ACCEPTING, {"since_ms": -2 * DAY_MS}, Next.RUN),
        (a_task(), Stage.ACCEPTED, {}, Next.RUN),
        (a_task("working"), Stage.ACCEPTED, {}, Next.RUN),
        (a_task(), Stage.MADE, {}, Next.SUBMIT),
        (a_task("submitted", SUBMITTED), Stage.MADE, {}, Next.WAIT),
        (a_task("submitted", SUBMITTED), Stage.HANDED_IN, {}, Next.WAIT),
        (a_task("submitted", SUBMITTED), Stage.ACCEPTED, {}, Next.WAIT),
        (a_task("revision_requested", REVISED), Stage.HANDED_IN, {}, Next.RUN),
        (a_task("revision_requested", REVISED), Stage.MADE, {}, Next.RUN),
        (a_task("revision_requested", REVISED), Stage.ACCEPTED, {"answers": 1, "versions": 1}, Next.RUN),
        (a_task("working", REVISED), Stage.MADE, {"answers": 1, "versions": 1}, Next.SUBMIT),
        (a_task("resubmitted", (*REVISED, "artifact_submit")), Stage.MADE, {"answers": 1}, Next.WAIT),
        (a_task(), Stage.FAILING, {"reason": "no"}, Next.FAIL),
        (a_task("cancelled"), Stage.FAILING, {"reason": "no"}, Next.CLEAN_UP),
        (a_task("completed", SUBMITTED), Stage.HANDED_IN, {}, Next.CLEAN_UP),
        (a_task(actions=()), Stage.ACCEPTED, {}, Next.WAIT),
        (a_task(actions=("fail",)), Stage.ACCEPTED, {}, Next.WAIT),
        (a_task(kinds=("task_accept",), acts_on="desk"), Stage.ACCEPTED, {}, Next.LEAVE),
        (a_task(kinds=("task_accept",), acts_on="desk"), Stage.MADE, {}, Next.LEAVE),
        (unconfirmed(a_task(kinds=("task_accept",), acts_on="desk")), Stage.ACCEPTED, {}, Next.RUN),
        (a_task("cancelled", ("task_accept",), acts_on="desk"), Stage.ACCEPTED, {}, Next.CLEAN_UP),
    ],
)  # fmt: skip
def test_the_next_step_follows_from_the_task_and_what_is_written_down(task, stage, more, wanted):
    """The same after a crash, whatever had taken effect before it."""
    kept = attrs.evolve(Kept("ab" * 32, stage, 0), **more)
    assert next_of(task, kept, 1_000) is wanted


def test_a_run_answers_what_was_asked_when_it_began():
    """Superseded requests do not count; the reasons are those since the last version."""
    task = a_task("revision_requested", (*REVISED, "artifact_submit", "revision_request"))
    task = attrs.evolve(task, events=(event("revision_request", "superseded (final)"), *task.events))
    kept = begun(task, Kept(task.id, Stage.HANDED_IN, 0, reason="old"))
    assert (kept.stage, kept.answers, kept.versions, kept.reason) == (Stage.ACCEPTED, 2, 2, "")
    assert open_reasons(task) == ("reason 1",)
    assert open_reasons(a_task("submitted", SUBMITTED)) == ()


def test_keys_tell_every_step_apart():
    """Another worker, word, task, run or content is another request; the same is the same."""
    steps: list[Any] = [
        ("w", "accept", "t"), ("v", "accept", "t"), ("w", "fail", "t"), ("w", "accept", "u"),
        ("w", "accept", "t", 1), ("w", "accept", "t", 0, b"x"),
    ]  # fmt: skip
    keys = [key_of(*step) for step in steps]
    assert len(set(keys)) == len(steps)
    assert keys == [key_of(*step) for step in steps]
    assert all(len(key) <= 128 and key.isalnum() for key in keys)


def test_rules_say_why():
    """What never fits comes before who may start it; a full day is looked at again."""
    task = a_task("sent", title="A title", peer="@alice/requester")
    assert judged(Rules(), asked_by(task), may_start=True, taken_today=0).choice is Choice.TAKE
    assert judged(Rules(), asked_by(task), may_start=False, taken_today=0).choice is Choice.LATER
    assert judged(Rules(is_asking=True), asked_by(task), may_start=False, taken_today=9).choice is Choice.ASK
    assert judged(Rules(per_day=2), asked_by(task), may_start=True, taken_today=2).choice is Choice.LATER
    far = Rules(peers=("@alice",), is_declining=True)
    assert judged(far, asked_by(task), may_start=False, taken_today=0).choice is Choice.DECLINE
    assert (
        judged(Rules(longest_title=3), asked_by(task), may_start=True, taken_today=0).choice is Choice.LEAVE
    )


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        (b"taskferry: progress 40 words", Progress("words", 40)),
        (b"taskferry: progress 100%", Progress("", 100)),
        (b"taskferry: progress 101 things\n", Progress("101 things")),
        (b"taskferry: progress 4th step", Progress("4th step")),
        (b"taskferry: progress \x1b[2J\xff", Progress("\ufffd[2J\ufffd")),
        (b"taskferry: progress  ", None),
        (b" taskferry: progress 3", None),
        (b"words", None),
    ],
)
def test_what_is_a_report_of_progress(line, wanted):
    """A percentage and words after the prefix, or either."""
    assert progress_in(line) == wanted


def test_reports_are_coalesced_and_paced():
    """The first goes at once, then the newest at most once in a while; a repetition does not."""
    waiting = Waiting(5.0)
    assert (waiting.due(0.0), waiting.delay(0.0)) == (None, None)
    for word in ("a", "b"):
        waiting.put(Progress(word))
    assert waiting.due(1.0) == Progress("b")
    waiting.put(Progress("b"))
    assert waiting.delay(1.0) is None
    waiting.put(Progress("c"))
    assert (waiting.due(2.0), waiting.delay(2.0)) == (None, 4.0)
    assert waiting.due(6.0) == Progress("c")


def test_lines_are_whole_however_they_come_and_bounded():
    """Byte for byte the same is given out; a line without end comes in pieces, one of them its start."""
    lines = Lines()
    text = b"one\n\ntwo" + b"x" * 9_000 + b"\nlast"
    found = [item for n in range(0, len(text), 7) for item in lines.feed(text[n : n + 7])] + lines.end()
    assert b"".join(piece for piece, _ in found) == text
    assert max(len(piece) for piece, _ in found) < 4_200
    assert [piece[:4] for piece, is_start in found if is_start] == [b"one\n", b"\n", b"twox", b"last"]


def test_fences_hold_whatever_is_in_them():
    """No text can pretend that its fence has ended."""
    for text in ("", "```", "a ````` b", "```text\n```"):
        first, *_, last = fenced(text).split("\n")
        assert first == f"{last}text"
        assert last not in text


def test_a_tail_is_short_and_harmless():
    """The last lines that fit, or the end of one that does not."""
    assert tail(b"one\ntwo\x1b[0m\nthree\n\n", 14) == "two\ufffd[0m\nthree"
    assert tail(b"x" * 100, 5) == "…xxxxx"
    assert tail(b"", 5) == ""
    assert harmless("a\r\nb\u202ec\x00") == "a\nb\ufffdc\ufffd"
