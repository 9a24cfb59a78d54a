"""The owner's audit log."""

from __future__ import annotations

from typing import Final

from taskferry_protocol.audit import AuditEnd, AuditEntry, AuditKind

from ...port import DaemonService
from ..answers import Object
from ..errors import refusal
from ..fields import Choice, Form, Schema, Text, Whole, optional
from ..kinds import HexHash, time_text
from ..schemas import HASH, NUMBER, TEXT, TIME, many, record
from ..table import Access, Call, Download, Route

__all__ = ["ROUTES"]

_KIND: Final = optional("kind", Choice(tuple(AuditKind)), "Only entries of this kind.", "")
_CURSOR: Final = optional("cursor", Text(32), "Where to go on.", "")
_LIMIT: Final = optional("limit", Whole(1, 200), "How many at most.", 50)
_N: Final = optional("n", Whole(0), "How many entries the log once had, with `hash`.", None)
_HASH: Final = optional("hash", HexHash(), "The hash of the last of them.", None)

_ENTRY: Final[Schema] = record(
    n=NUMBER,
    at=TIME,
    kind=TEXT,
    subject=TEXT,
    facts={"type": "object", "additionalProperties": {"type": ["string", "integer"]}},
    hash=HASH,
)
_END: Final[Schema] = record(n=NUMBER, hash=HASH)


def _entry_object(entry: AuditEntry) -> Object:
    note = entry.note
    return {
        "n": entry.n,
        "at": time_text(note.at),
        "kind": note.kind,
        "subject": note.subject,
        "facts": dict(note.facts),
        "hash": entry.end.hash.hex(),
    }


def _end_object(end: AuditEnd) -> Object:
    return {"n": end.n, "hash": end.hash.hex()}


async def _list(daemon: DaemonService, call: Call) -> Object:
    query = call.query
    found = await daemon.audit.entries(call.known_caller, query[_KIND], query[_CURSOR], query[_LIMIT])
    entries = [_entry_object(entry) for entry in found.entries]
    return {"entries": entries, "cursor": found.cursor, "more": bool(found.cursor)}


async def _verify(daemon: DaemonService, call: Call) -> Object:
    n, hash = call.query[_N], call.query[_HASH]
    if (n is None) != (hash is None):
        missing = "n" if n is None else "hash"
        raise refusal("missing-field", f"{missing} is missing.", "Give n and hash together.", field=missing)
    expected = AuditEnd(n, hash) if n is not None and hash is not None else None
    verdict = await daemon.audit.verify(call.known_caller, expected)
    return {
        "holds": verdict.broken_at is None,
        "base": _end_object(verdict.chain.base),
        "head": _end_object(verdict.chain.head),
        "broken_at": verdict.broken_at,
        "text": verdict.text,
    }


async def _export(daemon: DaemonService, call: Call) -> Download:
    return Download(await daemon.audit.export(call.known_caller), "audit.cbor")


ROUTES: Final = (
    Route(
        method="GET",
        path="/audit",
        name="list_audit",
        about="What was done, decided and refused, newest first.",
        handler=_list,
        answer=record(entries=many(_ENTRY), cursor=TEXT, more={"type": "boolean"}),
        access=Access.OWNER,
        query=Form.of(_KIND, _CURSOR, _LIMIT),
    ),
    Route(
        method="GET",
        path="/audit/verify",
        name="verify_audit",
        about="Follow the audit log from its first entry; with n and hash, compare it with an earlier end.",
        handler=_verify,
        answer=record(
            holds={"type": "boolean"},
            base=_END,
            head=_END,
            broken_at={"type": ["integer", "null"]},
            text=TEXT,
        ),
        access=Access.OWNER,
        query=Form.of(_N, _HASH),
    ),
    Route(
        method="GET",
        path="/audit/export",
        name="export_audit",
        about="The audit log as one file that can be checked by itself.",
        handler=_export,
        answer={"type": "string", "format": "binary"},
        access=Access.OWNER,
        media="application/octet-stream",
    ),
)
