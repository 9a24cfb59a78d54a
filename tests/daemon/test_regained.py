"""Connections after a recovery: what the relay has comes back, lets nobody do anything, and can be hidden."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial

import attrs
import pytest
import trio

from taskferry_apps import system
from taskferry_apps.daemon.core import Core
from taskferry_apps.daemon.keys import KeyRing
from taskferry_apps.daemon.port import GrantChange, NewAgent
from taskferry_apps.daemon.publications import noted
from taskferry_apps.daemon.recovery_port import NewRecovery, Recovered
from taskferry_apps.daemon.regaining import is_due
from taskferry_apps.daemon.service import Daemon
from taskferry_apps.daemon.views import ConnectionView
from taskferry_protocol.cbor import Value
from taskferry_protocol.connections import read_request, sign_accept, sign_request
from taskferry_protocol.frames import Frame, ReplyFrame
from taskferry_protocol.ids import AgentRef, Instant, sha256
from taskferry_protocol.limits import DAY_MS
from taskferry_protocol.messages import MessageClass
from taskferry_protocol.permissions import recall_grant, sign_grant
from taskferry_stores.memory import MemoryRelayStore

from .test_recovery import a_core, connected, wanted
from .worlds import OWNER, Machine, World, a_world, connect, on_rung, set_up, texts, until

ALL = ("artifact", "message", "task")


async def bond(daemon: Daemon, state: str = "accepted") -> ConnectionView:
    """The one connection in a state."""
    (found,) = await daemon.connections(OWNER, state, "")
    return found


async def states(daemon: Daemon) -> list[tuple[str, str]]:
    """Every connection's state, and how it ended."""
    return sorted((one.state, one.end_kind) for one in await daemon.connections(OWNER, "", ""))


def allowed(view: ConnectionView) -> tuple[str, ...]:
    """The classes that the peer may send."""
    return view.given.classes if view.given is not None else ()


async def say(daemon: Daemon, mine: str, peer: str, text: str) -> str:
    """Send a message; its hash."""
    return (await daemon.send_message(OWNER, mine, peer, text, (), "", "")).message.hex()


async def arrives(daemon: Daemon, agent: str, text: str) -> None:
    """Wait until a message is there."""

    async def there() -> bool:
        return text in await texts(daemon, agent)

    await until(there)


async def refused_there(daemon: Daemon, message: str, code: str) -> None:
    """Wait until the sender knows that a message was not taken, and why."""

    async def known() -> bool:
        delivery = (await daemon.message(OWNER, message)).delivery
        return delivery is not None and delivery.code == code

    await until(known)


async def recovered(daemon: Daemon, phrase: str, **more: object) -> Recovered:
    """Take the account back on an empty machine."""
    return await daemon.recovery.recover(OWNER, wanted(phrase, **more))


async def lose(world: World, bob: Daemon) -> tuple[Machine, str]:
    """Alice's machine, connected with Bob and lost; and her phrase."""
    lost = Machine("alice")
    async with world.running(lost) as daemon:
        phrase = await set_up(daemon, "alice", "requester")
        await connect(daemon, bob, "requester", "@bob/writer")
    return lost, phrase


# --- What comes back


async def test_without_a_backup_the_connections_come_back():
    """Their owner may send at once; the peers may not, until she says so, and they are told."""
    async with a_world() as world, world.running(Machine("bob")) as bob:
        await set_up(bob, "bob", "writer")
        _, phrase = await lose(world, bob)
        async with world.running(Machine("fresh")) as alice:
            back = await recovered(alice, phrase)
            assert (back.connections, back.closed) == (1, 1)
            view = await bond(alice)
            assert (view.mine, view.peer, view.trust) == ("@alice/requester", "@bob/writer", "unverified")
            assert allowed(view) == ()
            assert view.given is not None
            assert (view.given.human_gate, view.given.auto_trigger) == (True, False)
            await say(alice, "requester", "@bob/writer", "I am back")
            await arrives(bob, "writer", "I am back")

            async def told() -> bool:
                received = (await bond(bob)).received
                return received is not None and received.classes == ()

            await until(told)
            await alice.set_permissions(OWNER, view.id.hex(), GrantChange(classes=ALL))

            async def open_again() -> bool:
                received = (await bond(bob)).received
                return received is not None and received.classes == ALL

            await until(open_again)
            await say(bob, "writer", "@alice/requester", "welcome back")
            await arrives(alice, "requester", "welcome back")


async def test_mail_that_comes_before_the_owners_word_has_no_effect():
    """What a peer has sent who had not heard of it: nothing reaches the agent, and the peer hears why."""
    async with a_world() as world:
        machine = Machine("bob")
        async with world.running(machine) as bob:
            await set_up(bob, "bob", "writer")
            _, phrase = await lose(world, bob)
            world.stop_relay()
            message = await say(bob, "writer", "@alice/requester", "too early")
        await world.start_relay()
        async with world.running(Machine("fresh")) as alice:
            assert (await recovered(alice, phrase)).closed == 1
            async with world.running(machine) as bob:
                await refused_there(bob, message, "not-permitted")
            assert "too early" not in await texts(alice, "requester")


async def test_mail_that_the_relay_holds_for_a_lost_machine_alone_comes_to_an_end():
    """It was relayed before its recipient recovered: the new machine is offered it, and its sender hears."""
    async with a_world() as world, world.running(Machine("bob")) as bob:
        await set_up(bob, "bob", "writer")
        _, phrase = await lose(world, bob)
        message = await say(bob, "writer", "@alice/requester", "to the lost one")
        await on_rung(bob, bytes.fromhex(message), "relayed")
        async with world.running(Machine("fresh")) as alice:
            await recovered(alice, phrase)
            await refused_there(bob, message, "quarantined: not-permitted")
            assert "to the lost one" not in await texts(alice, "requester")


async def test_what_ended_stays_ended_and_what_was_blocked_stays_blocked():
    """Ends come back with the rest, from either side; a block goes on."""
    async with (
        a_world() as world,
        world.running(Machine("bob")) as bob,
        world.running(Machine("carol")) as carol,
    ):
        await set_up(bob, "bob", "writer")
        await set_up(carol, "carol", "writer")
        lost = Machine("alice")
        async with world.running(lost) as daemon:
            phrase = await set_up(daemon, "alice", "requester")
            await connect(daemon, bob, "requester", "@bob/writer")
            await daemon.end_connection(OWNER, (await bond(daemon)).id.hex(), "blocked", "")

            async def heard() -> bool:
                return await states(bob) == [("ended", "blocked")]

            await until(heard)
            await connect(daemon, carol, "requester", "@carol/writer")
        await carol.end_connection(OWNER, (await bond(carol)).id.hex(), "revoked", "")
        await until(lambda: ends(world, 2))
        async with world.running(Machine("fresh")) as alice:
            back = await recovered(alice, phrase)
            assert (back.connections, back.closed) == (0, 0)
            assert await states(alice) == [("ended", "blocked"), ("ended", "revoked")]
            await bob.request_connection(OWNER, "writer", "@alice/requester", "again?")

            async def refused_by_hers() -> bool:
                return bool(await alice.quarantine(OWNER, "", 10))

            await until(refused_by_hers)
            assert await states(alice) == [("ended", "blocked"), ("ended", "revoked")]


async def ends(world: World, count: int) -> bool:
    """Whether the relay has so many ends."""
    store = world.relay_store
    account = (await store.accounts_named(("alice",)))["alice"].account
    return sum(bool(one.end_raw) for one in await store.connections_of(account, None, 99)) == count


async def test_a_connection_that_ended_after_the_backup_shows_ended():
    """The peer's end went to the lost device; the restored one has it from the relay."""
    async with a_world() as world, world.running(Machine("bob")) as bob:
        await set_up(bob, "bob", "writer")
        lost, phrase = await lose(world, bob)
        await bob.end_connection(OWNER, (await bond(bob)).id.hex(), "revoked", "")
        await until(lambda: ends(world, 1))
        async with world.running(Machine("again", store=lost.store)) as alice:
            back = await alice.recovery.recover(OWNER, NewRecovery(phrase))
            assert (back.connections, back.closed) == (0, 0)
            assert await states(alice) == [("ended", "revoked")]


async def test_what_the_owner_ended_after_the_backup_shows_ended():
    """Her own end counts, although the device that signed it is put out."""
    async with a_world() as world, world.running(Machine("bob")) as bob:
        await set_up(bob, "bob", "writer")
        lost, phrase = await lose(world, bob)
        backup = copy.deepcopy(lost.store)
        async with world.running(lost) as daemon:
            await daemon.end_connection(OWNER, (await bond(daemon)).id.hex(), "blocked", "")
            await until(lambda: ends(world, 1))
        async with world.running(Machine("again", store=backup)) as alice:
            await alice.recovery.recover(OWNER, NewRecovery(phrase))
            assert await states(alice) == [("ended", "blocked")]


async def test_a_restored_connection_keeps_what_it_allowed():
    """Where backup and relay agree, nothing is signed anew, and mail goes both ways at once."""
    async with a_world() as world, world.running(Machine("bob")) as bob:
        await set_up(bob, "bob", "writer")
        lost, phrase = await lose(world, bob)
        async with world.running(Machine("again", store=lost.store)) as alice:
            before = (await bond(alice)).given
            back = await alice.recovery.recover(OWNER, NewRecovery(phrase))
            assert (back.connections, back.closed) == (1, 0)
            assert (await bond(alice)).given == before
            await say(bob, "writer", "@alice/requester", "still there?")
            await arrives(alice, "requester", "still there?")


async def test_a_request_that_was_accepted_after_the_backup_is_accepted():
    """The acceptance went to the lost device: the peer signed it, to a request that the backup has."""
    async with a_world() as world, world.running(Machine("bob")) as bob:
        await set_up(bob, "bob", "writer")
        lost = Machine("alice")
        async with world.running(lost) as daemon:
            phrase = await set_up(daemon, "alice", "requester")
            await daemon.request_connection(OWNER, "requester", "@bob/writer", "hello")

            async def asked() -> bool:
                return bool(await bob.connections(OWNER, "requested_in", ""))

            await until(asked)
        request = await bond(bob, "requested_in")
        await bob.accept_connection(OWNER, request.id.hex(), GrantChange())

        async def published() -> bool:
            account = (await world.relay_store.accounts_named(("alice",)))["alice"].account
            return bool(await world.relay_store.connections_of(account, None, 9))

        await until(published)
        async with world.running(Machine("again", store=lost.store)) as alice:
            back = await alice.recovery.recover(OWNER, NewRecovery(phrase))
            assert (back.connections, back.closed) == (1, 0)
            await say(alice, "requester", "@bob/writer", "thank you")
            await arrives(bob, "writer", "thank you")


async def test_what_the_owner_accepted_after_the_backup_is_connected_and_closed():
    """The backup has the peer's request; the lost device accepted it, and a thief could have done so."""
    async with a_world() as world, world.running(Machine("bob")) as bob:
        await set_up(bob, "bob", "writer")
        lost = Machine("alice")
        async with world.running(lost) as daemon:
            phrase = await set_up(daemon, "alice", "requester")
            await bob.request_connection(OWNER, "writer", "@alice/requester", "hello")

            async def asked() -> bool:
                return bool(await daemon.connections(OWNER, "requested_in", ""))

            await until(asked)
            backup = copy.deepcopy(lost.store)
            request = await bond(daemon, "requested_in")
            await daemon.accept_connection(OWNER, request.id.hex(), GrantChange())

            async def accepted() -> bool:
                return bool(await bob.connections(OWNER, "accepted", ""))

            await until(accepted)
        async with world.running(Machine("again", store=backup)) as alice:
            back = await alice.recovery.recover(OWNER, NewRecovery(phrase))
            assert (back.connections, back.closed) == (1, 1)
            view = await bond(alice)
            assert (view.note, allowed(view)) == ("hello", ())


async def test_an_agent_that_is_gone_has_no_connections():
    """A connection of an agent that the recovered log does not have is not brought back."""
    async with a_world() as world, world.running(Machine("bob")) as bob:
        await set_up(bob, "bob", "writer")
        async with world.running(Machine("alice")) as daemon:
            phrase = await set_up(daemon, "alice", "requester")
            await until(lambda: connected(daemon))
            kept = (await daemon.account(OWNER)).length
            await daemon.create_agent(OWNER, NewAgent("planted"))
            await connect(daemon, bob, "planted", "@bob/writer")
        async with world.running(Machine("fresh")) as alice:
            back = await recovered(alice, phrase, kept=kept)
            assert (back.agents, back.connections) == (("requester",), 0)


async def test_a_machine_that_dies_meanwhile_asks_again():
    """At whichever commit it ends: afterwards each connection is there once, and mail goes out."""
    async with a_world() as world, world.running(Machine("bob")) as bob:
        await set_up(bob, "bob", "writer")
        _, phrase = await lose(world, bob)
        for left in range(1, 6):
            fresh = Machine("fresh")
            async with world.running(fresh) as alice:
                # The recovery itself is committed, and the relay is not asked any more.
                world.tamper = no_answer
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(recovered, alice, phrase)
                    await until(partial(is_due, fresh.store))
                    nursery.cancel_scope.cancel()
            world.tamper = None
            commit, count = fresh.store.commit, 0

            async def dying(changes, commit=commit, left=left):
                nonlocal count
                count += 1
                if count > left:
                    raise Died
                return await commit(changes)

            fresh.store.commit = dying  # type: ignore[method-assign]
            with pytest.raises((Died, BaseExceptionGroup, TimeoutError)):
                async with world.running(fresh) as alice:
                    with trio.fail_after(3):
                        while count <= left:
                            await trio.sleep(0.01)
                    raise Died
            fresh.store.commit = commit  # type: ignore[method-assign]
            async with world.running(fresh) as alice:

                async def done(alice=alice) -> bool:
                    return not await is_due(a_core(alice).store)

                await until(done)
                assert await states(alice) == [("accepted", "")]
                text = f"after {left}"
                await say(alice, "requester", "@bob/writer", text)
                await arrives(bob, "writer", text)


class Died(Exception):
    """The power fails."""


def no_answer(frame: Frame) -> Frame:
    """A relay that answers no list of connections, so that nothing is taken of it."""
    match frame:
        case ReplyFrame(outcome=dict() as outcome) if "connections" in outcome:
            return attrs.evolve(frame, id=frame.id + 1_000)
        case _:
            return frame


# --- A relay that lies


Shown = list[Value]


def showing(change: Callable[[list[Shown]], list[Shown]]) -> Callable[[Frame], Frame]:
    """Tamper that makes something else of every list of connections."""

    def tamper(frame: Frame) -> Frame:
        match frame:
            case ReplyFrame(outcome=dict() as outcome) if "connections" in outcome:
                shown = [list(one) for one in outcome["connections"]]
                return attrs.evolve(frame, outcome={**outcome, "connections": change(shown)})  # type: ignore[dict-item]
            case _:
                return frame

    return tamper


def without_ends(shown: list[Shown]) -> list[Shown]:
    """Every end left out."""
    return [[request, accept, b"", grants] for request, accept, _, grants in shown]


async def test_a_relay_that_hides_connections_hides_them_and_breaks_nothing():
    """Nothing comes back, the machine works on, and a backup's connection stands as it was."""
    async with a_world() as world, world.running(Machine("bob")) as bob:
        await set_up(bob, "bob", "writer")
        lost, phrase = await lose(world, bob)
        world.tamper = showing(lambda _: [])
        async with world.running(Machine("fresh")) as alice:
            assert (await recovered(alice, phrase)).connections == 0
        async with world.running(Machine("again", store=lost.store)) as alice:
            # The backup's own device was put out by the recovery before this one.
            assert (await alice.recovery.recover(OWNER, NewRecovery(phrase))).connections == 1


async def test_a_relay_that_hides_an_end_lets_nobody_in():
    """Whom Alice has blocked is shown as connected: the peer may send nothing, whatever the relay passes."""
    async with a_world() as world, world.running(Machine("bob")) as bob:
        await set_up(bob, "bob", "writer")
        async with world.running(Machine("alice")) as daemon:
            phrase = await set_up(daemon, "alice", "requester")
            await connect(daemon, bob, "requester", "@bob/writer")
            await daemon.end_connection(OWNER, (await bond(daemon)).id.hex(), "blocked", "")
            await until(lambda: ends(world, 1))
        world.tamper = showing(without_ends)
        async with world.running(Machine("fresh")) as alice:
            back = await recovered(alice, phrase)
            assert (back.connections, back.closed) == (1, 1)
            assert allowed(await bond(alice)) == ()


async def test_a_hidden_end_shows_when_something_is_sent():
    """A relay that forgets an end passes the message on: the peer's own daemon refuses it, and says so."""
    machine = Machine("bob")
    async with a_world() as world, world.running(machine) as bob:
        await set_up(bob, "bob", "writer")
        lost, phrase = await lose(world, bob)
        store = world.relay_store
        assert isinstance(store, MemoryRelayStore)
        held = dict(store._connections)
        await bob.end_connection(OWNER, (await bond(bob)).id.hex(), "revoked", "")
        await until(lambda: ends(world, 1))

        async def said() -> bool:
            return not await noted(machine.store)

        # Until Bob has the relay's answer, he would publish the end again.
        await until(said)
        world.stop_relay()
        store._connections.update(held)
        await world.start_relay()
        world.tamper = showing(without_ends)
        async with world.running(Machine("again", store=lost.store)) as alice:
            assert (await alice.recovery.recover(OWNER, NewRecovery(phrase))).connections == 1
            message = await say(alice, "requester", "@bob/writer", "are we still connected?")
            await refused_there(alice, message, "quarantined: not-connected")
            assert "are we still connected?" not in await texts(bob, "writer")


async def test_a_relay_that_shows_grants_of_the_past_undoes_none():
    """Both sides have allowed less since: what the backup has stands, and is not signed anew."""
    async with a_world() as world, world.running(Machine("bob")) as bob:
        await set_up(bob, "bob", "writer")
        lost, phrase = await lose(world, bob)
        store = world.relay_store
        account = (await store.accounts_named(("alice",)))["alice"].account
        (early,) = await store.connections_of(account, None, 9)
        async with world.running(lost) as daemon:
            less = GrantChange(classes=("message",))
            await daemon.set_permissions(OWNER, (await bond(daemon)).id.hex(), less)
            await bob.set_permissions(OWNER, (await bond(bob)).id.hex(), less)

            async def both() -> bool:
                one = await bond(daemon)
                return one.received is not None and one.received.classes == ("message",)

            await until(both)
            before = await bond(daemon)
        past: list[Shown] = [[early.request_raw, early.accept_raw, b"", [one.raw for one in early.grants]]]
        world.tamper = showing(lambda shown: past if shown else shown)
        async with world.running(Machine("again", store=lost.store)) as alice:
            await alice.recovery.recover(OWNER, NewRecovery(phrase))
            after = await bond(alice)
            assert (after.given, after.received) == (before.given, before.received)


@pytest.mark.parametrize(
    "change",
    [
        lambda shown: [[one[0], one[0], one[2], one[3]] for one in shown],
        lambda shown: [[one[0][:-1] + bytes([one[0][-1] ^ 1]), *one[1:]] for one in shown],
        lambda shown: [[one[0], one[1][:-1] + bytes([one[1][-1] ^ 1]), *one[2:]] for one in shown],
        lambda shown: [[one[0], one[1], one[1], one[3]] for one in shown],
        lambda shown: [[b"", b"", b"", []] for _ in shown],
        lambda shown: [[b"\x00" * 999, *one[1:]] for one in shown],
    ],
)
async def test_what_a_relay_makes_up_is_not_taken(change):
    """Parts that were altered or stand for others: nothing comes of it, and the daemon works on."""
    async with a_world() as world, world.running(Machine("bob")) as bob:
        await set_up(bob, "bob", "writer")
        _, phrase = await lose(world, bob)
        world.tamper = showing(change)
        async with world.running(Machine("fresh")) as alice:
            assert (await recovered(alice, phrase)).connections == 0
            await until(lambda: connected(alice))
            assert await alice.peers.peers(OWNER) == ()


async def test_a_relay_that_shows_the_same_without_end_is_left():
    """Whatever is asked for, it answers with the first page: the mail goes on all the same."""
    async with a_world() as world, world.running(Machine("bob")) as bob:
        await set_up(bob, "bob", "writer")
        _, phrase = await lose(world, bob)
        pages: list[list[Shown]] = []

        def again(shown: list[Shown]) -> list[Shown]:
            pages.append(shown)
            return pages[0]

        world.tamper = showing(again)
        async with world.running(Machine("fresh")) as alice:
            assert (await recovered(alice, phrase)).connections == 1
            assert len(pages) == 2
            await say(alice, "requester", "@bob/writer", "I am back")
            await arrives(bob, "writer", "I am back")


@pytest.mark.parametrize("version", [7, 2**64 - 1])
async def test_a_thief_with_a_lost_devices_key_and_a_relay_lets_nobody_in(version):
    """They sign an old acceptance for the thief's friend: it is shown as a connection, and allows nothing.

    Nor does it help to leave no number for the owner's next grant.
    """
    async with a_world() as world, world.running(Machine("mallory")) as mallory:
        await set_up(mallory, "mallory", "writer")
        lost = Machine("alice")
        async with world.running(lost) as daemon:
            phrase = await set_up(daemon, "alice", "requester")
            await until(lambda: connected(daemon))
            forged = await planted(a_core(daemon), a_core(mallory), lost.vault.ring, version)
        world.tamper = showing(lambda shown: shown if shown else [forged])
        async with world.running(Machine("fresh")) as alice:
            back = await recovered(alice, phrase)
            assert (back.connections, back.closed) == (1, 1)
            view = await bond(alice)
            assert (view.peer, view.trust, allowed(view)) == ("@mallory/writer", "unverified", ())
            assert (view.given.version if view.given is not None else None) == (8 if version == 7 else None)
            await until(lambda: connected(alice))


async def planted(alice: Core, mallory: Core, ring: KeyRing | None, version: int) -> Shown:
    """A connection of Mallory's with Alice, who never heard of it: signed with her device's stolen key."""
    assert ring is not None
    stolen = ring.device.manage
    assert stolen is not None
    log, theirs = await alice.own_log(), await mallory.own_log()
    request = read_request(asking(theirs.account, log.account, mallory, theirs.position), theirs)
    accept = sign_accept(request, at=alice.now(), log=log.position, by=stolen)
    first = sign_grant(
        request,
        AgentRef(log.account, "requester"),
        before=None,
        at=alice.now(),
        until=None,
        classes=frozenset({MessageClass.MESSAGE, MessageClass.TASK}),
        rate=60,
        largest=100_000,
        terms=sha256(b""),
        log=log.position,
        by=stolen,
    )
    before = attrs.evolve(recall_grant(first), version=version - 1)
    last = sign_grant(
        request,
        before.grantor,
        before=before,
        at=alice.now(),
        until=None,
        classes=before.classes,
        rate=600,
        largest=100_000,
        terms=before.terms,
        log=log.position,
        by=stolen,
    )
    return [request.raw, accept, b"", [last]]


def asking(from_: bytes, to: bytes, core: Core, log) -> bytes:
    """Mallory's own request."""
    return sign_request(
        AgentRef(from_, "writer"),  # type: ignore[arg-type]
        AgentRef(to, "requester"),  # type: ignore[arg-type]
        at=core.now(),
        expires_at=Instant(core.now() + DAY_MS),
        nonce=system.entropy(16),
        log=log,
        by=core.manage,
    )


async def test_what_a_thief_allowed_after_the_backup_is_cut_back():
    """A wider grant by the stolen device stands at the relay: what backup and relay both allow counts."""
    async with a_world() as world, world.running(Machine("bob")) as bob:
        await set_up(bob, "bob", "writer")
        lost, phrase = await lose(world, bob)
        async with world.running(lost) as daemon:
            narrow = GrantChange(classes=("message",), rate_per_minute=10)
            await daemon.set_permissions(OWNER, (await bond(daemon)).id.hex(), narrow)

            async def heard() -> bool:
                received = (await bond(bob)).received
                return received is not None and received.rate_per_minute == 10

            await until(heard)
        backup = copy.deepcopy(lost.store)
        async with world.running(lost) as thief:
            wide = GrantChange(classes=ALL, rate_per_minute=600, human_gate=False, auto_trigger=True)
            await thief.set_permissions(OWNER, (await bond(thief)).id.hex(), wide)

            async def widened() -> bool:
                received = (await bond(bob)).received
                return received is not None and received.rate_per_minute == 600

            await until(widened)
        async with world.running(Machine("again", store=backup)) as alice:
            await alice.recovery.recover(OWNER, NewRecovery(phrase))
            given = (await bond(alice)).given
            assert given is not None
            assert (given.classes, given.rate_per_minute) == (("message",), 10)
            assert (given.human_gate, given.auto_trigger) == (True, False)

            async def cut_back() -> bool:
                received = (await bond(bob)).received
                return received is not None and received.version == given.version

            await until(cut_back)
