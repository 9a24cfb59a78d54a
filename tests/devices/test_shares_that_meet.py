"""What another machine shares is older than, or at odds with, what is held here: the rest of it is taken."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from taskferry_apps import system
from taskferry_apps.daemon.agents_told import told_of
from taskferry_apps.daemon.bonds import Bond
from taskferry_apps.daemon.draft import Draft
from taskferry_apps.daemon.labels import labels_of
from taskferry_apps.daemon.orders import GrantChange
from taskferry_apps.daemon.shares import _chunks, account_items, connection_item, share_with
from taskferry_protocol.accounts import AccountLog, create, fold
from taskferry_protocol.connections import EndKind, sign_end
from taskferry_protocol.crypto import SigningKey
from taskferry_protocol.devices import DeviceKeys
from taskferry_protocol.gates import AgentMode
from taskferry_protocol.ids import DeviceId, Instant
from taskferry_protocol.messages import SharedAgent, SharedConnection, SharedItem, SharedLabel
from taskferry_protocol.records import Trust
from tests.daemon.worlds import OWNER, until

from .machines import Pair, a_pair, alarms_of


def _carol(pair: Pair) -> AccountLog:
    """An account of this name; another one each time."""
    device = DeviceKeys.generate_managing("carol", system.entropy)
    recovery = SigningKey.from_seed(system.entropy(32))
    return fold([create("carol", device, recovery, at=pair.world.clock.now())])


async def _share(pair: Pair, items: Sequence[SharedItem]) -> None:
    """The first machine shares this with the second one, whose name it tells last of all."""
    core, name = pair.first._core, f"told {system.entropy(4).hex()}"
    async with core.lock:
        draft = Draft(core)
        await share_with(draft, pair.device, [*items, SharedLabel(pair.device, name, draft.now)])
        await draft.commit()
    core.outgoing.ring()

    async def taken() -> bool:
        return (await labels_of(pair.second._core.store)).get(pair.device) == name

    await until(taken)


async def test_an_older_permission_in_a_share_keeps_nothing_else_of_it_out():
    """It was written before the permission was changed, and came after that."""
    async with a_pair() as pair:
        core = pair.first._core
        (connection,) = await pair.first.connections(OWNER, "accepted", "")
        before = (await core.store.connections((connection.id,)))[connection.id]
        await pair.first.set_permissions(OWNER, connection.id.hex(), GrantChange(rate_per_minute=7))

        async def known() -> bool:
            (there,) = await pair.second.connections(OWNER, "accepted", "")
            return there.given is not None and there.given.rate_per_minute == 7

        await until(known)
        await _share(pair, [connection_item(before)])
        assert await known()
        end = sign_end(
            Bond(before).request,
            before.mine,
            EndKind.REVOKED,
            at=core.now(),
            log=(await core.own_log()).position,
            by=core.manage,
        )
        await _share(pair, [connection_item(attrs.evolve(before, end_raw=end))])
        assert [one.state for one in await pair.second.connections(OWNER, "", "")] == ["ended"]


async def test_a_second_account_of_a_name_in_a_share_keeps_nothing_else_of_it_out():
    """Each machine was shown another one; the first one known stays, and the owner hears of the other."""
    async with a_pair() as pair:
        first, second = _carol(pair), _carol(pair)
        core = pair.second._core
        async with core.lock:
            draft = Draft(core)
            draft.take_log(None, first)
            await draft.commit()
        await _share(pair, account_items(second.account, "carol", second.statements, Trust.UNVERIFIED))
        assert (await core.store.accounts_named(("carol",)))["carol"].record.account == first.account
        assert await core.logs.get(second.account) is None
        assert "A second account claims the name @carol" in await alarms_of(pair.second)


async def test_names_of_devices_that_never_were_are_not_kept():
    """However many a machine makes up that is a thief's."""
    async with a_pair() as pair:
        await _share(pair, [SharedLabel(DeviceId(bytes([n]) * 32), "x") for n in range(32)])
        assert set(await labels_of(pair.second._core.store)) == {pair.device}


async def test_a_word_from_the_future_about_an_agent_does_not_stand_for_ever():
    """How freely it acts, as a machine says whose clock is wrong, or which is a thief's."""
    async with a_pair() as pair:
        never = Instant(pair.world.clock.now() + 10**12)
        await _share(pair, [SharedAgent("elsewhere", AgentMode.OPEN.value, (), never)])
        assert await _mode(pair) is AgentMode.GUARDED
        now = Instant(pair.world.clock.now() + 1)
        await _share(pair, [SharedAgent("elsewhere", AgentMode.READ_ONLY.value, (), now)])
        assert await _mode(pair) is AgentMode.READ_ONLY


async def _mode(pair: Pair) -> AgentMode:
    return (await told_of(Draft(pair.second._core), "elsewhere")).mode


def test_what_an_earlier_program_cannot_read_goes_apart_from_what_it_can():
    """Another machine of the owner's that runs one loses nothing else."""
    device = DeviceId(bytes(32))
    made = SharedConnection(b"request", b"", b"", "", Instant(1), ())
    declined = attrs.evolve(made, again=Instant(2))
    items: list[SharedItem] = [
        made,
        declined,
        declined,
        made,
        SharedLabel(device, "attic"),
        SharedLabel(device, "den", Instant(3)),
    ]
    assert [len(chunk) for chunk in _chunks(items)] == [1, 2, 2, 1]
