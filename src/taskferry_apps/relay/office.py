"""What all links of a relay share."""

from __future__ import annotations

from collections.abc import Callable, Collection

import attrs

from taskferry_protocol.ids import Instant
from taskferry_stores.port import RelayStore

from .accounts import Accounts
from .audit import RelayAudit
from .calls import Calls
from .engine import Engine
from .folding import Turns
from .limits import RelayLimits
from .look_ups import LookUps
from .mailbox import TailBudget
from .presence import Presence
from .visits import Visits

__all__ = ["Office"]


@attrs.frozen
class Office:
    """What all links of a relay share."""

    store: RelayStore
    engine: Engine
    accounts: Accounts
    calls: Calls
    lookups: LookUps
    presence: Presence
    visits: Visits
    origins: Collection[str]
    budget: TailBudget
    turns: Turns
    limits: RelayLimits
    audit: RelayAudit
    now: Callable[[], Instant]
    fail: Callable[[Exception], None]
