"""Asking whose mail fills a large mailbox takes long: seldom, one at a time, and never too little."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import trio
import trio.testing

from taskferry_apps.relay.usage import SHARES_EVERY_S, SHARES_PART, Landing, Usages
from taskferry_protocol.admission import MailboxLimits
from taskferry_protocol.ids import DeviceId, Instant
from taskferry_protocol.records import MailboxShare, MailboxUsage, Offset
from taskferry_stores.memory import MemoryRelayStore

from .conftest import GENERATION
from .people import person

#: How long a sum takes, in virtual seconds.
SUM_S = 3.0
BOXES = [DeviceId(bytes([n]) * 32) for n in range(4)]
LIMITS = MailboxLimits(entries=60, strangers=20)


class Crowded(MemoryRelayStore):
    """Every mailbox is nearly full, and summing one takes its time."""

    def __init__(self) -> None:
        super().__init__(GENERATION)
        self.sums: list[float] = []
        self.at_once = self.most_at_once = 0
        self.meanwhile: Callable[[], None] = lambda: None

    async def usage(self, devices: Collection[DeviceId]) -> Mapping[DeviceId, MailboxUsage]:
        """Fifty entries wait in each."""
        return {device: MailboxUsage(50, 50, Offset(60), Offset(10)) for device in devices}

    async def shares(
        self, devices: Collection[DeviceId]
    ) -> Mapping[DeviceId, Mapping[DeviceId, MailboxShare]]:
        """All of it from others."""
        self.sums.append(trio.current_time())
        self.at_once += len(devices)
        self.most_at_once = max(self.most_at_once, self.at_once)
        await trio.sleep(SUM_S)
        self.meanwhile()
        self.at_once -= len(devices)
        return {device: {} for device in devices}


def test_large_mailboxes_are_summed_one_at_a_time_and_seldom() -> None:
    """However many send there and however often one is acknowledged: a twentieth of one reader's time."""

    async def main() -> None:
        store = Crowded()
        usages = Usages(store, LIMITS)
        senders = [person(f"owner{n}", n, Instant(0)).log for n in range(3)]
        async with trio.open_nursery() as nursery:
            for sender in senders:
                nursery.start_soon(usages.load, sender, BOXES)
        assert store.most_at_once == 1
        assert len(store.sums) == len(BOXES)
        ends = trio.current_time() + 200
        while trio.current_time() < ends:
            usages.went_out(BOXES[0])
            await usages.load(senders[0], BOXES[:1])
            await trio.sleep(0.5)
        again = store.sums[len(BOXES) :]
        assert 1 <= len(again) <= 200 / (SHARES_EVERY_S + SHARES_PART * SUM_S) + 1

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def test_what_lands_while_a_mailbox_is_summed_counts() -> None:
    """It may be of any account, and is counted for each until the next sum."""

    async def main() -> None:
        store = Crowded()
        usages = Usages(store, LIMITS)
        sender = person("owner", 1, Instant(0)).log
        await usages.load(None, BOXES[:1])
        usages.decided(sender.account, 10, [(BOXES[0], b"")] * 7)

        def land() -> None:
            landing = Landing()
            landing.stored(BOXES[0], 7, 70)
            usages.landed(landing)

        store.meanwhile = land
        await usages.load(sender, BOXES[:1])
        share = usages.shares(sender.account, BOXES[:1])[BOXES[0]]
        assert (share.count, share.bytes) == (7, 70)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
