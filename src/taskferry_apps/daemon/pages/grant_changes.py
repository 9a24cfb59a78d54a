"""What a grant allows, and what a change of it means, in words, before anything is signed. Pure."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from ...amounts import bytes_in_words, counted, listed
from ...grant_words import CLASSES, grant_sentences
from ...page_kit.words import exact
from ..views import GrantView

__all__ = ["Change", "allowed", "changes"]


@attrs.frozen
class Change:
    """One field: its name, how it stands, how it would, and what that means.

    `wider` says whether it allows more than before.
    """

    name: str
    before: str
    after: str
    meaning: str
    wider: bool


def allowed(grant: GrantView | None, sender: str, receiver: str, decides: str) -> list[str]:
    """What `sender` may send to `receiver` by a grant; `decides` is who looks at a task first."""
    if grant is None:
        return [f"Nothing is known of what {sender} may send to {receiver}."]
    return grant_sentences(
        sender,
        receiver,
        decides,
        classes=grant.classes,
        rate_per_minute=grant.rate_per_minute,
        largest_bytes=grant.largest_bytes,
        ends=f"on {exact(grant.until)}" if grant.until is not None else "",
        auto_trigger=grant.auto_trigger,
        human_gate=grant.human_gate,
        task_budget=grant.task_budget,
        largest_artifact=grant.largest_artifact,
    )


def changes(now: GrantView, then: GrantView, mine: str, peer: str) -> tuple[Change, ...]:
    """What differs, in the order of the form."""
    return (
        *_classes(now, then, mine, peer),
        *_gate(now, then, mine, peer),
        *_starting(now, then, peer),
        *_numbers(now, then, peer),
        *_end(now, then, peer),
    )


_MAY = {
    "message": "{peer} may write messages to {mine}",
    "task": "{peer} may ask {mine} for work",
    "artifact": "{peer} may send {mine} the results of work",
}


def _classes(now: GrantView, then: GrantView, mine: str, peer: str) -> Iterator[Change]:
    if set(now.classes) == set(then.classes):
        return
    added = [word for word in CLASSES if word in then.classes and word not in now.classes]
    gone = [word for word in CLASSES if word in now.classes and word not in then.classes]
    told = [f"{_MAY[word].format(mine=mine, peer=peer)}." for word in added]
    if gone:
        told.append(f"No more {listed([f'{word}s' for word in gone])} of {peer} are taken.")
    yield Change("May be sent", _named(now), _named(then), " ".join(told), bool(added))


def _named(grant: GrantView) -> str:
    words = [f"{word}s" for word in CLASSES if word in grant.classes]
    return listed(words) if words else "nothing"


def _gate(now: GrantView, then: GrantView, mine: str, peer: str) -> Iterator[Change]:
    if now.human_gate != then.human_gate:
        told = {
            True: f"{mine} sees a task of {peer} only once you have let it pass.",
            False: f"{mine} gets tasks of {peer} at once, and you see them no sooner than it does.",
        }
        words = {True: "each waits for you", False: "go straight to the agent"}
        yield Change(
            "Tasks",
            words[now.human_gate],
            words[then.human_gate],
            told[then.human_gate],
            not then.human_gate,
        )


def _starting(now: GrantView, then: GrantView, peer: str) -> Iterator[Change]:
    if now.auto_trigger != then.auto_trigger:
        words = {True: "programs may begin by themselves", False: "no program begins by itself"}
        told = {
            True: f"A program of yours may begin on what {peer} sends without anybody having looked, once its"
            " owner is verified or came by an invite.",
            False: f"What {peer} sends waits until somebody, or a program that was told to, looks.",
        }
        yield Change(
            "Starting work",
            words[now.auto_trigger],
            words[then.auto_trigger],
            told[then.auto_trigger],
            then.auto_trigger,
        )


def _numbers(now: GrantView, then: GrantView, peer: str) -> Iterator[Change]:
    if now.rate_per_minute != then.rate_per_minute:
        yield Change(
            "A minute",
            counted(now.rate_per_minute, "envelope", "envelopes"),
            counted(then.rate_per_minute, "envelope", "envelopes"),
            f"{peer} may send as many in a minute; the relay refuses more."
            if then.rate_per_minute
            else f"Nothing of {peer} comes through any more.",
            then.rate_per_minute > now.rate_per_minute,
        )
    if now.largest_bytes != then.largest_bytes:
        yield Change(
            "Largest envelope",
            bytes_in_words(now.largest_bytes),
            bytes_in_words(then.largest_bytes),
            "Larger ones are refused at the relay and here.",
            then.largest_bytes > now.largest_bytes,
        )
    if now.task_budget != then.task_budget:
        yield Change(
            "Open tasks at once",
            f"{now.task_budget:,}",
            f"{then.task_budget:,}",
            f"{peer} may have as many tasks open here; a further one is refused until one has ended."
            if then.task_budget
            else f"{peer} may start no task; it may answer yours.",
            then.task_budget > now.task_budget,
        )
    if now.largest_artifact != then.largest_artifact:
        yield Change(
            "Largest artifact",
            bytes_in_words(now.largest_artifact),
            bytes_in_words(then.largest_artifact),
            "Larger results are refused.",
            then.largest_artifact > now.largest_artifact,
        )


def _end(now: GrantView, then: GrantView, peer: str) -> Iterator[Change]:
    if now.until == then.until:
        return
    before, after = (exact(grant.until) if grant.until is not None else "no end" for grant in (now, then))
    ends = then.until is not None
    told = f"After that nothing of {peer} is taken." if ends else "It holds until you end it."
    wider = then.until is None or (now.until is not None and then.until > now.until)
    yield Change("Until", before, after, told, wider)
