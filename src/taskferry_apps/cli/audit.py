"""`taskferry audit`: what was done, decided and refused, in a log that shows whether somebody changed it."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..amounts import counted, several
from .daemon_link import daemon_options, is_json_wanted, json_option, local_client, print_json
from .groups import Group
from .outcome import CommandFailed, Exit

if TYPE_CHECKING:
    from taskferry_protocol.audit import AuditExport

__all__ = ["audit", "read_export", "show_entries", "show_verdict"]


@click.group(cls=Group)
def audit() -> None:
    """Show, check and export the audit log: grants, decisions, refusals, keys, devices, sign-ins, exports.

    Each entry names the one before it by its hash. Keep an export elsewhere: against it the log shows whether
    anything was changed, taken out or cut off since.

    \b
    Examples:
      taskferry audit list --kind refusal
      taskferry audit export audit.cbor
      taskferry audit verify --against audit.cbor
    """


@audit.command("list")
@click.option("--kind", default="", help="Only entries of this kind, such as grant or refusal.")
@click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True, help="How many at most.")
@click.option("--cursor", default="", help="Where to go on, from an earlier answer.")
@json_option
@daemon_options
def list_entries(kind: str, limit: int, cursor: str) -> None:
    """List the entries in sentences, newest first.

    Each begins with its number and its age. With --json an entry has all its facts, and its ids in full.
    Kinds are: set_up, sign_in, agent_changed, card_changed, connection_asked, connection_accepted,
    connection_declined, connection_revoked, connection_blocked, connection_unblocked, grant,
    permission_changed, approval, denial, refusal, rule_changed, gate_changed, breaker, breaker_changed,
    key_rotated, device_added, device_revoked, device_renamed, recovery_changed, recovered, renamed,
    trust_changed, identity_changed, peer_devices, alarm, credential_made, credential_revoked,
    invite_made, invite_revoked, invite_used, export, manage_key, backup, restored,
    shortened.

    \b
    Examples:
      taskferry audit list --limit 20
      taskferry audit list --kind refusal
    """
    with local_client() as daemon:
        answer = daemon.get("/audit", kind=kind, limit=limit, cursor=cursor)
    if is_json_wanted():
        print_json(answer)
        return
    from ..audit_words import audit_sentence

    show_entries(answer, audit_sentence, kind, older=bool(cursor))


def show_entries(
    answer: Mapping[str, object],
    say: Callable[[str, str, Mapping[str, object]], str],
    kind: str,
    *,
    older: bool,
) -> None:
    """The entries of an answer, each as number, time and the sentence that `say` makes of it.

    Of none it is said what there is none of: of `kind` (all if ""), beyond the cursor where `older` ones were
    asked for.
    """
    from .render import ago, clean, columns
    from .values import object_in, objects

    rows = [
        (
            clean(item.get("n")),
            ago(item.get("at")),
            say(str(item.get("kind")), str(item.get("subject")), object_in(item, "facts")),
        )
        for item in objects(answer, "entries")
    ]
    if not rows:
        what = f"Nothing of the kind {kind}" if kind else "Nothing"
        click.echo(f"{what} {'that is older' if older else ''} is written down.".replace("  ", " "))
        if kind:
            click.echo("Entries of all kinds are listed without --kind.")
        return
    number, when = max(len(row[0]) for row in rows), max(len(row[1]) for row in rows)
    margin, width = number + when + 4, columns()
    for n, at, sentence in rows:
        room = max(24, width - margin) if width is not None else len(sentence) + 1
        first, *more = textwrap.wrap(sentence, room, break_on_hyphens=False) or [""]
        click.echo(f"{click.style(n.rjust(number), dim=True)}  {at.ljust(when)}  {first}")
        for line in more:
            click.echo(" " * margin + line)
    if answer.get("cursor"):
        click.echo(f"\nOlder ones: --cursor {clean(answer.get('cursor'))}")


@audit.command()
@click.option(
    "--against", type=click.Path(path_type=Path), help="An earlier export that the log must still contain."
)
@json_option
@daemon_options
def verify(against: Path | None) -> None:
    """Follow the log from its first entry to its end. Exit code 6 if it does not hold.

    Entries that are too old or too many go in their time. An entry says so, and an export of before has them.
    """
    query: dict[str, str | int] = {}
    if against is not None:
        head = read_export(against).chain.head
        query = {"n": head.n, "hash": head.hash.hex()}
    with local_client() as daemon:
        answer = daemon.get("/audit/verify", **query)
    show_verdict(answer)


def show_verdict(answer: Mapping[str, object]) -> None:
    """Whether a log holds; ends with exit code 6 if it does not."""
    from .render import clean
    from .values import object_in

    if is_json_wanted():
        print_json(answer)
    elif answer.get("holds"):
        head = object_in(answer, "head")
        click.secho("The audit log holds.", fg="green", bold=True)
        click.echo(f"{_extent(answer)}; it ends with {clean(head.get('hash'))}")
        if text := clean(answer.get("text")):
            click.echo(text)
    if not answer.get("holds"):
        if is_json_wanted():
            raise SystemExit(Exit.NOT_VERIFIED)
        text = clean(answer.get("text"))
        raise CommandFailed(f"The audit log does not hold. {text}", Exit.NOT_VERIFIED)


def _extent(answer: Mapping[str, object]) -> str:
    """How many entries a log has, and which, where it does not begin with the first."""
    from .values import object_in

    base, head = object_in(answer, "base").get("n"), object_in(answer, "head").get("n")
    if not isinstance(base, int) or not isinstance(head, int) or not base:
        return several(head, "entry", "entries")
    return f"Entries {base + 1:,} to {head:,}; those before were taken away in their time"


def read_export(path: Path) -> AuditExport:
    """An exported log, checked; a sentence on why not."""
    from taskferry_protocol.audit import EXPORT_BYTES, ChainBroken, read_audit_export
    from taskferry_protocol.errors import RemoteProtocolError

    from .files import bounded_content

    raw = bounded_content(path, EXPORT_BYTES)
    try:
        return read_audit_export(raw)
    except RemoteProtocolError as error:
        raise CommandFailed(f"{path} is no exported audit log ({error.code.value}).", Exit.USAGE) from None
    except ChainBroken as broken:
        raise CommandFailed(f"{path} does not hold itself. {broken}", Exit.NOT_VERIFIED) from None


@audit.command()
@click.argument("file", type=click.Path(path_type=Path))
@json_option
@daemon_options
def export(file: Path) -> None:
    """Write the log to FILE, a new file. Keep it where nobody who can write to this machine can reach it."""
    from .files import save_bytes

    with local_client() as daemon:
        content = daemon.get_bytes("/audit/export")
    save_bytes(file, content)
    chain = read_export(file).chain
    head = chain.head
    if is_json_wanted():
        end = {"n": head.n, "hash": head.hash.hex()}
        print_json({"ok": True, "file": str(file), "base": chain.base.n, **end})
        return
    extent = counted(head.n, "entry", "entries")
    if chain.base.n:
        extent = f"entries {chain.base.n + 1:,} to {head.n:,}"
    click.echo(f"{file}: {extent}, ending with {head.hash.hex()}")
