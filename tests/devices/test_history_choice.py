"""The owner's choice of history is each machine's own: what one is given, another one cannot read."""

from __future__ import annotations

import attrs

from taskferry_apps.daemon.service import Daemon
from taskferry_apps.daemon.shares import account_items
from taskferry_apps.daemon.sharing import History
from taskferry_protocol.envelope import parse_envelope
from taskferry_protocol.errors import RemoteProtocolError
from taskferry_protocol.frame_items import Mail
from taskferry_protocol.frames import DeliverFrame, Frame
from taskferry_protocol.ids import AccountId
from taskferry_protocol.limits import ENVELOPE_BYTES
from taskferry_protocol.messages import DeviceShare, SharedAccount, SharedItem, SharedMessage
from taskferry_protocol.records import Trust
from taskferry_protocol.sealing import open_envelope
from tests.daemon.worlds import OWNER, Machine, a_world, connect, set_up, texts, until

from .machines import link_to, say


@attrs.define
class Tap:
    """Everything that a relay ever hands out, to whomever it likes."""

    mails: list[Mail] = attrs.field(factory=list)

    def listen(self, frame: Frame) -> Frame:
        """Keep what is delivered, and change nothing."""
        if isinstance(frame, DeliverFrame):
            self.mails += [entry for entry in frame.entries if isinstance(entry, Mail)]
        return frame

    def opened_by(self, daemon: Daemon) -> list[SharedItem]:
        """What a machine's keys open of all the shares, whomever they were delivered to."""
        found: list[SharedItem] = []
        for mail in self.mails:
            try:
                opened = open_envelope(
                    parse_envelope(mail.envelope), mail.sealed, daemon._core.keys.opening_keys()
                )
            except RemoteProtocolError:
                continue
            body = opened.content.body
            found += body.items if isinstance(body, DeviceShare) else ()
        return found


async def test_history_that_one_machine_is_given_is_sealed_to_no_other(autojump_clock):
    """The second machine was to have none; linking a third one with all of it does not give it any either."""
    async with a_world() as world, world.running(Machine("bob")) as bob:
        tap = Tap()
        world.tamper = tap.listen
        await set_up(bob, "bob", "writer")
        async with world.running(Machine("alice")) as first:
            await set_up(first, "alice", "requester")
            await connect(first, bob, "requester", "@bob/writer")
            await say(bob, "writer", "@alice/requester", "before both")

            async def came() -> bool:
                return await texts(first, "requester") == ["before both"]

            await until(came)
            two, three = Machine("alice2"), Machine("alice3")
            await link_to(world, first, two, label="second", history=History.NONE)
            async with world.running(two) as second:

                async def done() -> bool:
                    return second._core.account is not None and not await first._sharing.jobs()

                await until(done)
                await link_to(world, first, three, label="third", history=History.ALL)
                async with world.running(three) as third:

                    async def has_it() -> bool:
                        return third._core.account is not None and await texts(third, "requester") == [
                            "before both"
                        ]

                    await until(has_it)
                    await until(done)
                    await say(bob, "writer", "@alice/requester", "after both")

                    async def all_have() -> bool:
                        return "after both" in await texts(second, "requester")

                    await until(all_have)
                    assert await texts(second, "requester") == ["after both"]
                    for machine, gets in ((second, False), (third, True)):
                        given = [i for i in tap.opened_by(machine) if isinstance(i, SharedMessage)]
                        assert bool(given) is gets


async def test_what_all_machines_know_still_goes_to_all_of_them(autojump_clock):
    """A name that the owner gives a machine is told to each other one, whatever history they have."""
    async with a_world() as world, world.running(Machine("alice")) as first:
        await set_up(first, "alice", "requester")
        two, three = Machine("alice2"), Machine("alice3")
        await link_to(world, first, two, label="second", history=History.NONE)
        device = await link_to(world, first, three, label="third")
        async with world.running(two) as second, world.running(three) as third:
            await first.devices.rename(OWNER, device.hex(), "attic")

            async def told() -> bool:
                for daemon in (second, third):
                    if daemon._core.account is None:
                        return False
                    views = (await daemon.devices.overview(OWNER)).devices
                    if "attic" not in {view.label for view in views}:
                        return False
                return True

            await until(told)


def test_no_peers_log_is_too_large_to_be_shared():
    """However large its statements are, each part fits into an envelope, and together they are the log."""
    log = [bytes([number]) * 8_192 for number in range(100)] + [b"small"] * 100
    items = account_items(AccountId(bytes(32)), "mallory", log, Trust.UNVERIFIED)
    parts = [item for item in items if isinstance(item, SharedAccount)]
    assert [raw for part in parts for raw in part.statements] == log
    assert [part.start for part in parts] == [
        sum(len(before.statements) for before in parts[:number]) for number in range(len(parts))
    ]
    assert max(sum(map(len, part.statements)) for part in parts) < ENVELOPE_BYTES - 6_000
    assert max(len(part.statements) for part in parts) <= 64
