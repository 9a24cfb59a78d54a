"""The daemon looks at itself: link, clock, log, queues, quarantine, alarms, database, audit log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskferry_protocol.ids import Instant
from taskferry_protocol.limits import DAY_MS, MINUTE_MS, SKEW_MS

from ..amounts import counted
from ..transport_words import transport_word
from .alarms import alarms
from .audit import AuditBook
from .audit_keeping import due_soon
from .breakers import tripped_breakers
from .core import Core
from .doctor_port import Finding, Level
from .draft import LIFETIME_MS
from .identity_changes import changed_owners
from .link import Link
from .names import require_owner
from .port import Caller, DaemonRefusal
from .wake_store import load_wakes

if TYPE_CHECKING:
    from ..telemetry.exporter import Exporter

__all__ = ["Doctor"]

#: A clock that is further off than this is worth a word; beyond `SKEW_MS` others refuse what it signs.
CLOCK_WORTH_MS: Final = 30_000
#: What has waited longer than this, while the relay is reached, waits for something else.
WAITED_MS: Final = 10 * MINUTE_MS
#: An alarm clock for mail: after half its life somebody should look.
OLD_MS: Final = LIFETIME_MS // 2


class Doctor:
    """Looks at one daemon."""

    def __init__(self, core: Core, link: Link, audit: AuditBook) -> None:
        self._core = core
        self._link = link
        self._audit = audit
        self.exporter: Exporter | None = None
        """What sends spans and numbers away, if the owner wants that."""

    async def examine(self, caller: Caller) -> tuple[Finding, ...]:
        """Everything that can be seen from inside."""
        require_owner(caller)
        found = [await self._account()]
        if self._core.account is not None:
            found += [await self._relay(), self._clock(), await self._log(), await self._outbox()]
            found += [
                await self._quarantine(),
                await self._breakers(),
                await self._identities(),
                await self._wakes(),
            ]
        found += [await self._alarms(), await self._database(), await self._audit_log(caller)]
        if self.exporter is not None:
            found.append(_telemetry(self.exporter))
        return tuple(found)

    async def _account(self) -> Finding:
        if self._core.account is None:
            why = self._core.not_set_up()
            return Finding("account", Level.FAIL, why.message, why.next_step)
        log = await self._core.own_log()
        devices = counted(len(log.state.active_devices()), "device", "devices")
        agents = counted(len(log.state.agents), "agent", "agents")
        return Finding("account", Level.OK, f"@{log.state.name}, {devices}, {agents}")

    async def _relay(self) -> Finding:
        status = await self._link.status()
        if status.connected:
            text = f"{status.url}, connected by {transport_word(status.transport)}"
            if status.notice:
                return Finding(
                    "relay", Level.WARN, f"{text}. {status.notice}", "It works; it is only slower."
                )
            return Finding("relay", Level.OK, text)
        why = status.last_error or "no connection yet"
        remedy = "What you send waits here and goes out later. Check the relay's address and your network."
        if self._link.refused is not None:
            remedy = f"The relay refuses the session ({self._link.refused.value}). See: taskferry status"
        return Finding("relay", Level.FAIL, f"{status.url}: {why}", remedy)

    def _clock(self) -> Finding:
        ahead = self._core.clock.ahead_ms
        if ahead is None:
            return Finding("clock", Level.WARN, "Nothing to compare with until the relay is reached.")
        off = abs(ahead)
        side = "ahead of" if ahead > 0 else "behind"
        text = f"{off / 1000:.1f} s {side} the relay's"
        if off >= SKEW_MS:
            return Finding(
                "clock",
                Level.FAIL,
                text,
                "Others refuse what is signed so far off. Set this machine's clock; if it is right, the "
                "relay's is wrong: tell who runs it.",
            )
        if off >= CLOCK_WORTH_MS:
            return Finding("clock", Level.WARN, text, "Let the system set its clock by the network (NTP).")
        return Finding("clock", Level.OK, text)

    async def _log(self) -> Finding:
        own = (await self._core.own_log()).state
        statements = counted(own.length, "statement", "statements")
        if not self._link.connected:
            return Finding("account log", Level.WARN, f"{statements}; the relay's copy was not compared.")
        try:
            shown = await self._link.fetch(own.account, own.length - 1)
        except DaemonRefusal as refused:
            return Finding("account log", Level.WARN, refused.message, "Look again in a moment.")
        log = await self._core.own_log()
        if list(shown) == list(log.statements[own.length - 1 :]):
            return Finding("account log", Level.OK, f"{statements}, and the relay has the same")
        if not shown:
            return Finding(
                "account log",
                Level.WARN,
                "The relay does not have all of it yet.",
                "Wait a moment; it is sent by itself.",
            )
        if shown[0] == log.statements[own.length - 1]:
            text = "Another device of yours has added to it; this one takes it in at its next session."
            return Finding("account log", Level.WARN, text)
        return Finding(
            "account log",
            Level.FAIL,
            "The relay shows another history of your account than the one held here.",
            "Somebody may have your keys, or the relay lies. Compare the devices on all your machines.",
        )

    async def _outbox(self) -> Finding:
        stats, now = await self._core.store.stats(), self._core.now()
        if stats.waiting_until is None:
            there = counted(stats.outbox_relayed, "waits", "wait")
            return Finding("outbox", Level.OK, f"nothing waits here; {there} at the relay")
        age = max(0, now - (stats.waiting_until - LIFETIME_MS))
        text = f"{counted(stats.outbox_waiting, 'waits', 'wait')} here, the oldest for {_words(Instant(age))}"
        if age >= OLD_MS:
            return Finding(
                "outbox", Level.FAIL, text, "They expire after 14 days. See: taskferry message list"
            )
        if age >= WAITED_MS and self._link.connected:
            return Finding("outbox", Level.WARN, text, "The code of each says why: taskferry message list")
        return Finding("outbox", Level.OK, text)

    async def _wakes(self) -> Finding:
        hooks = await load_wakes(self._core)
        failing = [hook for hook in hooks if hook.failure]
        if not failing:
            return Finding("wakes", Level.OK, f"{len(hooks)}, none in trouble" if hooks else "none")
        first = failing[0]
        count = f"{len(failing)} of {len(hooks)} did not get through"
        text = f"{count}; {first.kind} for {first.agent}: {first.failure}"
        return Finding("wakes", Level.WARN, text, "See each, and try it again: taskferry wake list")

    async def _quarantine(self) -> Finding:
        count = (await self._core.store.stats()).quarantined
        if not count:
            return Finding("quarantine", Level.OK, "empty")
        text = f"{counted(count, 'item was', 'items were')} received and had no effect"
        return Finding("quarantine", Level.WARN, text, "See: taskferry quarantine")

    async def _breakers(self) -> Finding:
        stopped = await tripped_breakers(self._core)
        if not stopped:
            return Finding("breakers", Level.OK, "none has tripped")
        held = sum(breaker.held for breaker in stopped)
        pairs = counted(len(stopped), "pair", "pairs") + " of agents"
        return Finding(
            "breakers",
            Level.WARN,
            f"{counted(held, 'item is', 'items are')} held between {pairs}, or sending was refused",
            "Decide about them: taskferry approvals",
        )

    async def _identities(self) -> Finding:
        changed = await changed_owners(self._core.store)
        if not changed:
            return Finding("identities", Level.OK, "no peer's identity is in question")
        return Finding(
            "identities",
            Level.FAIL,
            f"In question: {', '.join(changed)}; nothing is sent to them.",
            f"Decide about each: taskferry peer show {changed[0]}",
        )

    async def _alarms(self) -> Finding:
        standing = await alarms(self._core.store)
        if not standing:
            return Finding("alarms", Level.OK, "none")
        return Finding(
            "alarms", Level.FAIL, " ".join(standing), "Look into it, then dismiss it: taskferry alarms list"
        )

    async def _database(self) -> Finding:
        report = await self._core.store.examine()
        if report.verdict != "ok":
            return Finding(
                "database", Level.FAIL, f"It is damaged: {report.verdict}.", "Stop, and restore a backup."
            )
        text = f"sound, schema {report.version}, {report.size / 1_000_000:.1f} MB"
        return Finding("database", Level.OK, text)

    async def _audit_log(self, caller: Caller) -> Finding:
        verdict = await self._audit.verify(caller, None)
        if verdict.broken_at is None:
            chain = verdict.chain
            entries = counted(chain.head.n - chain.base.n, "entry", "entries")
            text = f"holds, {entries}" + (f" from {chain.base.n + 1:,} on" if chain.base.n else "")
            if going := await due_soon(self._core, chain):
                keep = "Keep them elsewhere: taskferry audit export FILE"
                return Finding("audit log", Level.WARN, f"{text}; {going}", keep)
            return Finding("audit log", Level.OK, text)
        return Finding(
            "audit log",
            Level.FAIL,
            f"It does not hold. {verdict.text}",
            "Somebody, or a fault, has changed the database. Compare with an export: taskferry audit verify",
        )


def _telemetry(exporter: Exporter) -> Finding:
    text = (
        f"{exporter.spans.sent} spans and {exporter.numbers.sent} sets of numbers went to {exporter.url}; "
        f"{exporter.dropped} spans are lost"
    )
    for standing in (exporter.spans, exporter.numbers):
        if standing.failure:
            text = f"{text}. The latest {standing.kind} were not taken: {standing.failure}"
            return Finding(
                "telemetry", Level.WARN, text, "See the collector at TASKFERRY_CLIENT_OTEL_ENDPOINT."
            )
    return Finding("telemetry", Level.OK, text)


def _words(ms: Instant) -> str:
    if ms < MINUTE_MS:
        return f"{ms // 1000} s"
    if ms < 2 * 60 * MINUTE_MS:
        return f"{ms // MINUTE_MS} min"
    return f"{ms // (60 * MINUTE_MS)} h" if ms < 2 * DAY_MS else f"{ms // DAY_MS} d"
