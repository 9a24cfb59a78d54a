"""Mail that was sealed before its sender had heard of a further device of ours: passed on to that one.

A relay lets mail in that is wrapped for the devices it knows of. What it let in before it knew of a new one,
or after it was put back from an older copy, reaches the older devices alone, and may come long after history
was shared. It is noted in the very commit that takes it, and struck in the one that posts it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from typing import Final

from taskferry_protocol.account_state import DeviceStatus
from taskferry_protocol.accounts import AccountLog
from taskferry_protocol.envelope import Envelope, parse_envelope
from taskferry_protocol.ids import AccountId, DeviceId, Hash, Instant, LogPosition
from taskferry_protocol.limits import LIFETIME_MS, MINUTE_MS
from taskferry_protocol.messages import Body, DeviceShare, MessageClass, SharedItem
from taskferry_protocol.records import (
    AppendStatements,
    DropSetting,
    Flow,
    MessageRecord,
    PutSetting,
    SealedRecord,
    Trust,
)

from ..audit_logs import stated_at
from ..logs import get_logger
from .bonds import bonds_between
from .core import Core
from .draft import Draft
from .port import DaemonRefusal
from .share_jobs import under_way
from .shares import account_items, connection_item, message_items, pinned_items, share_with

__all__ = ["LATE", "left_out", "note_late", "pass_on_late"]

#: The setting that notes what is to be passed on: JSON with `at`, when the first of it came, and `hashes`.
LATE: Final = "late mail"
#: What comes within so long goes together: with each lot go the logs of those who wrote it.
_GATHER_MS: Final = 10_000
#: More does not wait: the note is written anew with each.
_MOST: Final = 128
#: Messages of one commit, which may have a copy of each for every other device.
_LOT: Final = 8
#: A peer who makes every message look late has its log passed on so often and no more.
_AGAIN_MS: Final = 60 * MINUTE_MS
_REMEMBERED: Final = 1_000


def left_out(own: AccountLog, envelope: Envelope) -> frozenset[DeviceId]:
    """The devices that an envelope is for by our log, and was not by as much of it as its sender knew.

    It may have been wrapped for them all the same, when the relay had told its sender more.
    """
    header = envelope.header
    if header.to.device is not None:
        return frozenset()
    is_ours = header.from_.account == own.account
    quoted, name = (header.log, "") if is_ours else (header.to_log, header.to.name)
    if quoted.length >= own.state.length:
        return frozenset()
    length = quoted.length if own.contains(quoted) else 0
    return frozenset(
        device.id for device in own.state.serving(name) if not own.served_at(device.id, name, length)
    )


async def note_late(draft: Draft, envelope: Envelope, body: Body | None = None) -> None:
    """Note that other devices of ours have to be told of something that this draft takes, if that is so."""
    log = await draft.own_log()
    devices = _believers(draft, log, left_out(log, envelope))
    if not devices:
        return
    header = envelope.header
    if isinstance(body, DeviceShare):
        # Of what is said to all there is no list: who is only being brought up to date is told apart, too.
        for device in devices:
            await _share(draft, device, body.items)
        return
    devices = [device for device in devices if device not in await under_way(draft)]
    if not devices or header.cls is MessageClass.RECEIPT:
        return  # a receipt says nothing to a device that has sent nothing
    if header.cls is MessageClass.ACCOUNT:
        await _share_news(draft, header.from_.account, devices)
    else:
        at, hashes = _read(await draft.setting(LATE))
        if len(hashes) >= _MOST:
            await _post(draft, hashes[:_LOT])
            hashes = hashes[_LOT:]
        draft.add(PutSetting(LATE, _written(draft.now if at is None else at, (*hashes, envelope.hash))))


async def pass_on_late(core: Core) -> None:
    """Post what was noted, once what came with it is here, too. The lock must be free."""
    more = True
    while more:
        more = await _pass_some(core)


async def _pass_some(core: Core) -> bool:
    """The next of it, in one commit; whether there is more."""
    if core.suspended or not core.clock.may_sign:
        return False  # another copy of this device may be at work, say: nothing is signed now
    async with core.lock:
        draft = Draft(core)
        at, hashes = _read(await draft.setting(LATE))
        if at is None or 0 <= draft.now - at < _GATHER_MS:
            return False
        given = await _post(draft, hashes[:_LOT])
        rest = hashes[_LOT:]
        draft.add(PutSetting(LATE, _written(at, rest)) if rest else DropSetting(LATE))
        await draft.commit()
        if len(core.given_logs) > _REMEMBERED:
            core.given_logs.clear()
        core.given_logs |= given
    return bool(rest)


def _read(raw: bytes | None) -> tuple[Instant | None, tuple[Hash, ...]]:
    if raw is None:
        return None, ()
    noted = json.loads(raw)
    return Instant(noted["at"]), tuple(Hash(bytes.fromhex(text)) for text in noted["hashes"])


def _written(at: Instant, hashes: Iterable[Hash]) -> bytes:
    return json.dumps({"at": at, "hashes": [hash.hex() for hash in hashes]}).encode()


def _believers(draft: Draft, log: AccountLog, devices: frozenset[DeviceId]) -> list[DeviceId]:
    """Those among devices to which this one is to pass things on: they are new, and would believe it."""
    core = draft.core
    mine = log.state.devices.get(core.device)
    if not devices or core.suspended or mine is None or mine.status is not DeviceStatus.ACTIVE:
        return []
    if mine.record.manage is None:
        return []
    return sorted(
        device
        for device in devices - {core.device}
        # No mail lives longer: whoever knows nothing of a device for a month has another reason.
        if draft.now - stated_at(log, log.state.devices[device].since) < LIFETIME_MS
    )


async def _share_news(draft: Draft, account: AccountId, devices: Iterable[DeviceId]) -> None:
    """A peer's log as it will be after this draft, if that makes it longer."""
    log = await draft.log(account)
    news = any(isinstance(change, AppendStatements) and change.account == account for change in draft.changes)
    pinned = (await draft.core.store.accounts((account,))).get(account)
    if not news or log is None or pinned is None or pinned.trust is Trust.OWN:
        return
    items = account_items(account, pinned.record.name, log.statements, pinned.trust, pinned.record.held)
    for device in devices:
        await _share(draft, device, items)


async def _share(draft: Draft, device: DeviceId, items: Sequence[SharedItem]) -> bool:
    """Whether it could be posted: no peer's log that is too large for an envelope holds up anything else."""
    mark = draft.mark()
    try:
        if items:
            await share_with(draft, device, items)
    except DaemonRefusal as refused:
        draft.back_to(mark)
        get_logger().warning("a device of the owner's is not told of late mail", reason=refused.code)
        return False
    return True


_Given = dict[tuple[DeviceId, AccountId], tuple[LogPosition, Instant]]


async def _post(draft: Draft, hashes: Sequence[Hash]) -> _Given:
    """Share messages with each device that they left out; which logs of their other sides went with them."""
    store, log = draft.core.store, await draft.own_log()
    kept, rows = await store.sealed(hashes), await store.messages(hashes)
    served = await under_way(draft)
    lacking: dict[DeviceId, list[tuple[SealedRecord, MessageRecord]]] = {}
    for hash in hashes:
        if hash in kept and rows.get(hash):
            envelope = parse_envelope(kept[hash].envelope)
            for device in _believers(draft, log, left_out(log, envelope) - served):
                lacking.setdefault(device, []).append((kept[hash], rows[hash][0]))
    given: _Given = {}
    for device, messages in lacking.items():
        given |= await _share_logs(draft, device, {row.peer.account for _, row in messages})
        flows = {Flow(row.mine, row.peer): None for _, row in messages if row.cls == MessageClass.CONNECTION}
        bonds = [bond for flow in flows for bond in await bonds_between(store, flow.from_, flow.to)]
        items = [
            *(connection_item(bond.record) for bond in bonds),
            *message_items(sealed for sealed, _ in messages),
        ]
        await _share(draft, device, items)
    return given


async def _share_logs(draft: Draft, device: DeviceId, accounts: Collection[AccountId]) -> _Given:
    """Share the logs without which a device would not take what it is given, if it has not just had them."""
    given: _Given = {}
    pinned = await draft.core.store.accounts(accounts)
    for account in sorted(pinned):
        log = await draft.log(account)
        before = draft.core.given_logs.get((device, account))
        if log is None or (
            before is not None and before[0] == log.position and 0 <= draft.now - before[1] < _AGAIN_MS
        ):
            continue
        if await _share(draft, device, pinned_items(pinned[account])):
            given[device, account] = (log.position, draft.now)
    return given
