"""Whether all is well with a relay, and what to do where it is not. Pure: facts in, findings out."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import attrs

from taskferry_protocol.admission import MailboxLimits
from taskferry_protocol.ids import Instant

__all__ = ["Facts", "Finding", "Severity", "Verdict", "findings_of", "verdict_of"]

#: A commit that takes longer is felt by everybody who waits for an answer.
SLOW_MS: Final = 250.0
#: A mailbox so full, in entries or bytes, will soon refuse mail.
NEARLY_FULL: Final = 0.8


class Severity(IntEnum):
    """How soon somebody should look."""

    NOTE = 1
    WARNING = 2
    TROUBLE = 3


@attrs.frozen
class Facts:
    """What is known. `fullest_count` and `fullest_bytes` are the most of any of the fullest mailboxes.

    `mail_failed` is how many kinds of failure of sign-up mail were written down within the last hour,
    `short_of_room` how many bytes are free where the database is, or None where that is enough.
    """

    stopping: bool
    disk_full_at: Instant | None
    commit_ms: float | None
    held: int
    fullest_count: int
    fullest_bytes: int
    mail_failed: int
    limits: MailboxLimits
    short_of_room: int | None = None


@attrs.frozen
class Finding:
    """Something that is not as it should be; what to do; which of the operator's pages shows more."""

    severity: Severity
    text: str
    next_step: str
    page: str = ""


@attrs.frozen
class Verdict:
    """For strangers: a word for programs, and a sentence."""

    word: str
    sentence: str


def findings_of(facts: Facts) -> tuple[Finding, ...]:
    """Everything to look at, the worst first."""
    found = [*_of_machine(facts), *_of_accounts(facts)]
    return tuple(sorted(found, key=lambda finding: -finding.severity))


def _of_machine(facts: Facts) -> list[Finding]:
    found = []
    if facts.stopping:
        found.append(
            Finding(Severity.TROUBLE, "The relay is stopping, or its store has failed.", "Look at its log.")
        )
    if facts.disk_full_at is not None:
        found.append(
            Finding(
                Severity.TROUBLE,
                "The disk is full: new mail is refused, and senders keep it.",
                "Free space where the database is. Nothing is lost, and it goes on by itself.",
            )
        )
    elif facts.short_of_room is not None:
        found.append(
            Finding(
                Severity.WARNING,
                f"{facts.short_of_room // 1_000_000:,} MB are free where the database is.",
                "Free some space, or move the database; once the disk is full, new mail is refused.",
            )
        )
    if facts.commit_ms is not None and facts.commit_ms > SLOW_MS:
        found.append(
            Finding(
                Severity.WARNING,
                f"Writing to disk is slow: {facts.commit_ms:.0f} ms.",
                "See what else uses this disk, or move the database to a faster one.",
            )
        )
    return found


def _of_accounts(facts: Facts) -> list[Finding]:
    found = []
    count, size = facts.fullest_count / facts.limits.entries, facts.fullest_bytes / facts.limits.size
    if max(count, size) >= NEARLY_FULL:
        found.append(
            Finding(
                Severity.WARNING,
                f"A mailbox is {max(count, size):.0%} full; beyond that its senders are refused.",
                "Ask its owner to start the daemon there, or to revoke the device.",
                "mailboxes",
            )
        )
    if facts.held:
        accounts = "An account is" if facts.held == 1 else f"{facts.held} accounts are"
        found.append(
            Finding(
                Severity.NOTE,
                f"{accounts} held: keys have signed two histories.",
                "Only the owner can settle it, with the recovery phrase: taskferry recover",
                "accounts?state=held",
            )
        )
    if facts.mail_failed:
        found.append(
            Finding(
                Severity.WARNING,
                "Sign-up mails were not sent within the last hour.",
                "See the reasons, and check the mail server's settings.",
                "audit?kind=mail_failed",
            )
        )
    return found


def verdict_of(facts: Facts) -> Verdict:
    """How it is, in words that need no knowledge of a relay; nothing of anybody's account."""
    if facts.stopping:
        return Verdict("stopping", "It is stopping. Daemons keep what they have to send, and come back.")
    if facts.disk_full_at is not None:
        return Verdict("full", "Its disk is full. It delivers, and takes no new mail; senders keep theirs.")
    if facts.commit_ms is not None and facts.commit_ms > SLOW_MS:
        return Verdict("slow", "It works, slower than usual.")
    return Verdict("well", "All is well.")
