"""Two machines of one owner: copies, connections, tasks, keys, names, and what is refused."""

from __future__ import annotations

from functools import partial

import pytest
import trio
from structlog.testing import capture_logs

from taskferry_apps.daemon import owner, sharing
from taskferry_apps.daemon.draft import Draft
from taskferry_apps.daemon.labels import take_label
from taskferry_apps.daemon.port import CardChange, DaemonRefusal, GrantChange, NewAgent
from taskferry_apps.daemon.service import Daemon
from taskferry_apps.daemon.sharing import Sharing
from taskferry_protocol.ids import DeviceId, Instant
from taskferry_protocol.limits import DAY_MS
from taskferry_protocol.messages import MessageClass, SharedLabel
from tests.daemon.test_decisions_written_down import written
from tests.daemon.test_manage import WORDS, cheaply
from tests.daemon.worlds import OWNER, Machine, a_world, act, ask, connect, in_state, set_up, texts, until

from .courier import Courier
from .machines import a_pair, link_to, log_of, say


async def _has(daemon: Daemon, agent: str, text: str) -> None:
    async def there() -> bool:
        return text in await texts(daemon, agent)

    await until(there)


async def test_a_new_machine_can_work_at_once(autojump_clock):
    """It knows whom the agents are connected with, and what they may send."""
    async with a_pair() as pair:
        (bond,) = await pair.second.connections(OWNER, "accepted", "")
        assert bond.peer == "@bob/writer"
        assert bond.given is not None
        assert bond.received is not None
        await say(pair.second, "requester", "@bob/writer", "from the second")
        await _has(pair.bob, "writer", "from the second")
        await say(pair.bob, "writer", "@alice/requester", "to both")
        await _has(pair.first, "requester", "to both")
        await _has(pair.second, "requester", "to both")


async def test_a_connection_made_on_one_machine_is_there_on_the_other(autojump_clock):
    """Request, acceptance, grants and end: the other machine does the same, and quarantines nothing."""
    async with a_pair() as pair, pair.world.running(Machine("carol")) as carol:
        await set_up(carol, "carol", "coder")
        await connect(pair.first, carol, "requester", "@carol/coder")

        async def both() -> bool:
            bonds = await pair.second.connections(OWNER, "accepted", "")
            return {bond.peer for bond in bonds} == {"@bob/writer", "@carol/coder"}

        await until(both)
        await say(pair.second, "requester", "@carol/coder", "hello")
        await _has(carol, "coder", "hello")
        await pair.second.end_connection(OWNER, ("requester", "@carol/coder"), "revoked", "enough")

        async def ended() -> bool:
            bonds = await pair.first.connections(OWNER, "ended", "")
            return [bond.peer for bond in bonds] == ["@carol/coder"]

        await until(ended)
        assert [item.code + item.reason for item in await pair.second.quarantine(OWNER, "", 9)] == []
        assert [item.code + item.reason for item in await pair.first.quarantine(OWNER, "", 9)] == []


async def test_what_one_machine_decides_about_connections_is_written_down_on_the_other_too(autojump_clock):
    """Whatever a machine does that is in a thief's hands, the audit log of the others has it."""
    async with a_pair() as pair:
        await until(lambda: _is_at_rest(pair.first))
        one = ("requester", "@bob/writer")
        await pair.bob.create_agent(OWNER, NewAgent("helper"))
        await pair.bob.request_connection(OWNER, "helper", "@alice/requester", "May I?")

        async def asked() -> bool:
            both = (pair.first, pair.second)
            return all([await daemon.connections(OWNER, "requested_in", "") for daemon in both])

        await until(asked)
        await pair.first.accept_connection(OWNER, ("requester", "@bob/helper"), GrantChange())
        await pair.first.set_permissions(OWNER, one, GrantChange(rate_per_minute=7))
        await pair.first.end_connection(OWNER, one, "blocked", "")
        await pair.first.gates.unblock(OWNER, one)
        kinds = {
            "connection_accepted": "@bob/helper",
            "grant": "@bob/helper",
            "permission_changed": "@bob/writer",
            "connection_blocked": "@bob/writer",
            "connection_unblocked": "@bob/writer",
        }

        async def noted_there() -> bool:
            found = {kind: await written(pair.second, kind) for kind in kinds}
            return all(found.values()) and {
                kind: (entry["subject"], entry["by"]) for kind, (entry, *_) in found.items()
            } == {kind: (peer, "another device") for kind, peer in kinds.items()}

        await until(noted_there)


async def test_one_device_writes_for_each_side_of_a_task(autojump_clock):
    """The other one shows the task and who acts; the one that does is not asked to by itself."""
    async with a_pair() as pair:
        task = await ask(pair.first, "requester", "@bob/writer")
        await in_state(pair.second, task, "sent")
        shown = [await daemon.task(OWNER, task.hex()) for daemon in (pair.first, pair.second)]
        assert [(view.acts_on, view.actions) for view in shown] == [
            ("", ("cancel",)),
            ("laptop", ("cancel",)),
        ]
        await in_state(pair.bob, task, "sent")
        await act(pair.bob, task, "accept")
        await in_state(pair.second, task, "accepted")


async def test_a_revoked_home_leaves_its_tasks_to_the_other_machine(autojump_clock):
    """Once the worker's chain is bound, the owner's other device goes on in its place."""
    async with a_pair() as pair:
        task = await ask(pair.first, "requester", "@bob/writer")
        await in_state(pair.bob, task, "sent")
        await act(pair.bob, task, "accept")
        await in_state(pair.first, task, "accepted")
        await act(pair.bob, task, "progress", text="half")
        await in_state(pair.first, task, "working")
        await in_state(pair.second, task, "working")
        first = (await log_of(pair.first)).state.devices
        (home,) = [id for id in first if id != pair.device]

        async def followed() -> bool:
            """What the home has signed last is on the other machine as well."""
            views = [await daemon.task(OWNER, task.hex()) for daemon in (pair.first, pair.second)]
            one, other = ([event.hash for event in view.events] for view in views)
            return one == other

        await until(followed)
        await pair.second.devices.revoke(OWNER, home.hex(), "lost", lose=True)
        await act(pair.second, task, "cancel")
        await in_state(pair.bob, task, "cancelled")


async def test_a_new_agent_is_served_by_all_machines(autojump_clock):
    """Wherever it is made; its card comes along."""
    async with a_pair() as pair:
        await pair.second.create_agent(OWNER, NewAgent("third", display_name="The Third"))

        async def there() -> bool:
            shown = {view.name: view.display_name for view in await pair.first.agents(OWNER)}
            return shown.get("third") == "The Third"

        await until(there)


async def test_two_machines_that_sign_at_once_do_not_fork_the_account(autojump_clock):
    """The relay decides who was first; the other signs again on top."""
    async with a_pair() as pair:
        for number in range(3):
            for daemon in (pair.first, pair.second):

                async def made(daemon: Daemon = daemon, number: int = number) -> bool:
                    name = f"agent{number}-{'a' if daemon is pair.first else 'b'}"
                    try:
                        await daemon.create_agent(OWNER, NewAgent(name))
                    except DaemonRefusal as refused:
                        return refused.code == "conflict" and "already" in refused.message
                    return True

                await until(made)

        await until(pair.same_log)
        assert len((await log_of(pair.first)).state.agents) == 7
        assert not (await pair.first.devices.overview(OWNER)).held


async def test_a_device_rotates_now_and_keeps_the_former_key_as_long_as_mail_can_come(autojump_clock):
    """Thirty days and the skew later it is erased; mail sealed to the old key is read until then."""
    async with a_pair() as pair:
        core = pair.second._core
        before = core.keys.device.encryption
        view = await pair.second.devices.rotate(OWNER)
        assert view.rotations == 1
        assert core.keys.device.encryption != before
        assert before in core.keys.opening_keys()
        await say(pair.bob, "writer", "@alice/requester", "still read")
        await _has(pair.second, "requester", "still read")
        pair.world.clock.ahead_ms += 30 * DAY_MS
        await pair.second._owner.keep_keys_fresh(connected=True)
        assert before in core.keys.opening_keys()
        pair.world.clock.ahead_ms += DAY_MS
        await pair.second._owner.keep_keys_fresh(connected=True)
        assert before not in core.keys.opening_keys()


async def test_a_name_given_to_a_device_is_shown_on_all_machines(autojump_clock):
    """The log keeps the label that was signed; the owner's machines show the new one."""
    async with a_pair() as pair:
        await pair.first.devices.rename(OWNER, pair.device.hex()[:8], "kitchen")

        async def shown() -> bool:
            views = (await pair.second.devices.overview(OWNER)).devices
            return any(view.label == "kitchen" for view in views)

        await until(shown)
        assert (await log_of(pair.second)).state.devices[pair.device].record.label == "second"


async def _is_called(daemon: Daemon, device: DeviceId, label: str) -> bool:
    views = (await daemon.devices.overview(OWNER)).devices
    return label in {view.label for view in views if view.id == device}


async def test_of_two_names_given_to_a_device_the_last_one_stays_on_all_machines():
    """Also on the machine that gave the later one before it heard of the other."""
    async with a_pair() as pair:
        device = pair.first._core.device
        courier = Courier(
            pair.second,
            lambda sent: sent.device == device and sent.header.cls is MessageClass.ACCOUNT,
        )
        await until(lambda: _is_at_rest(pair.first))
        pair.world.tamper = courier.tamper
        await pair.first.devices.rename(OWNER, pair.device.hex(), "attic")

        async def kept() -> bool:
            return bool(courier.kept)

        await until(kept)
        pair.world.clock.ahead_ms += 1
        await pair.second.devices.rename(OWNER, pair.device.hex(), "cellar")
        await until(lambda: _is_called(pair.first, pair.device, "cellar"))
        await courier.deliver()
        assert await _is_called(pair.second, pair.device, "cellar")


async def test_a_name_given_on_a_machine_whose_clock_is_ahead_does_not_stand_above_later_ones():
    """Who gives another one knowing of it outdoes its time; and one from years ahead counts as of now."""
    async with a_pair() as pair:
        now = pair.world.clock.now()
        for ahead_ms, label in ((DAY_MS // 2, "attic"), (400 * DAY_MS, "hall")):
            item = SharedLabel(pair.device, label, Instant(now + ahead_ms))
            for daemon in (pair.first, pair.second):
                async with daemon._core.lock:
                    draft = Draft(daemon._core)
                    await take_label(draft, item)
                    await draft.commit()
            await pair.second.devices.rename(OWNER, pair.device.hex(), f"not the {label}")
            await until(partial(_is_called, pair.first, pair.device, f"not the {label}"))


async def _is_at_rest(first: Daemon) -> bool:
    return not await first._sharing.jobs()


async def test_an_agents_last_device_is_not_put_out_unsaid(autojump_clock):
    """The refusal names the agents and the account's last manager; the owner may insist."""
    async with a_pair(manage=False) as pair:
        (home,) = [id for id in (await log_of(pair.first)).state.devices if id != pair.device]
        with pytest.raises(DaemonRefusal) as refused:
            await pair.first.devices.revoke(OWNER, home.hex(), "", lose=False)
        assert refused.value.code == "last-device"
        assert "only the recovery key" in refused.value.message
        await pair.first.devices.revoke(OWNER, pair.device.hex(), "", lose=False)
        with pytest.raises(DaemonRefusal) as refused:
            await pair.first.devices.revoke(OWNER, home.hex(), "", lose=False)
        assert "requester" in refused.value.message


async def test_a_machine_that_may_not_manage_signs_nothing_for_the_account(autojump_clock):
    """It sends and receives; accounts, connections and devices are the other machine's."""
    async with a_pair(manage=False) as pair:
        await say(pair.second, "requester", "@bob/writer", "works")
        await _has(pair.bob, "writer", "works")
        with pytest.raises(DaemonRefusal) as refused:
            await pair.second.devices.revoke(OWNER, pair.device.hex(), "", lose=True)
        assert refused.value.code == "not-authorized"


async def test_a_kill_while_history_follows_loses_and_repeats_nothing(
    monkeypatch: pytest.MonkeyPatch, autojump_clock
):
    """The first machine is killed again and again; the new one ends with each message once."""
    from tests.daemon.worlds import a_world

    from .machines import link_to

    monkeypatch.setattr(sharing, "_PAGE", 3)
    async with a_world() as world, world.running(Machine("bob")) as bob:
        await set_up(bob, "bob", "writer")
        alice, machine = Machine("alice"), Machine("alice2")
        async with world.running(alice) as first:
            await set_up(first, "alice", "requester")
            await connect(first, bob, "requester", "@bob/writer")
            for number in range(20):
                await say(bob, "writer", "@alice/requester", str(number))
            await _has(first, "requester", "19")
            await link_to(world, first, machine)
        async with world.running(machine) as second:
            for done in (4, 10, 20):
                async with world.running(alice) as first:

                    async def far(first: Daemon = first, done: int = done) -> bool:
                        jobs = (await first.devices.overview(OWNER)).sharing
                        return not jobs or jobs[0].done >= done

                    await until(far)

            async with world.running(alice) as first:

                async def over(first: Daemon = first) -> bool:
                    return not (await first.devices.overview(OWNER)).sharing

                await until(over)
                await _has(second, "requester", "19")
                assert await texts(second, "requester") == [str(number) for number in range(20)]
                overview = await second.devices.overview(OWNER)
                assert overview.history_done == overview.history_total > 0


async def test_a_changed_card_comes_to_the_other_machine_and_goes_on_from_there(autojump_clock):
    """Whichever machine changed it last: the version rises from what either has said."""
    async with a_pair() as pair:
        await pair.first.edit_agent(OWNER, "requester", CardChange(tagline="from the first"))

        async def there() -> bool:
            shown = {view.name: view.tagline for view in await pair.second.agents(OWNER)}
            return shown.get("requester") == "from the first"

        await until(there)
        made = await pair.second.edit_agent(OWNER, "requester", CardChange(public=True))
        assert (made.version, made.tagline) == (3, "from the first")


async def test_an_acceptance_that_crosses_the_linking_counts_on_both_machines(monkeypatch, autojump_clock):
    """Accepted when the new machine knew of the request and did not serve the agent yet: it hears of it."""
    from taskferry_apps.daemon.port import GrantChange

    serve = Sharing._serve
    async with a_world() as world, world.running(Machine("alice")) as first:
        await set_up(first, "alice", "requester")
        async with world.running(Machine("bob")) as bob:
            await set_up(bob, "bob", "writer")
            await first.request_connection(OWNER, "requester", "@bob/writer", "hello")

            async def asked():
                return await bob.connections(OWNER, "requested_in", "")

            await until(asked)

            async def accepted_meanwhile(sharing, draft, device):
                accepted = GrantChange(human_gate=False)
                await bob.accept_connection(OWNER, ("writer", "@alice/requester"), accepted)

                async def relayed():
                    relay = (await bob.status()).relay
                    return relay is not None and relay.queued == 0

                await until(relayed)
                await serve(sharing, draft, device)

            monkeypatch.setattr(Sharing, "_serve", accepted_meanwhile)
            machine = Machine("alice2")
            await link_to(world, first, machine)
            async with world.running(machine) as second:

                async def connected():
                    return await second.connections(OWNER, "accepted", "")

                (bond,) = await until(connected)
                assert bond.given is not None
                assert bond.received is not None
                await say(bob, "writer", "@alice/requester", "to both")
                await _has(second, "requester", "to both")


async def test_history_comes_with_the_keys_that_peers_took_while_it_was_on_its_way(
    monkeypatch, autojump_clock
):
    """What Bob says by a key that only the first machine heard of, and a peer met since, is there on both."""
    serve = Sharing._serve
    shared, spoken = trio.Event(), trio.Event()

    async def not_before(self: Sharing, draft: Draft, device: DeviceId) -> None:
        shared.set()
        if not spoken.is_set():
            raise DaemonRefusal("conflict", "Not yet.")
        await serve(self, draft, device)

    async def tells_nobody(*_: object) -> None:
        await trio.lowlevel.checkpoint()

    monkeypatch.setattr(sharing, "_AFTER_REFUSAL_S", 0.1)
    monkeypatch.setattr(Sharing, "_serve", not_before)
    async with a_world() as world, world.running(Machine("alice")) as first:
        await set_up(first, "alice", "requester")
        async with world.running(Machine("bob")) as bob, world.running(Machine("carol")) as carol:
            await set_up(bob, "bob", "writer")
            await set_up(carol, "carol", "reader")
            await connect(first, bob, "requester", "@bob/writer")
            machine = Machine("alice2")
            await link_to(world, first, machine)
            async with world.running(machine) as second:
                with trio.fail_after(20):
                    await shared.wait()
                with monkeypatch.context() as patch:
                    patch.setattr(owner, "announce", tells_nobody)
                    await bob.devices.rotate(OWNER)
                await say(bob, "writer", "@alice/requester", "by a fresh key")
                await connect(first, carol, "requester", "@carol/reader")
                await say(carol, "reader", "@alice/requester", "by a new peer")
                for text in ("by a fresh key", "by a new peer"):
                    await _has(first, "requester", text)
                spoken.set()
                for text in ("by a fresh key", "by a new peer"):
                    await _has(second, "requester", text)


async def test_a_locked_key_makes_a_new_machine_wait_and_ends_no_daemon(autojump_clock):
    """Serving an agent is a statement of the owner's: where the key for it is locked, it waits."""
    async with a_world() as world:
        machine, other = Machine("alice"), Machine("alice2")
        async with world.running(machine) as daemon:
            await set_up(daemon, "alice", "requester")
            await cheaply(daemon).manage.set_passphrase(OWNER, WORDS, "")
            await daemon.manage.unlock(OWNER, WORDS, 5)
            world.stop_relay()
            await link_to(world, daemon, other)
        await world.start_relay()
        async with world.running(machine) as first, world.running(other) as second:
            assert (await cheaply(first).status()).manage == "locked"

            async def was_refused() -> bool:
                return any(entry["event"] == "a new device does not serve yet" for entry in logged)

            async def serves() -> bool:
                return second._core.account is not None and bool(await second.agents(OWNER))

            with capture_logs() as logged:
                await until(was_refused)
            assert not await serves()
            await first.manage.unlock(OWNER, WORDS, 5)
            await until(serves)


async def test_by_a_clock_that_is_off_nothing_of_the_account_is_signed(autojump_clock):
    """What the relay took and this machine did not would stand, though its owner was told otherwise."""
    async with a_pair() as pair:
        await until(lambda: _is_at_rest(pair.first))
        before = (await log_of(pair.first)).position
        clock = pair.first._core.clock
        clock.compare(Instant(pair.world.clock.now() - DAY_MS))
        with pytest.raises(DaemonRefusal) as refusal:
            await pair.first.create_agent(OWNER, NewAgent("helper"))
        assert refusal.value.code == "clock-off"
        clock.compare(pair.world.clock.now())
        await until(lambda: _is_at_rest(pair.first))
        assert (await log_of(pair.first)).position == before
        await pair.first.create_agent(OWNER, NewAgent("helper"))
        await until(pair.same_log)
