"""All chance of a world, from its seed: a stream for each subject, so that none disturbs another."""

from __future__ import annotations

import random

import attrs

from taskferry_protocol.ids import Entropy

__all__ = ["Chance"]


@attrs.frozen
class Chance:
    """A seed, and the streams that come out of it."""

    seed: int

    def stream(self, *subject: object) -> random.Random:
        """The stream of a subject; asked for again, it begins anew."""
        return random.Random("/".join(map(str, (self.seed, *subject))))  # text seeds alike everywhere

    def entropy(self, *subject: object) -> Entropy:
        """Bytes as a machine's generator would give them."""
        return self.stream("entropy", *subject).randbytes
