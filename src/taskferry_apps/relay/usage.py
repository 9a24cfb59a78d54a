"""How full mailboxes are, with what was decided on and is not committed yet; and whose mail fills them.

A mailbox's total is read once and counted up. Who sent what waits is read only for mailboxes that hold much:
in any other, nobody can have more than there is room left.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

import trio

from taskferry_protocol.accounts import AccountLog
from taskferry_protocol.admission import Load, MailboxLimits
from taskferry_protocol.ids import AccountId, DeviceId
from taskferry_protocol.limits import ENVELOPE_BYTES
from taskferry_protocol.records import MailboxShare, MailboxUsage, StoreEnvelope
from taskferry_stores.port import RelayStore

from .limits import USUAL

__all__ = ["Landing", "Usages"]

USAGES_HELD: Final = USUAL.usages_held
#: Whose mail fills a mailbox is a sum over all that waits there, so it is asked anew once a second at most,
#: and where that takes long, seldom. Meanwhile it is an upper bound.
SHARES_EVERY_S: Final = 1.0
SHARES_PART: Final = 20
DECIDED: Final = USUAL.decided_at_once

Entries = Sequence[tuple[DeviceId, bytes]]


class _Tally:
    """Entries and bytes, counted up in place: one of these is touched for each entry that passes."""

    __slots__ = ("bytes", "count")

    def __init__(self, count: int = 0, size: int = 0) -> None:
        self.count = count
        self.bytes = size

    def add(self, size: int) -> None:
        self.count += 1
        self.bytes += size


class _Box(_Tally):
    """What waits for a device: what the store holds, and what was decided on and is pending.

    `landed` counts up all that was ever stored from pending, so that what came while the store was asked is
    told from what it knew. `shares` are by sending account, None while it is not worth knowing.
    """

    __slots__ = (
        "known",
        "landed",
        "lighter",
        "pending",
        "senders",
        "shares",
        "shares_due",
        "stale",
        "unseen",
    )

    def __init__(self) -> None:
        super().__init__()
        self.known = False
        # An acknowledgement came since the total was read: it is an upper bound, until it matters.
        self.lighter = False
        self.pending = _Tally()
        self.landed = _Tally()
        self.senders: Mapping[DeviceId, MailboxShare] = {}
        self.shares: dict[AccountId, _Tally] | None = None
        self.shares_due = 0.0
        self.unseen = _Tally()
        self.stale = False


class Landing:
    """What became of the pending entries of one commit, by device."""

    __slots__ = ("boxes",)

    def __init__(self) -> None:
        self.boxes: dict[DeviceId, tuple[_Tally, _Tally]] = {}

    def stored(self, device: DeviceId, count: int, size: int) -> None:
        """So many entries got their places, with so many bytes in all."""
        stored = self._of(device)[0]
        stored.count += count
        stored.bytes += size

    def some_of(self, change: StoreEnvelope, stored: Collection[DeviceId]) -> None:
        """Only the entries of some devices got a place; the others had one, or it came to nothing."""
        for device, sealed in change.entries:
            self._of(device)[0 if device in stored else 1].add(len(change.envelope) + len(sealed))

    def _of(self, device: DeviceId) -> tuple[_Tally, _Tally]:
        found = self.boxes.get(device)
        if found is None:
            found = self.boxes[device] = (_Tally(), _Tally())
        return found


class Usages:
    """The mailboxes' totals and shares of one relay."""

    def __init__(self, store: RelayStore, limits: MailboxLimits) -> None:
        self._store = store
        self._limits = limits
        self._boxes: dict[DeviceId, _Box] = {}
        self._needed: list[set[DeviceId]] = []
        self._summing = trio.Lock()

    @property
    def totals(self) -> Mapping[DeviceId, Load]:
        """What waits for each device, pending entries among it."""
        return self._boxes

    def shares(self, account: AccountId, devices: Iterable[DeviceId]) -> Mapping[DeviceId, Load]:
        """What of it is from an account, for those of the devices for which it can matter."""
        found: dict[DeviceId, Load] = {}
        for device in devices:
            box = self._boxes.get(device)
            if box is not None and box.shares is not None and account in box.shares:
                found[device] = box.shares[account]
        return found or _NONE

    def know(self, devices: Iterable[DeviceId]) -> bool:
        """Whether it was read what waits for all of these devices."""
        boxes = self._boxes
        return all((box := boxes.get(device)) is not None and box.known for device in devices)

    # --- read

    async def load(self, sender: AccountLog | None, devices: Collection[DeviceId]) -> None:
        """Read what deciding on the sender's envelopes to these devices needs."""
        # A wrap may be for any other device of the sender's owner.
        own = [device.id for device in sender.state.active_devices()] if sender is not None else []
        needed = {*own, *devices}
        wanted: dict[DeviceId, _Box] = {}
        for device in needed:
            self._want(device, wanted)
        # Others may read, and so forget, while this waits.
        self._needed.append(needed)
        try:
            if wanted:
                await self._read(wanted)
            if sender is not None:
                await self._load_shares(sender, devices)
        finally:
            self._needed.remove(needed)

    def _want(self, device: DeviceId, wanted: dict[DeviceId, _Box]) -> None:
        box = self._boxes.get(device)
        if box is None:
            wanted[device] = _Box()
        elif not box.known or (box.lighter and self._is_crowded(box)):
            wanted[device] = box

    def _is_crowded(self, box: _Box) -> bool:
        """Whether a limit may be near: half of a share limit is the least at which one can be reached.

        As much as is decided on with one look may come before the next.
        """
        limits = self._limits
        count, size = box.count + DECIDED, box.bytes + DECIDED * ENVELOPE_BYTES
        return count >= limits.strangers // 2 or size >= limits.strangers_size // 2

    async def _read(self, wanted: dict[DeviceId, _Box]) -> None:
        if len(self._boxes) > USAGES_HELD:
            # What is pending, being read or about to be decided on is counted on.
            needed = set[DeviceId]().union(*self._needed)
            self._boxes = {id: box for id, box in self._boxes.items() if box.pending.count or id in needed}
        self._boxes.update(wanted)
        before = {}
        for id, box in wanted.items():
            box.lighter = False
            before[id] = (box.landed.count, box.landed.bytes)
        try:
            found = await self._store.usage(wanted.keys())
        except BaseException:
            for box in wanted.values():
                # Nothing came of the look, and it is due as before.
                box.lighter = True
            raise
        for id, box in wanted.items():
            usage = found.get(id, _EMPTY)
            count, size = before[id]
            # What landed meanwhile may be counted twice, never too little.
            box.count = usage.count + box.pending.count + box.landed.count - count
            box.bytes = usage.bytes + box.pending.bytes + box.landed.bytes - size
            box.lighter |= box.landed.count != count
            box.known = True

    async def _load_shares(self, sender: AccountLog, devices: Collection[DeviceId]) -> None:
        crowded: dict[DeviceId, _Box] = {}
        wanted: dict[DeviceId, _Box] = {}
        now = trio.current_time()
        for device in devices:
            box = self._boxes.get(device)
            if box is None:
                continue
            if not self._is_crowded(box):
                box.shares, box.senders = None, {}
                continue
            crowded[device] = box
            if box.shares is None or (box.stale and now >= box.shares_due):
                wanted[device] = box
        for device, box in wanted.items():
            await self._read_shares(device, box)
        for box in crowded.values():
            if box.shares is not None and sender.account not in box.shares:
                box.shares[sender.account] = _share(box, sender)

    async def _read_shares(self, device: DeviceId, box: _Box) -> None:
        """Read whose mail fills a mailbox. One is read at a time, so that readers stay free for mail."""
        async with self._summing:
            now = trio.current_time()
            if box.shares is not None and not (box.stale and now >= box.shares_due):
                return
            landed, box.stale = (box.landed.count, box.landed.bytes), False
            try:
                found = await self._store.shares([device])
            except BaseException:
                box.stale = True
                raise
            after = trio.current_time()
            box.shares_due = after + SHARES_EVERY_S + SHARES_PART * (after - now)
            box.senders, box.shares = found.get(device, {}), {}
            # Whose it was that landed meanwhile is not known: for now it counts for each.
            box.unseen = _Tally(box.landed.count - landed[0], box.landed.bytes - landed[1])
            box.stale |= box.unseen.count > 0

    # --- count

    def decided(self, account: AccountId, size: int, entries: Entries) -> None:
        """An account's envelope of `size` bytes goes to these mailboxes with a commit to come."""
        for device, sealed in entries:
            box = self._boxes.get(device)
            if box is None:
                box = self._boxes[device] = _Box()
            total = size + len(sealed)
            pending = box.pending
            box.count += 1
            box.bytes += total
            pending.count += 1
            pending.bytes += total
            if box.shares is not None:
                share = box.shares.get(account)
                if share is not None:
                    share.add(total)

    def decided_alike(self, account: AccountId, devices: Iterable[DeviceId], count: int, size: int) -> None:
        """As `decided`, for so many envelopes of one account with so many bytes in all to each device."""
        for device in devices:
            box = self._boxes.get(device)
            if box is None:
                box = self._boxes[device] = _Box()
            tallies = [box, box.pending]
            if box.shares is not None and (share := box.shares.get(account)) is not None:
                tallies.append(share)
            for tally in tallies:
                tally.count += count
                tally.bytes += size

    def landed(self, landing: Landing) -> None:
        """What was pending is stored, or came to nothing."""
        for device, (stored, nothing) in landing.boxes.items():
            box = self._boxes[device]
            box.pending.count -= stored.count + nothing.count
            box.pending.bytes -= stored.bytes + nothing.bytes
            box.landed.count += stored.count
            box.landed.bytes += stored.bytes
            if nothing.count:
                box.count -= nothing.count
                box.bytes -= nothing.bytes
                box.stale = True

    def went_out(self, device: DeviceId) -> None:
        """Less waits for a device; how much less is asked when it matters."""
        box = self._boxes.get(device)
        if box is not None:
            box.lighter = box.stale = True


def _share(box: _Box, sender: AccountLog) -> _Tally:
    """How much of what waits in a mailbox is from one account: an upper bound while anything is pending."""
    share = _Tally(box.pending.count + box.unseen.count, box.pending.bytes + box.unseen.bytes)
    if box.senders:
        for device in sender.state.devices:
            held = box.senders.get(device)
            if held is not None:
                share.count += held.count
                share.bytes += held.bytes
    return share


_EMPTY: Final = MailboxUsage()
_NONE: Final[Mapping[DeviceId, Load]] = {}
