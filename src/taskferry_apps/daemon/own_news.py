"""What is new in our own log: everybody connected is told, by whichever device of ours signed it.

Whoever signed it may have been cut off between the relay's taking it and its own commit, and nobody is told
then. So a device that learns of something from the relay waits a while for the word of the one that signed
it, and says it itself if none comes: a relay could hide from a peer for ever what nobody tells that peer.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

from taskferry_protocol.account_state import DeviceStatus
from taskferry_protocol.accounts import AccountLog
from taskferry_protocol.ids import AccountId, AgentRef
from taskferry_protocol.limits import MINUTE_MS
from taskferry_protocol.messages import AccountUpdate
from taskferry_protocol.records import ConnectionState, DropSetting, PutSetting, SaveConnection
from taskferry_stores.port import DaemonStore

from ..audit_logs import stated_at
from ..logs import get_logger
from .audience import connected_owners, reachable
from .core import Core
from .draft import LIFETIME_MS, Draft
from .port import DaemonRefusal

__all__ = ["UNTOLD", "announce", "heard_of", "note_lately_signed", "note_untold", "tell_untold", "untold"]

#: The setting that notes what nobody's word has come about: JSON with `at`, the indices `from` and `to`, and
#: in `also` the accounts whose last connection the news itself has ended.
UNTOLD: Final = "own news"
#: The word of another device waits in the mailbox where it was said at all.
_PATIENCE_MS: Final = 2 * MINUTE_MS
#: Statements in one `account_update`.
_UPDATE: Final = 64


async def announce(
    draft: Draft, start: int, statements: Sequence[bytes], also: Collection[AccountId] = ()
) -> None:
    """Tell every connected account, and the owner's other devices, of statements from index `start` on.

    `also` are accounts that were connected before these statements.
    """
    own = AgentRef(draft.core.own, "")
    told = {*await connected_owners(draft), *await reachable(draft, also)}
    log = await draft.own_log()
    if len(log.state.active_devices()) > 1:
        told.add(draft.core.own)
    for account in sorted(told):
        update = AccountUpdate(tuple(statements[:_UPDATE]), start)
        await draft.post_quietly(update, own, AgentRef(account, ""))


async def note_untold(draft: Draft, held: AccountLog | None, log: AccountLog) -> None:
    """Note what the relay has shown of our own log, in the draft that takes it."""
    if log.account != draft.core.own or held is None:
        return
    start, at, also = held.shared_with(log), draft.now, _cut_off(draft)
    if raw := await draft.setting(UNTOLD):
        noted = json.loads(raw)
        start, at = min(start, noted["from"]), noted["at"]
        also |= _also(noted)
    _put(draft, at, start, log.state.length, also)


async def untold(store: DaemonStore) -> frozenset[AccountId]:
    """The accounts of which nobody else would be told what is noted: news has ended what they had."""
    raw = (await store.settings((UNTOLD,))).get(UNTOLD)
    return frozenset() if raw is None else _also(json.loads(raw))


def _cut_off(draft: Draft) -> frozenset[AccountId]:
    """The accounts of connections in force that this draft ends."""
    saved = (change.connection for change in draft.changes if isinstance(change, SaveConnection))
    return frozenset(
        one.peer.account for one in saved if one.accept_raw and one.state is ConnectionState.ENDED
    )


def _also(noted: Mapping[str, list[str]]) -> frozenset[AccountId]:
    return frozenset(AccountId(bytes.fromhex(account)) for account in noted.get("also", ()))


async def note_lately_signed(draft: Draft) -> None:
    """Note what was added to our own log in the time that mail of this daemon lives.

    A relay that was put back from an older copy has lost the words that were on their way, to which nobody
    says a receipt.
    """
    log = await draft.own_log()
    first = end = log.state.length
    while first > max(0, end - _UPDATE) and draft.now - stated_at(log, first - 1) < LIFETIME_MS:
        first -= 1
    also = frozenset[AccountId]()
    if raw := await draft.setting(UNTOLD):
        first, also = min(first, json.loads(raw)["from"]), _also(json.loads(raw))
    if first < end:
        _put(draft, draft.now, first, end, also)


async def heard_of(draft: Draft, sender: AccountId, update: AccountUpdate) -> None:
    """Strike what another device of ours has told of: it has told everybody."""
    raw = await draft.setting(UNTOLD) if sender == draft.core.own else None
    if raw is None:
        return
    noted, end = json.loads(raw), update.start + len(update.statements)
    log = await draft.own_log()
    if log.statements[update.start : end] != update.statements or not update.start <= noted["from"] < end:
        return
    if end < noted["to"]:
        _put(draft, noted["at"], end, noted["to"], _also(noted))
    else:
        draft.add(DropSetting(UNTOLD))


async def tell_untold(core: Core) -> None:
    """Announce what was noted and nobody has told of for a while. The lock must be free."""
    if core.suspended:
        return  # another copy of this device may be at work: nothing is signed now
    async with core.lock:
        draft = Draft(core)
        raw = await draft.setting(UNTOLD)
        if raw is None:
            return
        noted = json.loads(raw)
        if 0 <= draft.now - noted["at"] < _PATIENCE_MS:
            return
        log = await draft.own_log()
        mine, statements = log.state.devices.get(core.device), log.statements[noted["from"] : noted["to"]]
        if mine is not None and mine.status is DeviceStatus.ACTIVE and statements:
            try:
                await announce(draft, noted["from"], statements, _also(noted))
            except DaemonRefusal as refused:
                get_logger().warning("news of the own account are not announced yet", reason=refused.code)
                return
        draft.add(DropSetting(UNTOLD))
        await draft.commit()


def _put(draft: Draft, at: int, start: int, end: int, also: Iterable[AccountId]) -> None:
    row = {"at": at, "from": start, "to": end, "also": sorted(account.hex() for account in also)}
    draft.add(PutSetting(UNTOLD, json.dumps(row).encode()))
