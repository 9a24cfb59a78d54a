"""What a grant allows, in sentences: the same on a terminal and on a page. Pure."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from .amounts import bytes_in_words, counted, listed

__all__ = ["CLASSES", "grant_sentences"]

#: What may be sent, in the order that people are told of it.
CLASSES: Final = ("message", "task", "artifact")


def grant_sentences(
    sender: str,
    receiver: str,
    decides: str,
    *,
    classes: Collection[str],
    rate_per_minute: int,
    largest_bytes: int,
    ends: str,
    auto_trigger: bool,
    human_gate: bool,
    task_budget: int,
    largest_artifact: int,
) -> list[str]:
    """What `sender` may send to `receiver`, in sentences.

    `decides` is who looks at a task first, as in "you" or "its owner"; `ends` says when it is over, as in
    "in 3 d", or "" for never. Texts are taken as they are, so clean them first.
    """
    named = [f"{word}s" for word in CLASSES if word in classes]
    # A rate of none lets nothing pass, whatever else is named.
    if not named or not rate_per_minute:
        return [f"{sender} may send nothing to {receiver}."]
    over = f"this ends {ends}" if ends else "this has no end"
    rate = counted(rate_per_minute, "envelope", "envelopes")
    told = [
        f"{sender} may send {listed(named)} to {receiver}.",
        f"At most {rate} a minute, of {bytes_in_words(largest_bytes)} each; {over}.",
    ]
    if "tasks" in named and task_budget:
        told.append(
            f"At most {task_budget:,} of its tasks {'is' if task_budget == 1 else 'are'} open at once."
        )
        told.append(
            f"Each task waits for {decides} first (human gate)."
            if human_gate
            else f"Tasks go straight to {receiver} (no human gate)."
        )
    elif "tasks" in named:
        told.append(f"It may start no task of its own, only answer in those that {receiver} asks for.")
    if "artifacts" in named:
        told.append(f"An artifact has at most {bytes_in_words(largest_artifact)}.")
    told.append(
        "Programs may begin on it by themselves, once the sender's owner is verified or came by an invite."
        if auto_trigger
        else "No program begins on it by itself."
    )
    return told
