"""Which proofs of equivocation a relay keeps: enough of them, and not so many that they fill the disk."""

from __future__ import annotations

from typing import Final

from taskferry_protocol.errors import RejectCode
from taskferry_protocol.ids import AccountId, DeviceId
from taskferry_protocol.records import EvidenceRecord, PutEvidence, StoreEnvelope

from .limits import USUAL

__all__ = ["Accusations"]

ACCUSED: Final = USUAL.accused
ACCUSED_OF_ONE: Final = USUAL.accused_of_one


class Accusations:
    """Whom this process has accused. A device is accused once; the store bounds what outlives restarts."""

    def __init__(self) -> None:
        self._accused: dict[AccountId, set[DeviceId]] = {}

    def against(self, account: AccountId, change: StoreEnvelope, prior_raw: bytes) -> PutEvidence | None:
        """What to keep of an envelope that contradicts `prior_raw`, if anything."""
        if not prior_raw:
            return None
        if len(self._accused) >= ACCUSED:
            self._accused.clear()
        accused = self._accused.setdefault(account, set())
        if change.device in accused or len(accused) >= ACCUSED_OF_ONE:
            return None
        accused.add(change.device)
        code = RejectCode.EQUIVOCATION.value
        return PutEvidence(EvidenceRecord(code, change.device, prior_raw, change.envelope, change.at))
