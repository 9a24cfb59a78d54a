"""Standing rules that are made or end, and what is written down of it."""

from __future__ import annotations

import attrs

from taskferry_protocol.audit import AuditKind, Fact
from taskferry_protocol.ids import AgentRef
from taskferry_protocol.records import PutRule, RuleRecord

from .draft import Draft
from .names import handle_of

__all__ = ["remove_rule", "write_down"]

_ALL = "*"


async def remove_rule(draft: Draft, rule: RuleRecord, by: str) -> RuleRecord:
    """End a rule in this draft, and write down what ended it."""
    removed = attrs.evolve(rule, removed_at=draft.now)
    draft.add(PutRule(removed))
    draft.tell("rule", "", (), id=rule.id.hex(), did="removed")
    await write_down(draft, removed, "removed", by)
    return removed


async def write_down(draft: Draft, rule: RuleRecord, did: str, by: str) -> None:
    """What was done with a rule, and by whom, for the audit log."""
    whom = await handle_of(draft.core, AgentRef(rule.account, rule.peer or _ALL))
    facts: dict[str, Fact] = {"did": did, "tasks_per_day": rule.tasks_per_day, "by": by}
    if rule.until is not None:
        facts["until"] = rule.until
    draft.audit(AuditKind.RULE_CHANGED, whom, rule=rule.id.hex()[:16], mine=rule.mine, **facts)
