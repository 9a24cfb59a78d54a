"""What is written down about connections and grants: who with whom, by whom, and the terms of a grant."""

from __future__ import annotations

from taskferry_protocol.audit import AuditKind, Fact
from taskferry_protocol.connections import EndKind
from taskferry_protocol.ids import AgentRef, sha256
from taskferry_protocol.permissions import read_terms, recall_grant
from taskferry_protocol.records import AppendStatements, GrantRecord, PeerConnection

from .audit_hours import audit_often
from .draft import Draft
from .names import handle_of

__all__ = ["audit_copied_step", "audit_peer_step", "audit_step", "ended_kind", "grant_facts", "handle_in"]


def ended_kind(kind: EndKind) -> AuditKind:
    """The entry of an end."""
    match kind:
        case EndKind.DECLINED:
            return AuditKind.CONNECTION_DECLINED
        case EndKind.REVOKED:
            return AuditKind.CONNECTION_REVOKED
        case EndKind.BLOCKED:
            return AuditKind.CONNECTION_BLOCKED


def grant_facts(grant: GrantRecord) -> dict[str, Fact]:
    """What a grant allows."""
    signed = recall_grant(grant.raw)
    terms = read_terms(grant.terms, sha256(grant.terms))
    facts: dict[str, Fact] = {
        "version": signed.version,
        "classes": " ".join(sorted(cls.value for cls in signed.classes)),
        "rate_per_minute": signed.rate,
        "largest_bytes": signed.largest,
        "auto_trigger": _word(terms.auto_trigger),
        "human_gate": _word(terms.human_gate),
        "task_budget": terms.task_budget,
        "largest_artifact": terms.largest_artifact,
    }
    return facts if signed.until is None else {**facts, "until": signed.until}


def _word(flag: object) -> str:
    return "yes" if flag else "no"


async def handle_in(draft: Draft, agent: AgentRef) -> str:
    """`@owner/agent`, also of an account that this very draft makes known."""
    for change in draft.changes:
        if isinstance(change, AppendStatements) and change.account == agent.account:
            return f"@{change.name}/{agent.name}"
    return await handle_of(draft.core, agent)


async def audit_step(draft: Draft, kind: AuditKind, record: PeerConnection, **facts: Fact) -> None:
    """Something that this side did."""
    subject = await handle_in(draft, record.peer)
    draft.audit(kind, subject, **_about(record), **facts)


async def audit_peer_step(draft: Draft, kind: AuditKind, record: PeerConnection, **facts: Fact) -> None:
    """Something that the peer did."""
    subject = await handle_in(draft, record.peer)
    await audit_often(draft, kind, subject, **_about(record), by="peer", **facts)


async def audit_copied_step(draft: Draft, kind: AuditKind, record: PeerConnection, **facts: Fact) -> None:
    """Something that another device of this owner did."""
    subject = await handle_in(draft, record.peer)
    await audit_often(draft, kind, subject, **_about(record), by="another device", **facts)


def _about(record: PeerConnection) -> dict[str, Fact]:
    return {"mine": record.mine.name, "connection": record.request.hex()[:16]}
