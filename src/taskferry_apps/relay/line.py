"""The batches that wait for the disk, and which of them go with the next commit.

A commit has a bounded number of mailbox entries, so that whoever sends to many devices does not make it long
for everybody. What comes first goes first; but of the rest, each account has a little before any has more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from taskferry_protocol.ids import AccountId

from .jobs import Job
from .limits import USUAL

__all__ = ["Line"]

#: Entries of one commit.
MOST: Final = USUAL.waiting
#: Those of an account that go before others have more.
SHARE: Final = 256


class Line:
    """Jobs in the order in which they were decided on."""

    def __init__(self) -> None:
        self._jobs: list[Job] = []
        self.entries = 0
        """Mailbox entries of all of them."""

    def __len__(self) -> int:
        return len(self._jobs)

    @property
    def envelopes(self) -> int:
        """Envelopes of all of them."""
        return sum([len(job.stores) for job in self._jobs])

    def add(self, job: Job) -> None:
        """A job waits."""
        self._jobs.append(job)
        self.entries += job.entries

    def take(self) -> Sequence[Job]:
        """The jobs that go with the next commit, in their order; the first of all is among them."""
        jobs = self._jobs
        if self.entries <= MOST:
            self._jobs, self.entries = [], 0
            return jobs
        chosen = set(self._choose())
        self._jobs = [job for at, job in enumerate(jobs) if at not in chosen]
        taken = [job for at, job in enumerate(jobs) if at in chosen]
        self.entries -= sum([job.entries for job in taken])
        return taken

    def _choose(self) -> Iterator[int]:
        """Where those stand that go, each once. What one account sent keeps its order, and so do contacts."""
        first = self._jobs[0]
        of_account = Counter({first.sender.account: first.entries})
        chosen = {0}
        yield 0
        total = 0
        for most in (SHARE, MOST):
            behind: set[AccountId] = set()
            contacts_behind = False
            for at, job in enumerate(self._jobs):
                if at in chosen:
                    continue
                account, entries = job.sender.account, job.entries
                fits = total + entries <= MOST and of_account[account] + entries <= most
                if fits and account not in behind and not (job.contacts and contacts_behind):
                    chosen.add(at)
                    of_account[account] += entries
                    total += entries
                    yield at
                else:
                    behind.add(account)
                    contacts_behind |= bool(job.contacts)
            # Many little ones go beside the first, however large that is; what is large waits for its turn.
            total += first.entries
