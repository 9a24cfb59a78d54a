"""How a lying relay fills mailboxes. It has no keys, so this is all that it can do to what it carries."""

from __future__ import annotations

from ..envelope import Envelope
from ..frame_items import Mail
from ..ids import DeviceId
from .chance import Chance
from .faults import Lies
from .relay_store import RelayStore, Waiting

__all__ = ["Liar"]


class Liar:
    """Puts entries into mailboxes, wronging some of them by chance; with no lies it is an honest hand."""

    def __init__(self, lies: Lies, chance: Chance) -> None:
        self._lies = lies
        self._chance = chance
        self._carried: list[tuple[bytes, bytes]] = []

    def put(self, store: RelayStore, device: DeviceId, envelope: Envelope, sealed: bytes) -> str:
        """Put one entry into a mailbox, or not. Says in a word what was done to it."""
        lies, chance = self._lies, self._chance
        done = "put"
        if chance.happens(lies.drop):
            return "dropped"
        if chance.happens(lies.substitute) and self._carried:
            store.put(device, envelope, *self._instead(envelope.raw, sealed))
            done = "substituted"
        else:
            store.put(device, envelope, envelope.raw, sealed)
        self._carried.append((envelope.raw, sealed))
        if chance.happens(lies.replay):
            again = self._carried[chance.below(len(self._carried))]
            store.put(device, envelope, *again)
            done += ", replayed"
        if chance.happens(lies.reorder):
            self._swap(store.boxes[device])
            done += ", reordered"
        return done

    def _instead(self, raw: bytes, sealed: bytes) -> tuple[bytes, bytes]:
        other = self._carried[self._chance.below(len(self._carried))]
        choice = self._chance.below(3)
        if choice == 0:
            bit = self._chance.below(len(raw) * 8)
            flipped = bytearray(raw)
            flipped[bit // 8] ^= 1 << bit % 8
            return bytes(flipped), sealed
        return (raw, other[1]) if choice == 1 else other

    def _swap(self, box: dict[int, Waiting]) -> None:
        """Let the last entry and one of those before it change places."""
        mail = [offset for offset, waiting in box.items() if isinstance(waiting.entry, Mail)]
        last, other = mail[-1], mail[self._chance.below(len(mail))]
        for offset, waiting in ((last, box[other]), (other, box[last])):
            if isinstance(waiting.entry, Mail):
                entry = Mail(offset, waiting.entry.envelope, waiting.entry.sealed)
                box[offset] = Waiting(entry, waiting.sender, waiting.expires_at)
