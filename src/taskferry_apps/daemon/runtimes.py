"""Programs that bind themselves to agents: who is there, and under which name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from taskferry_protocol.ids import Hash, Instant
from taskferry_protocol.records import (
    DropRuntimes,
    PutLeases,
    PutRuntime,
    RaiseFences,
    RuntimeId,
    RuntimeRecord,
    RuntimeStatus,
)
from taskferry_protocol.runtimes import (
    LEASE_MS,
    RUNTIMES_LIVE,
    Activity,
    bind,
    bridged,
    given_back,
    has_left,
    heartbeat_ms,
    is_live,
    left,
    renewed,
)

from ..release import version
from .clock_steps import carry_over, look_at_clock
from .core import Core
from .draft import Draft
from .leasing import check_hold, find_runtime, pass_on, take
from .link import Link
from .mail import Mail
from .names import handle_of, may_use, own_agent
from .port import Caller, DaemonRefusal, Hold
from .runtimes_port import BoundView, Identity, NewRuntime, RuntimeView
from .telling import note_run
from .views import LeaseView

__all__ = ["Runtimes"]

_ID_BYTES: Final = 16
#: How much of an inbox is looked through for what is in hand.
_LOOKED_AT: Final = 2_000


class Runtimes:
    """Binds, hears and lets go. `bridge` is to be called once, at the start."""

    def __init__(self, core: Core, link: Link, mail: Mail) -> None:
        self._core = core
        self._link = link
        self._mail = mail

    async def bridge(self) -> None:
        """Give those a lease that were there when the daemon stopped: they could not be heard meanwhile."""
        now = self._core.now()
        kept = [bridged(runtime, now) for runtime in await self._core.store.runtimes(None)]
        changes = [PutRuntime(runtime) for runtime in kept if runtime is not None]
        if changes:
            await self._core.commit(changes)

    async def bind(self, caller: Caller, wanted: NewRuntime) -> BoundView:
        """Bind a program to an agent."""
        core = self._core
        mine = await own_agent(core, caller, wanted.agent, "agent")
        async with core.lock:
            await carry_over(core)
            draft = Draft(core)
            binding = bind(
                await core.store.runtimes(mine.name),
                agent=mine.name,
                program=wanted.program,
                key=wanted.key,
                lease_ms=LEASE_MS if wanted.lease_s is None else wanted.lease_s * 1000,
                fresh=RuntimeId(core.entropy(_ID_BYTES)),
                now=draft.now,
            )
            if binding is None:
                raise DaemonRefusal(
                    "too-many",
                    f"{RUNTIMES_LIVE} programs act as {mine.name} already.",
                    "Bind with the same key after a restart, and end what is not needed: "
                    f"taskferry agent runtimes {mine.name}",
                    status=409,
                )
            runtime = binding.runtime
            note_run(core, runtime.agent)
            draft.add(PutRuntime(runtime))
            if binding.again:
                # What an earlier self of it still does is told from what this one does.
                draft.add(RaiseFences(runtime.id, draft.now))
            if binding.drop:
                draft.add(DropRuntimes(binding.drop))
            self._tell(draft, runtime, "bound")
            await draft.commit()
            for gone in (runtime.id, *binding.drop):
                core.passed.pop(gone, None)
                core.acted.pop(gone, None)
        return _bound(runtime, self._view(runtime), again=binding.again)

    async def heartbeat(self, caller: Caller, runtime: str, status: str) -> BoundView:
        """A sign of life."""
        core = self._core
        async with core.lock:
            await carry_over(core)
            held = await find_runtime(core, caller, runtime)
            core.acted.setdefault(held.id, held.seen_at)
            after = renewed(held, core.now(), RuntimeStatus(status))
            if after is not None:
                await core.commit((PutRuntime(after),))
                if after.status is not held.status:
                    # What a busy program was not woken by is told it now.
                    core.feed.ring()
                held = after
            if held.status is RuntimeStatus.BUSY:
                # One that is idle may be a session that somebody has left open: nobody acts by that.
                note_run(core, held.agent)
        return _bound(held, self._view(held), again=True)

    async def unbind(self, caller: Caller, runtime: str, *, forget: bool = False) -> RuntimeView:
        """End a binding."""
        core = self._core
        async with core.lock:
            await carry_over(core)
            draft = Draft(core)
            gone = left(await find_runtime(core, caller, runtime), draft.now)
            # Who may come back under a key keeps its name.
            draft.add(PutRuntime(gone) if gone.key and not forget else DropRuntimes((gone.id,)))
            self._tell(draft, gone, "unbound")
            await draft.commit()
            core.passed.pop(gone.id, None)
            core.acted.pop(gone.id, None)
        return self._view(gone)

    async def runtimes(self, caller: Caller, agent: str) -> tuple[RuntimeView, ...]:
        """Programs that are bound, or were and may come back; live ones first."""
        core = self._core
        name = (await own_agent(core, caller, agent, "agent")).name if agent else None
        await look_at_clock(core)
        now = core.now()
        held = [found for found in await core.store.runtimes(name) if may_use(caller, found.agent)]
        held.sort(key=lambda found: (not is_live(found, now), found.agent, found.bound_at))
        return tuple(self._view(found) for found in held)

    async def in_hand(self, caller: Caller) -> Mapping[str, int]:
        """How many tasks and lone messages each live program has in hand."""
        now, store = self._core.now(), self._core.store
        live = [one for one in await store.runtimes(None) if is_live(one, now) and may_use(caller, one.agent)]
        held: dict[RuntimeId, set[Hash]] = {one.id: set() for one in live}
        for agent in {one.agent for one in live}:
            for item in await store.waiting(agent, _LOOKED_AT):
                if item.lease is not None and item.lease.runtime in held:
                    held[item.lease.runtime].add(item.unit)
        return {id.hex(): len(units) for id, units in held.items()}

    async def named(self, caller: Caller, agent: str, text: str) -> RuntimeView:
        """The program that is meant by its id, or by its name."""
        core = self._core
        name = (await own_agent(core, caller, agent, "agent")).name if agent else None
        known = [found for found in await core.store.runtimes(name) if may_use(caller, found.agent)]
        fitting = [one for one in known if text in (one.id.hex(), one.name) and not has_left(one)]
        if len(fitting) == 1:
            return self._view(fitting[0])
        raise DaemonRefusal(
            "ambiguous" if fitting else "unknown-runtime",
            "Programs of several agents are called so." if fitting else "No program of that name is bound.",
            "Name the agent, too, and the program as listed by: taskferry agent runtimes",
            status=409 if fitting else 404,
            detail={"field": "runtime"},
        )

    async def take(self, caller: Caller, runtime: str, message: str, *, only_left: bool) -> LeaseView:
        """Have an item, and the task that it belongs to."""
        core = self._core
        agent = (await find_runtime(core, caller, runtime)).agent
        record = await self._mail.find(caller, message, agent)
        async with core.lock:
            await carry_over(core)
            me = await find_runtime(core, caller, runtime)
            note_run(core, me.agent)
            lease = await take(core, me, record.task or record.hash, only_left=only_left)
        return LeaseView(me.id.hex(), lease.fence, Instant(core.now() + me.lease_ms))

    async def give_back(self, caller: Caller, runtime: str, message: str, fence: int | None) -> None:
        """Let others have an item, and the task that it belongs to."""
        core = self._core
        agent = (await find_runtime(core, caller, runtime)).agent
        record = await self._mail.find(caller, message, agent)
        unit: Hash = record.task or record.hash
        async with core.lock:
            draft = Draft(core)
            held = await check_hold(core, caller, agent, unit, Hold(runtime, fence))
            # What no program has, or one that is gone had, is not taken first.
            draft.add(*(change for change in held if not isinstance(change, PutLeases)))
            lease = (await core.store.leases(agent, (unit,))).get(unit)
            if lease is not None:
                draft.add(PutLeases((given_back(lease, draft.now),)))
            draft.tell("runtime", agent, (record.hash,), state="gave_back", id=runtime.lower())
            await draft.commit()
            pass_on(core, RuntimeId(bytes.fromhex(runtime)), unit)

    async def whoami(self, caller: Caller) -> Identity:
        """Who the caller is here."""
        core = self._core
        own = await core.own_log()
        names = sorted(agent.name for agent in await core.store.agents() if may_use(caller, agent.name))
        return Identity(
            owner=own.state.name,
            is_owner=caller.is_owner,
            label=caller.label,
            agents=tuple([await handle_of(core, core.agent(name)) for name in names]),
            device=core.device,
            version=version(),
            relay=await self._link.status(),
            runtimes=await self.runtimes(caller, ""),
        )

    def _tell(self, draft: Draft, runtime: RuntimeRecord, state: str) -> None:
        draft.tell("runtime", runtime.agent, (), state=state, name=runtime.name, id=runtime.id.hex())

    def _view(self, runtime: RuntimeRecord) -> RuntimeView:
        live = is_live(runtime, self._core.now())
        return RuntimeView(
            id=runtime.id.hex(),
            name=runtime.name,
            agent=runtime.agent,
            program=runtime.program,
            status=runtime.status.value if live else Activity.OFFLINE.value,
            since=runtime.since if live else runtime.seen_at,
            bound_at=runtime.bound_at,
            seen_at=runtime.seen_at,
            expires_at=runtime.expires_at,
        )


def _bound(runtime: RuntimeRecord, view: RuntimeView, *, again: bool) -> BoundView:
    return BoundView(view, runtime.lease_ms // 1000, heartbeat_ms(runtime.lease_ms) // 1000, again)
