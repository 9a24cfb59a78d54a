"""Standing rules: what the owner has decided ahead about one account, applied where it is decided on mail."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import attrs

from taskferry_protocol.gates import rule_fits
from taskferry_protocol.ids import AgentRef, Handle, Hash, Instant, is_name
from taskferry_protocol.limits import DAY_MS
from taskferry_protocol.records import (
    PinnedAccount,
    PutRule,
    RuleRecord,
    RuleUse,
    Trust,
    UseRule,
)

from .bounds import BOUNDS
from .core import Core
from .draft import Draft
from .gate_views import RuleView
from .gates_port import NewRule
from .grants import Wish, changed, welcome
from .identity_changes import stopped
from .names import handle_of, match_prefix, own_agent, parse_prefix, require_owner
from .port import Caller, DaemonRefusal, GrantChange
from .rule_changes import remove_rule, write_down
from .views import GrantView

if TYPE_CHECKING:
    from .connections import LookUp

__all__ = ["Rules", "count_use", "find_rule", "wish_by"]

MOST: Final = BOUNDS.rules
_ALL: Final = "*"


async def find_rule(draft: Draft, peer: AgentRef, mine: str, use: RuleUse) -> RuleRecord | None:
    """The rule that decides on what has come, None where the owner has to. Of several, the oldest.

    One for tasks has some left: so many in any 24 hours.
    """
    store = draft.core.store
    rules = [rule for rule in await store.standing_rules() if rule.account == peer.account]
    if not rules or await stopped(store, (peer.account,)):
        # Whose identity is in question waits for the owner, whatever was decided before.
        return None
    pinned = (await store.accounts((peer.account,))).get(peer.account)
    trust = pinned.trust if pinned is not None else Trust.UNVERIFIED
    fitting = [rule for rule in rules if rule_fits(rule, peer, mine, trust, draft.now)]
    if use is RuleUse.CONNECTION:
        return next(iter(fitting), None)
    used = await store.rule_uses([rule.id for rule in fitting], use, Instant(draft.now - DAY_MS))
    return next((rule for rule in fitting if used[rule.id] < rule.tasks_per_day), None)


def count_use(draft: Draft, rule: RuleRecord, use: RuleUse, subject: Hash, mine: str) -> None:
    """Count what a rule does in this draft, and say it."""
    draft.add(UseRule(rule.id, use, subject, draft.now))
    draft.tell("rule", mine, (), id=rule.id.hex(), did=use.value)


def wish_by(rule: RuleRecord) -> Wish:
    """What a connection that is accepted by a rule may send."""
    members = json.loads(rule.grant)
    if members.get("classes") is not None:
        members["classes"] = tuple(members["classes"])
    return changed(welcome(), GrantChange(**members))


class Rules:
    """Made, listed and ended by the owner."""

    def __init__(self, core: Core, look_up: LookUp) -> None:
        self._core = core
        self._look_up = look_up

    async def listed(self, caller: Caller) -> tuple[RuleView, ...]:
        """Those that were not removed, oldest first."""
        require_owner(caller)
        rules = await self._core.store.standing_rules()
        return await self._views([rule for rule in rules if rule.removed_at is None])

    async def add(self, caller: Caller, new: NewRule) -> RuleView:
        """Make a rule about the account that has the name now. It is bound to that account for ever."""
        require_owner(caller)
        core = self._core
        owner, peer = _read_pattern(new.accept)
        mine = (await own_agent(core, caller, new.agent, "agent")).name if new.agent else ""
        changed(welcome(), new.grant)
        # Who is named exactly may be new here: looked up, and pinned as what it is.
        theirs = await self._look_up(Handle(owner, peer)) if peer else None
        async with core.lock:
            draft = Draft(core)
            if new.until is not None and new.until <= draft.now:
                raise _bad("until", "That time has passed.")
            held = await core.store.standing_rules()
            if sum(1 for rule in held if rule.removed_at is None) >= MOST:
                raise DaemonRefusal(
                    "too-many",
                    f"There are {MOST} rules.",
                    "Remove one with: taskferry rules remove ID",
                    status=409,
                )
            if theirs is not None:
                known = await core.logs.get(theirs.account)
                if known is None or theirs.state.length > known.state.length:
                    draft.take_log(known, theirs)
                account = theirs.account
            else:
                account = (await self._pinned(owner)).record.account
            if account == core.own:
                raise _bad("accept", "The agents of one owner need no rule between them.")
            rule = RuleRecord(
                id=Hash(core.entropy(32)),
                account=account,
                peer=peer,
                mine=mine,
                tasks_per_day=new.tasks_per_day,
                until=new.until,
                grant=json.dumps(attrs.asdict(new.grant), separators=(",", ":")),
                created_at=draft.now,
            )
            draft.add(PutRule(rule))
            draft.tell("rule", "", (), id=rule.id.hex(), did="made")
            await write_down(draft, rule, "made", "owner")
            await draft.commit()
        return await self._view(rule)

    async def _pinned(self, owner: str) -> PinnedAccount:
        pinned = (await self._core.store.accounts_named((owner,))).get(owner)
        if pinned is None or pinned.record.name != owner:
            raise DaemonRefusal(
                "unknown-account",
                f"@{owner} is not known here, and a rule for all agents of an owner needs a known account.",
                f"Name one agent of @{owner}, or connect and verify first.",
                status=404,
                detail={"field": "accept"},
            )
        return pinned

    async def remove(self, caller: Caller, named: str) -> RuleView:
        """End a rule."""
        require_owner(caller)
        core = self._core
        async with core.lock:
            draft = Draft(core)
            held = {rule.id: rule for rule in await core.store.standing_rules() if rule.removed_at is None}
            wanted = parse_prefix(named, "rule")
            id = match_prefix(wanted if isinstance(wanted, str) else wanted.hex(), held, "rule")
            rule = await remove_rule(draft, held[id], "owner")
            await draft.commit()
        return await self._view(rule)

    async def _view(self, rule: RuleRecord) -> RuleView:
        (shown,) = await self._views((rule,))
        return shown

    async def _views(self, rules: Sequence[RuleRecord]) -> tuple[RuleView, ...]:
        store, now = self._core.store, self._core.now()
        pinned = await store.accounts({rule.account for rule in rules})
        used = await store.rule_uses([rule.id for rule in rules], RuleUse.TASK, Instant(now - DAY_MS))
        return tuple(
            [await self._shown(rule, pinned.get(rule.account), used[rule.id], now) for rule in rules]
        )

    async def _shown(
        self, rule: RuleRecord, pinned: PinnedAccount | None, tasks_today: int, now: Instant
    ) -> RuleView:
        core = self._core
        trust = pinned.trust if pinned is not None else Trust.UNVERIFIED
        wish = wish_by(rule)
        return RuleView(
            id=rule.id,
            accept=await handle_of(core, AgentRef(rule.account, rule.peer or _ALL)),
            agent=rule.mine,
            account=rule.account.hex(),
            trust=trust.value,
            tasks_per_day=rule.tasks_per_day,
            tasks_today=tasks_today,
            until=rule.until,
            grant=GrantView(
                version=0,
                classes=tuple(sorted(cls.value for cls in wish.classes)),
                rate_per_minute=wish.rate,
                largest_bytes=wish.largest,
                until=wish.until,
                auto_trigger=wish.auto_trigger,
                human_gate=wish.human_gate,
                task_budget=wish.task_budget,
                largest_artifact=wish.largest_artifact,
            ),
            created_at=rule.created_at,
            used=rule.used,
            waits_for=_waits_for(rule, trust, now),
        )


def _waits_for(rule: RuleRecord, trust: Trust, now: Instant) -> str:
    if rule.removed_at is not None:
        return "nothing: it was removed"
    if rule.until is not None and now >= rule.until:
        return "nothing: its time is over"
    if not rule.peer and trust not in {Trust.VERIFIED, Trust.INVITED}:
        return "its owner to be verified: until then a rule for all agents accepts nobody"
    return ""


def _read_pattern(text: str) -> tuple[str, str]:
    """(owner, agent) of `@owner/agent`, the agent empty for `*`. Raises DaemonRefusal(bad-value)."""
    owner, slash, agent = text.removeprefix("@").partition("/")
    good = text.startswith("@") and slash and is_name(owner) and (agent == _ALL or is_name(agent))
    if not good:
        raise _bad("accept", "A rule accepts @owner/* or @owner/agent: one owner, named in full.")
    return owner, "" if agent == _ALL else agent


def _bad(field: str, text: str) -> DaemonRefusal:
    return DaemonRefusal("bad-value", text, "Mend that value and try again.", detail={"field": field})
