"""A peer takes its account back while history is on its way: the new machine follows, as the old one did."""

from __future__ import annotations

from taskferry_apps import system
from taskferry_apps.daemon.draft import Draft
from taskferry_apps.daemon.log_news import judge, take
from taskferry_apps.daemon.recovery_port import NewRecovery
from taskferry_apps.daemon.served import settle_served
from taskferry_apps.daemon.service import Daemon
from taskferry_apps.daemon.shares import pinned_items, share_with
from taskferry_apps.phrase import seed_of
from taskferry_protocol.accounts import AccountLog, add_device, consent_to_stand, recover, set_agent
from taskferry_protocol.crypto import SigningKey
from taskferry_protocol.devices import DeviceKeys
from taskferry_protocol.ids import AgentRef, ConversationId, Instant
from taskferry_protocol.messages import Content, SharedMessage, TextMessage
from taskferry_protocol.records import HoldAccount
from taskferry_protocol.sealing import Address, Sealed, seal_envelope
from tests.daemon.worlds import OWNER, URL, Machine, texts, until

from .machines import Pair, a_pair, alarms_of, log_of


async def _stolen(pair: Pair, log: AccountLog) -> AccountLog:
    """The branch of somebody with Bob's manage key, who lets two devices of his own in."""
    core = pair.bob._core
    for number in range(2):
        thief = DeviceKeys.generate(f"thief {number}", system.entropy)
        consent = consent_to_stand(thief, log.account, log.state.length)
        statement = add_device(log.state, thief.record, consent, at=core.now(), by=core.manage)
        log = log.extend([statement])
    return log


def _recovered(pair: Pair, log: AccountLog) -> AccountLog:
    """The branch of Bob, who takes his account back and keeps his one device."""
    device = log.state.devices[pair.bob._core.device]
    key = SigningKey.from_seed(seed_of(pair.bobs))
    statement = recover(
        log.state, [(device.record, b"")], {"writer": [device.id]}, at=pair.bob._core.now(), by=key
    )
    return log.extend([statement])


async def _pins(daemon: Daemon, log: AccountLog) -> None:
    assert await take(daemon._core, await judge(daemon._core, log.account, 0, log.statements))


async def _signed(pair: Pair, log: AccountLog, text: str, number: int = 1_000) -> Sealed:
    """A message of Bob's device that quotes all of such a log."""
    core, alice = pair.bob._core, await log_of(pair.first)
    return seal_envelope(
        Content(TextMessage(text), ConversationId(bytes(16))),
        Address(
            AgentRef(log.account, "writer"),
            AgentRef(alice.account, "requester"),
            number,
            log.position,
            alice.position,
        ),
        created_at=core.now(),
        expires_at=Instant(core.now() + 3_600_000),
        device_key=core.keys.device.signing,
        entropy=system.entropy,
    )


async def _share(pair: Pair, log: AccountLog, sealed: Sealed) -> None:
    """What the first machine gives the second one of its history."""
    core = pair.first._core
    async with core.lock:
        draft = Draft(core)
        pinned = (await core.store.accounts((log.account,)))[log.account]
        items = [*pinned_items(pinned), SharedMessage(sealed.envelope.raw, sealed.key)]
        await share_with(draft, pair.device, items)
        await draft.commit()


async def test_a_peers_recovery_that_the_old_machine_followed_comes_with_the_history():
    """His messages on the new branch are taken, the thief's devices are out, and the owner is told."""
    async with a_pair() as pair:
        log = await log_of(pair.bob)
        true = _recovered(pair, log)
        for machine in (pair.first, pair.second):
            await _pins(machine, await _stolen(pair, log))
        await _pins(pair.first, true)
        await _share(pair, true, await _signed(pair, true, "it is me again"))

        async def came() -> bool:
            return await texts(pair.second, "requester") == ["it is me again"]

        await until(came)
        assert await pair.second._core.logs.get(log.account) == true
        assert "taken the account back" in await alarms_of(pair.second)


async def test_a_recovery_that_ends_a_hold_ends_it_on_the_new_machine_too():
    """Two histories were in question when the account was shared first; its owner has settled it since."""
    async with a_pair() as pair:
        log = await log_of(pair.bob)
        core = pair.second._core
        await core.commit((HoldAccount(log.account, "its log has two histories"),))
        true = _recovered(pair, log)
        await _pins(pair.first, true)
        await _share(pair, true, await _signed(pair, true, "settled"))

        async def over() -> bool:
            return not (await core.store.accounts((log.account,)))[log.account].record.held

        await until(over)
        assert await core.logs.get(log.account) == true


async def test_a_thiefs_branch_is_not_taken_for_the_recovered_one():
    """An older share that comes after the newer one puts nobody back in."""
    async with a_pair() as pair:
        log = await log_of(pair.bob)
        true, stolen = _recovered(pair, log), await _stolen(pair, log)
        await _pins(pair.first, stolen)
        await _pins(pair.second, true)
        await _share(pair, stolen, await _signed(pair, stolen, "by the old branch"))
        await _share(pair, stolen, await _signed(pair, log, "by what both share", 1_001))

        async def came() -> bool:
            return "by what both share" in await texts(pair.second, "requester")

        await until(came)
        assert await pair.second._core.logs.get(log.account) == true
        assert "by the old branch" not in await texts(pair.second, "requester")


async def test_machines_that_are_kept_keep_what_they_have_of_many_agents():
    """A recovery that says in further statements what one has no room for withdraws nobody in between."""
    async with a_pair() as pair:
        core = pair.first._core
        async with core.lock:
            draft = Draft(core)
            before = log = await draft.own_log()
            devices = tuple(device.id for device in log.state.active_devices())
            for number in range(63):
                name = f"an-agent-with-a-long-name-no-{number:02}"
                statement = set_agent(log.state, name, devices, at=draft.now, by=core.manage)
                log = log.extend([statement])
            await pair.first._owner.extend(draft, *log.after(before.state.length))
            await settle_served(draft, before, log)
            await draft.commit()
        await until(pair.same_log)
        await pair.second.gates.set_mode(OWNER, "requester", "open")
        secret, _ = await pair.second.create_token(OWNER, ("requester",), "program")
        async with pair.world.running(Machine("fresh")) as fresh:
            wanted = NewRecovery(pair.recovery, owner="alice", relay=URL, keep=("laptop", "second"))
            await fresh.recovery.recover(OWNER, wanted)
            after = await log_of(fresh)
            assert after.state.length > log.state.length + 1
            assert {len(serving) for serving in after.state.agents.values()} == {3}

            async def heard() -> bool:
                own = [await log_of(one) for one in (pair.first, pair.second)]
                bobs = await pair.bob._core.logs.get(core.own)
                return all(one is not None and one.position == after.position for one in (*own, bobs))

            await until(heard)
        (mode,) = [one for one in await pair.second.gates.modes(OWNER) if one.agent == "@alice/requester"]
        assert mode.mode == "open"
        assert await pair.second.caller_for(secret) is not None
        assert len(await pair.second.connections(OWNER, "accepted", "")) == 1
