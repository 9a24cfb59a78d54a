"""Which proofs of equivocation a relay keeps: enough of them, and not so many that they fill the disk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from taskferry_protocol.errors import RejectCode
from taskferry_protocol.ids import AccountId, DeviceId
from taskferry_protocol.records import EvidenceRecord, PutEvidence, StoreEnvelope

from .limits import USUAL

__all__ = ["ACCUSED_OF_ONE", "AGAIN_S", "HELD_BYTES", "Accusations"]

ACCUSED: Final = USUAL.accused
ACCUSED_OF_ONE: Final = USUAL.accused_of_one
HELD_BYTES: Final = USUAL.accusation_bytes
#: How long evidence that found no room waits until it is offered again.
AGAIN_S: Final = 60.0


class Accusations:
    """Whom this process has accused, and what of it is not stored yet.

    A device is accused once; the store bounds what outlives restarts. What finds no room on the disk waits
    here, and goes alone from then on, so that nobody's mail is refused for it.
    """

    def __init__(self) -> None:
        self._accused: dict[AccountId, set[DeviceId]] = {}
        self._new: list[PutEvidence] = []
        self._refused: list[PutEvidence] = []
        self._held = 0
        self._again_at = 0.0

    def accuse(self, account: AccountId, change: StoreEnvelope, prior_raw: bytes) -> bool:
        """Whether there is something to keep of an envelope that contradicts `prior_raw`; it waits then."""
        if not prior_raw:
            return False
        if len(self._accused) >= ACCUSED:
            self._accused.clear()
        accused = self._accused.setdefault(account, set())
        if change.device in accused or len(accused) >= ACCUSED_OF_ONE:
            return False
        code = RejectCode.EQUIVOCATION.value
        evidence = EvidenceRecord(code, change.device, prior_raw, change.envelope, change.at)
        kept = PutEvidence(evidence)
        if self._held + _size([kept]) > HELD_BYTES:
            # The device may be accused by what it does next.
            return False
        accused.add(change.device)
        self._new.append(kept)
        self._held += _size([kept])
        return True

    def take(self) -> Sequence[PutEvidence]:
        """What is new, to go with the next commit."""
        new, self._new = self._new, []
        self._held -= _size(new)
        return new

    def take_again(self, now: float, *, is_last: bool = False) -> Sequence[PutEvidence]:
        """What found no room, to go alone, if it is time for it or there will be no more."""
        if now < self._again_at and not is_last:
            return ()
        refused, self._refused = self._refused, []
        self._held -= _size(refused)
        return refused

    def found_no_room(self, evidence: Sequence[PutEvidence], now: float) -> None:
        """Keep it until there is some."""
        if evidence:
            self._refused.extend(evidence)
            self._held += _size(evidence)
            self._again_at = now + AGAIN_S


def _size(evidence: Sequence[PutEvidence]) -> int:
    return sum([len(put.evidence.first) + len(put.evidence.second) for put in evidence])
