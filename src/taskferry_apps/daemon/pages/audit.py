"""`/dashboard/audit`: what was done, decided and refused, in sentences; whether it holds; its export."""

from __future__ import annotations

from typing import Final

import attrs
from quart import Response, request

from taskferry_protocol.audit import AuditEntry, AuditKind
from taskferry_protocol.ids import Instant

from ...audit_words import audit_sentence
from .desk import Desk
from .owner import OWNER
from .page import Needs, Page
from .paging import further

__all__ = ["PAGES"]

_PLACE: Final = "/dashboard/audit"
_SHOWN: Final = 50
_SUBJECT_CHARS: Final = 100
#: Kinds by what an owner looks for; every kind stands in one of them.
_GROUPS: Final = (
    (
        "Connections",
        (
            AuditKind.CONNECTION_ASKED,
            AuditKind.CONNECTION_ACCEPTED,
            AuditKind.CONNECTION_DECLINED,
            AuditKind.CONNECTION_REVOKED,
            AuditKind.CONNECTION_BLOCKED,
            AuditKind.CONNECTION_UNBLOCKED,
            AuditKind.CONNECTION_REGAINED,
            AuditKind.INVITE_MADE,
            AuditKind.INVITE_REVOKED,
            AuditKind.INVITE_USED,
        ),
    ),
    (
        "Decisions",
        (
            AuditKind.GRANT,
            AuditKind.PERMISSION_CHANGED,
            AuditKind.APPROVAL,
            AuditKind.DENIAL,
            AuditKind.REFUSAL,
            AuditKind.RULE_CHANGED,
            AuditKind.GATE_CHANGED,
            AuditKind.BREAKER,
            AuditKind.BREAKER_CHANGED,
        ),
    ),
    (
        "Identities and keys",
        (
            AuditKind.ALARM,
            AuditKind.TRUST_CHANGED,
            AuditKind.IDENTITY_CHANGED,
            AuditKind.PEER_DEVICES,
            AuditKind.KEY_ROTATED,
            AuditKind.MANAGE_KEY,
            AuditKind.RECOVERY_CHANGED,
            AuditKind.RECOVERED,
            AuditKind.RENAMED,
        ),
    ),
    (
        "This account and its machines",
        (
            AuditKind.SET_UP,
            AuditKind.SIGN_IN,
            AuditKind.AGENT_CHANGED,
            AuditKind.CARD_CHANGED,
            AuditKind.DEVICE_ADDED,
            AuditKind.DEVICE_REVOKED,
            AuditKind.DEVICE_RENAMED,
            AuditKind.CREDENTIAL_MADE,
            AuditKind.CREDENTIAL_REVOKED,
            AuditKind.EXPORT,
            AuditKind.BACKUP,
            AuditKind.RESTORED,
            AuditKind.SHORTENED,
        ),
    ),
)


@attrs.frozen
class _Line:
    """An entry as it is shown."""

    n: int
    at: Instant
    kind: str
    sentence: str


async def _list(desk: Desk) -> Response:
    visitor = await desk.visit()
    kind = request.args.get("kind", "")
    subject = request.args.get("subject", "").strip()[:_SUBJECT_CHARS]
    if kind not in set(AuditKind):
        kind = ""
    page = await desk.daemon.audit.entries(OWNER, kind, request.args.get("cursor", ""), _SHOWN, subject)
    return await desk.show(
        "audit.html",
        visitor,
        lines=[_line(entry) for entry in page.entries],
        groups=_GROUPS,
        kind=kind,
        subject=subject,
        further=further(_PLACE, {"kind": kind, "subject": subject}, page.cursor),
        begun=bool(request.args.get("cursor")),
    )


def _line(entry: AuditEntry) -> _Line:
    note = entry.note
    return _Line(entry.n, note.at, note.kind, audit_sentence(note.kind, note.subject, dict(note.facts)))


async def _check(desk: Desk) -> Response:
    visitor = await desk.visit()
    if request.headers.get("HX-Request") == "true":
        # What was found stays as it was found: a page that follows the daemon does not look again by itself.
        return Response("", 204)
    verdict = await desk.daemon.audit.verify(OWNER, None)
    return await desk.show("audit_check.html", visitor, verdict=verdict)


async def _export(desk: Desk) -> Response:
    await desk.press()
    response = Response(await desk.daemon.audit.export(OWNER), content_type="application/octet-stream")
    response.headers["Content-Disposition"] = 'attachment; filename="taskferry-audit.cbor"'
    return response


PAGES: Final = (
    Page("GET", _PLACE, _list, Needs.NOTHING),
    Page("GET", f"{_PLACE}/check", _check, Needs.NOTHING),
    Page("POST", f"{_PLACE}/export", _export, Needs.NOTHING),
)
