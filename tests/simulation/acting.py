"""How owners and agents carry out the steps of a plan: through the port that the HTTP routes use."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

import attrs

from taskferry_apps.daemon.action_port import AskedView
from taskferry_apps.daemon.port import CardChange, DaemonRefusal, GrantChange, NewTask, TaskAction
from taskferry_apps.daemon.sending_port import NewMessage
from taskferry_apps.daemon.service import Daemon
from taskferry_apps.daemon.views import ConnectionView, Sent
from taskferry_protocol.handoff import verify_handoff
from taskferry_protocol.ids import Instant
from taskferry_protocol.messages import TextPart
from taskferry_stores.port import StoreError
from tests.daemon.worlds import OWNER

from .ledger import Accepted, Ledger
from .many import say_again, say_at_once, say_many
from .plan import Deed, Owner, Step
from .programs import DaemonMachine
from .trace import Trace

__all__ = ["Actor"]

T = TypeVar("T")

#: Likelier than the others by being named more often, so that most tasks come somewhere.
WISHES = {
    "accept": 12,
    "submit": 8,
    "complete": 4,
    "revise": 6,
    "progress": 4,
    "decline": 1,
    "cancel": 1,
    "fail": 1,
}
#: A requester who could only cancel does so seldom.
WAITS = 8


def pick_of(among: Sequence[T], pick: int) -> T:
    """One of them, by a step's number."""
    return among[pick % len(among)]


@attrs.define
class Actor:
    """Carries out steps on one machine."""

    machine: DaemonMachine
    owner: Owner
    ledger: Ledger
    trace: Trace
    link: Callable[[Daemon], Coroutine[Any, Any, str]]
    """How a second device is linked."""
    asked: list[list[NewMessage]] = attrs.field(factory=list)
    """All requests of many messages, answered or not."""
    _words: int = 0

    async def perform(self, step: Step) -> None:
        """Do what the step says, if that is possible now."""
        deed = _DEEDS[step.deed]
        told = ""

        async def work(daemon: Daemon) -> str:
            return await deed(self, daemon, step.pick)

        try:
            answer = await self.machine.ask(work)
            told = answer if answer is not None else "the daemon is down"
            if answer:
                self.ledger.done[step.deed.value] += 1
        except DaemonRefusal as refused:
            told = f"refused: {refused.code}"
            self.ledger.refused[refused.code] += 1
        except StoreError as failed:
            told = f"failed: {type(failed).__name__}"
        except Exception as fault:  # noqa: BLE001 - whatever else comes out of the port is what we look for
            told = f"crashed: {fault!r}"
            self.ledger.broken.append(f"{self.machine.name} answered {step.deed.value} with {fault!r}")
        if told:
            self.trace.tell(self.machine.name, f"{step.deed.value}: {told}")

    def took(self, sent: Sent, peer: str, what: str) -> str:
        """Note that the daemon has accepted something; what to say of it."""
        self.ledger.accepted.append(
            Accepted(
                self.machine.name,
                self.owner.agent,
                peer,
                sent.message,
                what,
                self.trace.now(),
                sent.task,
            )
        )
        return f"{what} {sent.message.hex()[:8]} to {peer}"

    def word(self) -> str:
        """A word that nobody has said yet."""
        self._words += 1
        return f"{self.machine.name}.{self.machine.lives}.{self._words}"

    # --- deeds: each tells what it did, "" for nothing

    async def ask(self, daemon: Daemon, pick: int, deadline: Instant | None = None) -> str:
        """Ask a peer for work."""
        peers = await self.connected(daemon)
        if not peers:
            return ""
        peer = pick_of(peers, pick).peer
        task = NewTask(
            self.owner.agent, peer, self.word(), "Do it.", revisions=pick // 7 % 4, deadline=deadline
        )
        return self.took(await daemon.create_task(OWNER, task), peer, "task")

    async def ask_briefly(self, daemon: Daemon, pick: int) -> str:
        """The same with a deadline that may pass."""
        return await self.ask(daemon, pick, Instant(self.machine.clock.now() + 5_000 + pick % 60_000))

    async def act(self, daemon: Daemon, pick: int) -> str:
        """Something that is possible in an open task."""
        rows = [row for row in (await daemon.tasks(OWNER, "", "", "", "", 100))[0] if not row.final]
        rows = [row for row in rows if row.waiting_for == "me"] or rows
        if not rows:
            return ""
        row = pick_of(rows, pick)
        view = await daemon.task(OWNER, row.id.hex())
        wishes = [wish for wish in view.actions for _ in range(WISHES.get(wish, 0))]
        wish = pick_of((*wishes, *["wait"] * (WAITS)), pick // 101)
        return "" if wish == "wait" else await self._act(daemon, row.id.hex(), wish, row.peer)

    async def act_blindly(self, daemon: Daemon, pick: int) -> str:
        """Anything in any task."""
        rows = (await daemon.tasks(OWNER, "", "", "", "", 100))[0]
        if not rows:
            return ""
        row = pick_of(rows, pick)
        return await self._act(daemon, row.id.hex(), pick_of(tuple(WISHES), pick // 101), row.peer)

    async def _act(self, daemon: Daemon, task: str, kind: str, peer: str) -> str:
        word = self.word()
        parts = (TextPart(word),) if kind == "submit" else ()
        reasons = (word,) if kind == "revise" else ()
        action = TaskAction(kind, self.owner.agent, word, parts=parts, reasons=reasons)
        if kind == "progress":
            action = attrs.evolve(action, percent=50)
        done = await daemon.act(OWNER, task, action)
        if isinstance(done, AskedView):
            return f"{kind} in {task[:8]}, passed on"
        return self.took(done, peer, f"{kind} in {task[:8]}")

    async def say(self, daemon: Daemon, pick: int) -> str:
        """A message."""
        peers = await self.connected(daemon)
        if not peers:
            return ""
        peer = pick_of(peers, pick).peer
        text = f"says {self.word()}"
        sent = await daemon.send_message(OWNER, self.owner.agent, peer, text, (), "", "")
        return self.took(sent, peer, "message")

    async def read(self, daemon: Daemon, pick: int) -> str:
        """Look, and mark some of it as processed."""
        page = await daemon.inbox(OWNER, self.owner.agent, True, "", 50, 0)
        for message in page.messages[: 1 + pick % 8]:
            await daemon.acknowledge(OWNER, message.id.hex())
        return f"{len(page.messages)} in the inbox" if page.messages else ""

    async def permit(self, daemon: Daemon, pick: int) -> str:
        """Change what a peer may send."""
        peers = await self.connected(daemon)
        if not peers:
            return ""
        peer = pick_of(peers, pick)
        change = pick_of(
            (
                GrantChange(classes=("message",)),
                GrantChange(classes=("message", "task", "artifact")),
                GrantChange(classes=("task", "artifact")),
                GrantChange(rate_per_minute=2),
                GrantChange(rate_per_minute=60),
                GrantChange(human_gate=True),
                GrantChange(human_gate=False),
            ),
            pick // 11,
        )
        await daemon.set_permissions(OWNER, peer.id.hex(), change)
        return f"{peer.peer} may send {change.classes or change.rate_per_minute or change.human_gate}"

    async def rotate(self, daemon: Daemon, pick: int) -> str:
        """A fresh key."""
        await daemon.devices.rotate(OWNER)
        return "a fresh key"

    async def link_device(self, daemon: Daemon, pick: int) -> str:
        """A second device."""
        return await self.link(daemon)

    async def revoke(self, daemon: Daemon, pick: int) -> str:
        """Put another device out."""
        overview = await daemon.devices.overview(OWNER)
        others = [one for one in overview.devices if not one.is_here and one.status == "active"]
        if not others:
            return ""
        other = pick_of(others, pick)
        await daemon.devices.revoke(OWNER, other.id.hex(), "compromised", lose=False)
        return f"revoked {other.id.hex()[:8]}"

    async def sever(self, daemon: Daemon, pick: int) -> str:
        """End a connection."""
        peers = await self.connected(daemon)
        if not peers:
            return ""
        peer = pick_of(peers, pick)
        await daemon.end_connection(OWNER, peer.id.hex(), "revoked", "")
        return f"no longer connected with {peer.peer}"

    async def reconnect(self, daemon: Daemon, pick: int) -> str:
        """Ask for a connection that was ended."""
        known = {one.peer for one in await daemon.connections(OWNER, "accepted", "")}
        ended = [one for one in await daemon.connections(OWNER, "", "") if one.peer not in known]
        if not ended:
            return ""
        peer = pick_of(sorted({one.peer for one in ended}), pick)
        await daemon.request_connection(OWNER, self.owner.agent, peer, "again")
        return f"asked {peer} for a connection"

    async def accept(self, daemon: Daemon, pick: int) -> str:
        """Accept a request."""
        waiting = await daemon.connections(OWNER, "requested_in", "")
        if not waiting:
            return ""
        one = pick_of(waiting, pick)
        await daemon.accept_connection(OWNER, one.id.hex(), GrantChange(human_gate=False))
        return f"connected with {one.peer}"

    async def approve(self, daemon: Daemon, pick: int) -> str:
        """Let through what waits."""
        held = await daemon.gates.held_tasks(OWNER)
        if not held:
            return ""
        task = pick_of(held, pick).task.hex()
        await daemon.gates.release(OWNER, task)
        return f"let {task[:8]} through"

    async def introduce(self, daemon: Daemon, pick: int) -> str:
        """Another card."""
        await daemon.edit_agent(OWNER, self.owner.agent, CardChange(tagline=self.word()))
        return "another card"

    async def prove(self, daemon: Daemon, pick: int) -> str:
        """Export a task, and verify it."""
        rows = (await daemon.tasks(OWNER, "", "", "", "", 100))[0]
        if not rows:
            return ""
        row = pick_of(rows, pick)
        report = verify_handoff(await daemon.export_task(OWNER, row.id.hex()))
        state = report.view.state
        return f"{row.id.hex()[:8]} is proved as {state.value if state is not None else 'unknown'}"

    async def connected(self, daemon: Daemon) -> list[ConnectionView]:
        """The connections in force, in an order of their own."""
        found = await daemon.connections(OWNER, "accepted", self.owner.agent)
        return sorted(found, key=lambda one: (one.peer, one.id))


_DEEDS: Mapping[Deed, Callable[[Actor, Daemon, int], Coroutine[Any, Any, str]]] = {
    Deed.ASK: Actor.ask,
    Deed.ASK_BRIEFLY: Actor.ask_briefly,
    Deed.ACT: Actor.act,
    Deed.ACT_BLINDLY: Actor.act_blindly,
    Deed.SAY: Actor.say,
    Deed.SAY_MANY: say_many,
    Deed.SAY_AGAIN: say_again,
    Deed.SAY_AT_ONCE: say_at_once,
    Deed.READ: Actor.read,
    Deed.PERMIT: Actor.permit,
    Deed.ROTATE: Actor.rotate,
    Deed.LINK: Actor.link_device,
    Deed.REVOKE: Actor.revoke,
    Deed.SEVER: Actor.sever,
    Deed.RECONNECT: Actor.reconnect,
    Deed.ACCEPT: Actor.accept,
    Deed.APPROVE: Actor.approve,
    Deed.INTRODUCE: Actor.introduce,
    Deed.PROVE: Actor.prove,
}
