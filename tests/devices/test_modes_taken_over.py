"""An agent that a machine comes to serve is never freer there than its owner has set it anywhere."""

from __future__ import annotations

import pytest

from taskferry_apps.daemon.agent_settings import AgentSettings, as_told, stricter
from taskferry_apps.daemon.draft import Draft
from taskferry_apps.daemon.gate_views import ModeView
from taskferry_apps.daemon.port import Caller, DaemonRefusal, GrantChange, NewAgent
from taskferry_apps.daemon.recovery_port import NewRecovery
from taskferry_apps.daemon.service import Daemon
from taskferry_apps.daemon.shares import share
from taskferry_protocol import accounts
from taskferry_protocol.gates import ActionClass, AgentMode, Policy
from taskferry_protocol.ids import Instant
from taskferry_protocol.messages import SharedAgent
from tests.daemon.test_gates import waits
from tests.daemon.worlds import OWNER, URL, Machine, a_world, ask, connect, in_state, set_up, until

from .machines import a_pair, link_to, log_of

REQUESTER = Caller(frozenset({"requester"}))


async def mode_of(daemon: Daemon, agent: str = "requester") -> ModeView | None:
    """How freely an agent acts on a machine, if that serves it."""
    if daemon._core.account is None:
        return None
    return next((m for m in await daemon.gates.modes(OWNER) if m.agent.endswith(f"/{agent}")), None)


async def becomes(daemon: Daemon, mode: str, agent: str = "requester") -> ModeView:
    """Wait until an agent is in a mode there."""

    async def there() -> ModeView | None:
        found = await mode_of(daemon, agent)
        return found if found is not None and found.mode == mode else None

    return await until(there)


async def says_nothing(daemon: Daemon) -> None:
    """The agent's own credential sends nothing."""
    with pytest.raises(DaemonRefusal) as refused:
        await daemon.send_message(REQUESTER, "requester", "@bob/writer", "hello", (), "", "")
    assert refused.value.code == "read-only"


async def test_what_an_agent_may_not_do_it_may_not_do_on_a_machine_that_is_linked_later():
    """Read-only stays read-only and never stays never; what was allowed ahead is asked again."""
    async with a_world() as world, world.running(Machine("bob")) as bob:
        await set_up(bob, "bob", "writer")
        async with world.running(Machine("alice")) as first:
            await set_up(first, "alice", "requester")
            await connect(first, bob, "requester", "@bob/writer")
            await first.gates.set_mode(OWNER, "requester", "read-only")
            await first.gates.set_policy(OWNER, "requester", "deletions", "never")
            await first.gates.set_policy(OWNER, "requester", "shell", "always")
            machine = Machine("alice2")
            await link_to(world, first, machine)
            async with world.running(machine) as second:

                async def told() -> bool:
                    found = await mode_of(second)
                    return found is not None and found.policies["deletions"] == "never"

                await until(told)
                found = await mode_of(second)
                assert found is not None
                assert (found.mode, found.policies["shell"], found.is_said) == ("read-only", "ask", False)
                await says_nothing(second)


async def test_a_task_waits_for_the_owner_wherever_the_mode_was_not_said():
    """A machine that took a read-only agent over puts no peer's task before it by itself."""
    async with a_pair() as pair:
        change = GrantChange(human_gate=False, task_budget=5)
        await pair.first.set_permissions(OWNER, ("requester", "@bob/writer"), change)

        async def permitted() -> bool:
            (bond,) = await pair.second.connections(OWNER, "accepted", "")
            return bond.given is not None and bond.given.version == 2

        await until(permitted)
        await pair.first.gates.set_mode(OWNER, "requester", "read-only")
        await becomes(pair.second, "read-only")
        task = await ask(pair.bob, "writer", "@alice/requester")
        await waits(pair.second, task)
        await pair.second.gates.set_mode(OWNER, "requester", "read-only")
        other = await ask(pair.bob, "writer", "@alice/requester")
        await in_state(pair.second, other, "sent")
        assert [held.task for held in await pair.second.gates.held_tasks(OWNER)] == [task]


async def test_a_mode_that_becomes_stricter_does_so_on_machines_where_none_was_said():
    """The owner's word elsewhere tightens, and loosens no further than guarded; what was said stays."""
    async with a_pair() as pair:
        await becomes(pair.second, "guarded")
        await pair.first.gates.set_mode(OWNER, "requester", "read-only")
        await becomes(pair.second, "read-only")
        await says_nothing(pair.second)
        await pair.first.gates.set_mode(OWNER, "requester", "open")
        await becomes(pair.second, "guarded")
        await pair.second.gates.set_mode(OWNER, "requester", "open")
        await pair.first.gates.set_mode(OWNER, "requester", "read-only")
        await pair.first.gates.set_policy(OWNER, "requester", "mail", "never")
        await pair.first.create_agent(OWNER, NewAgent("later"))
        await becomes(pair.second, "guarded", "later")
        assert (await becomes(pair.second, "open")).policies["mail"] == "ask"


async def test_what_senders_are_told_stays_as_it_was_said_on_a_machine():
    """Whatever another machine says afterwards of how freely the agent acts there."""
    async with a_pair() as pair:
        await becomes(pair.second, "guarded")
        await pair.second.gates.set_telling(OWNER, "requester", tells=True)
        await pair.first.gates.set_mode(OWNER, "requester", "read-only")
        assert (await becomes(pair.second, "read-only")).tells


async def test_a_relay_that_turns_words_round_loosens_nothing():
    """An older word that comes after a newer one is not taken."""
    async with a_pair() as pair:
        await becomes(pair.second, "guarded")
        core, now = pair.first._core, pair.world.clock.now()
        for mode, at in (("read-only", now + 2), ("open", now + 1)):
            async with core.lock:
                draft = Draft(core)
                await share(draft, (SharedAgent("requester", mode, (), Instant(at)),))
                await draft.commit()
            core.outgoing.ring()
        await pair.first.create_agent(OWNER, NewAgent("after"))
        await becomes(pair.second, "guarded", "after")
        found = await mode_of(pair.second)
        assert found is not None
        assert found.mode == "read-only"


async def test_a_mode_that_a_later_version_knows_is_taken_for_the_strictest():
    """Whatever it means, it does not mean open."""
    async with a_pair() as pair:
        await becomes(pair.second, "guarded")
        core = pair.first._core
        async with core.lock:
            draft = Draft(core)
            word = SharedAgent(
                "requester", "on-sundays", ("time-travel",), Instant(pair.world.clock.now() + 1)
            )
            await share(draft, (word,))
            await draft.commit()
        core.outgoing.ring()
        await becomes(pair.second, "read-only")


async def test_a_machine_that_may_not_manage_says_nothing_of_agents_to_the_others():
    """Its owner's word there counts there; nothing of it is quarantined elsewhere."""
    async with a_pair(manage=False) as pair:
        await becomes(pair.second, "guarded")
        await pair.second.gates.set_mode(OWNER, "requester", "read-only")
        await pair.first.create_agent(OWNER, NewAgent("after"))
        await becomes(pair.second, "guarded", "after")
        assert await pair.first.quarantine(OWNER, "", 9) == ()
        assert (await becomes(pair.first, "open")).is_said


async def test_an_agent_that_is_let_go_and_served_again_is_as_strict_as_before():
    """Statements that leave this machine out and name it again are no way round its owner's word."""
    async with a_pair() as pair:
        await pair.second.gates.set_mode(OWNER, "requester", "read-only")
        await pair.second.gates.set_policy(OWNER, "requester", "uploads", "never")
        core = pair.first._core
        devices = (await log_of(pair.first)).state.agents["requester"]
        for serving in ((core.device,), devices):
            async with core.lock:
                draft = Draft(core)
                state = (await draft.own_log()).state
                statement = accounts.set_agent(state, "requester", serving, at=draft.now, by=core.manage)
                await pair.first._owner.extend(draft, statement)
                await draft.commit()
            core.outgoing.ring()

            async def settled(serves: bool = pair.device in serving) -> bool:
                return (await mode_of(pair.second) is not None) is serves

            await until(settled)
        found = await mode_of(pair.second)
        assert found is not None
        assert (found.mode, found.policies["uploads"], found.is_said) == ("read-only", "never", False)


async def test_a_recovered_machine_that_knows_nothing_lets_its_agents_send_nothing():
    """What its owner had set is lost with the other machine, and may have been anything."""
    async with a_pair() as pair, pair.world.running(Machine("new")) as new:
        await new.recovery.recover(OWNER, NewRecovery(pair.recovery, "alice", relay=URL))
        found = await mode_of(new)
        assert found is not None
        assert (found.mode, found.is_said) == ("read-only", False)
        await says_nothing(new)


async def test_a_recovery_in_place_keeps_what_was_said_and_opens_nothing_more():
    """The machine takes over the agents that the others served, as strict as it knows how."""
    async with a_pair() as pair:
        core = pair.second._core
        async with core.lock:
            draft = Draft(core)
            state = (await draft.own_log()).state
            alone = accounts.set_agent(state, "apart", (core.device,), at=draft.now, by=core.manage)
            await pair.second._owner.extend(draft, alone)
            await draft.commit()
        core.outgoing.ring()
        await until(pair.same_log)
        await pair.first.gates.set_mode(OWNER, "requester", "guarded")
        await pair.first.recovery.recover(OWNER, NewRecovery(pair.recovery))
        assert pair.device not in {d.id for d in (await log_of(pair.first)).state.active_devices()}
        kept, taken = await mode_of(pair.first), await mode_of(pair.first, "apart")
        assert kept is not None
        assert taken is not None
        assert (kept.mode, kept.is_said, taken.mode, taken.is_said) == ("guarded", True, "read-only", False)


@pytest.mark.parametrize("mode", list(AgentMode))
@pytest.mark.parametrize("policy", list(Policy))
def test_what_is_told_is_never_freer(mode: AgentMode, policy: Policy):
    """Every mode and policy: sends no more, waits no less, and nothing is allowed ahead."""
    said = AgentSettings(mode, {ActionClass.MAIL: policy})
    told = as_told(said)
    assert not told.is_said
    assert told.waits(human_gate=False)
    assert (told.mode is AgentMode.READ_ONLY) is (mode is AgentMode.READ_ONLY)
    assert told.policy(ActionClass.MAIL) is (Policy.NEVER if policy is Policy.NEVER else Policy.ASK)
    assert stricter(told, as_told(AgentSettings())) == stricter(as_told(AgentSettings()), told) == told
