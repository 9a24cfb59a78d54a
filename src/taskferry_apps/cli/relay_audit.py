"""`taskferry relay audit`: the operator's log, read from the relay's file, whether or not the relay runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..amounts import counted
from .audit import read_export, show_entries, show_verdict
from .daemon_link import is_json_wanted, json_option, print_json
from .groups import Group
from .outcome import CommandFailed, Exit

if TYPE_CHECKING:
    from taskferry_protocol.audit import AuditChain, AuditEntry
    from taskferry_stores.sqlite import PeekedStore

__all__ = ["audit"]

_PAGE = 1_000
_GONE = "Nothing of the export is kept any more: its time was over."
_DB = click.option("--db", help="The relay's SQLite file.  [default: as the relay has it]")


@click.group(cls=Group)
def audit() -> None:
    """Show, check and export what happened at this relay: accounts, devices, refusals, holds, evidence.

    It is read from the relay's file, beside a running relay too. No payload is in it. Entries older than 400
    days, and those beyond the newest 200,000, are taken away.

    \b
    Examples:
      taskferry relay audit list --db /var/lib/taskferry/relay.db --kind refusal
      taskferry relay audit export relay-audit.cbor
      taskferry relay audit verify --against relay-audit.cbor
    """


@contextmanager
def _opened(db: str | None) -> Iterator[PeekedStore]:
    from taskferry_stores.port import StoreError
    from taskferry_stores.sqlite import peek_relay

    from ..settings import SettingsError, load_relay

    held = click.get_current_context().ensure_object(dict)
    named = {"db": db} if db is not None else {"db": (held.get("relay_flags") or {}).get("db")}
    try:
        settings = load_relay(named, os.environ, held.get("relay_config"))
    except SettingsError as error:
        raise CommandFailed(str(error), Exit.USAGE) from None
    try:
        with peek_relay(settings.database) as file:
            yield file
    except StoreError as error:
        raise CommandFailed(str(error), Exit.TROUBLE) from None


@audit.command("list")
@_DB
@click.option("--kind", default="", help="Only entries of this kind, such as refusal or account_taken.")
@click.option(
    "--limit", type=click.IntRange(1, 1_000), default=50, show_default=True, help="How many at most."
)
@click.option("--cursor", type=click.IntRange(1), help="Where to go on, from an earlier answer.")
@json_option
def list_entries(db: str | None, kind: str, limit: int, cursor: int | None) -> None:
    """List the entries in sentences, newest first; with --json, all their facts.

    Kinds are: started, restored, account_taken, name_claimed, device_added, device_revoked,
    recovery_changed, recovered, sign_in, refusal, account_held, hold_lifted, suspended, released, evidence,
    ticket_made, ticket_used, ticket_revoked, mail_failed, operator_sign_in.
    """
    from taskferry_protocol.audit import RelayAuditKind, read_entry
    from taskferry_protocol.errors import RemoteProtocolError
    from taskferry_protocol.records import Order, Place

    if kind and kind not in set(RelayAuditKind):
        raise click.BadParameter(f"{kind!r} is none of {', '.join(RelayAuditKind)}", param_hint="--kind")
    after = Place(cursor) if cursor is not None else None
    with _opened(db) as file:
        page = file.audit_rows(kind or None, after, limit, Order.NEWEST_FIRST)
    try:
        entries = [_object(read_entry(row.raw)) for row in page.items]
    except RemoteProtocolError:
        raise CommandFailed(
            "An entry cannot be read: somebody has changed it. See: taskferry relay audit verify",
            Exit.NOT_VERIFIED,
        ) from None
    following = str(page.next) if page.next is not None else ""
    answer = {"entries": entries, "cursor": following, "more": bool(following)}
    if is_json_wanted():
        print_json(answer)
        return
    from .relay_audit_words import relay_sentence

    show_entries(answer, relay_sentence, kind, older=cursor is not None)


def _object(entry: AuditEntry) -> dict[str, object]:
    from datetime import UTC, datetime

    note = entry.note
    at = datetime.fromtimestamp(note.at / 1000, UTC).isoformat(timespec="milliseconds")
    return {
        "n": entry.n,
        "at": at.replace("+00:00", "Z"),
        "kind": note.kind,
        "subject": note.subject,
        "facts": dict(note.facts),
        "hash": entry.end.hash.hex(),
    }


@audit.command()
@_DB
@click.option(
    "--against", type=click.Path(path_type=Path), help="An earlier export that the log must still contain."
)
@json_option
def verify(db: str | None, against: Path | None) -> None:
    """Follow the log from its first entry to its end. Exit code 6 if it does not hold."""
    from taskferry_protocol.audit import ChainBroken, follow, require_kept
    from taskferry_protocol.ids import Instant

    from ..relay.audit import KEPT, KEPT_MS
    from ..system import now

    earlier = read_export(against) if against is not None else None
    broken: ChainBroken | None = None
    with _opened(db) as file:
        chain = file.audit_chain()
        expected = earlier.chain.head if earlier is not None else None
        # Where the log begins after the export's end there is nothing to compare; whether it was due is.
        is_gone = expected is not None and expected.n < chain.base.n
        try:
            for _ in follow(chain, _rows(file, chain), None if is_gone else expected, still=True):
                pass
            if earlier is not None:
                require_kept(chain, earlier, Instant(max(0, now() - KEPT_MS)), KEPT)
        except ChainBroken as found:
            broken = found
    show_verdict(
        {
            "holds": broken is None,
            "base": {"n": chain.base.n, "hash": chain.base.hash.hex()},
            "head": {"n": chain.head.n, "hash": chain.head.hash.hex()},
            "broken_at": broken.n if broken is not None else None,
            "text": str(broken) if broken is not None else _GONE if is_gone else "",
        }
    )


def _rows(file: PeekedStore, chain: AuditChain) -> Iterator[tuple[bytes, str, int]]:
    from taskferry_protocol.records import Order, Place

    after: Place | None = Place(chain.base.n)
    while after is not None:
        page = file.audit_rows(None, after, _PAGE, Order.OLDEST_FIRST)
        for row in page.items:
            yield row.raw, row.kind, row.place
        after = page.next


@audit.command()
@_DB
@click.argument("file", type=click.Path(path_type=Path))
@json_option
def export(db: str | None, file: Path) -> None:
    """Write the log to FILE, a new file. Keep it where nobody who can write to this machine can reach it."""
    from taskferry_protocol.audit import ChainBroken, export_newest, follow

    from ..system import now
    from .files import save_bytes

    with _opened(db) as held:
        chain = held.audit_chain()
        try:
            entries = list(follow(chain, _rows(held, chain), still=True))
        except ChainBroken as broken:
            text = f"The audit log does not hold. {broken}"
            raise CommandFailed(text, Exit.NOT_VERIFIED) from None
    save_bytes(file, export_newest("relay", now(), chain, entries))
    if is_json_wanted():
        print_json({"ok": True, "file": str(file), "n": chain.head.n, "hash": chain.head.hash.hex()})
        return
    click.echo(f"{file}: {counted(len(entries), 'entry', 'entries')}, ending with {chain.head.hash.hex()}")
