"""`taskferry audit`: what was done, decided and refused, in a log that shows whether somebody changed it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .daemon_link import daemon_options, is_json_wanted, json_option, local_client, print_json
from .outcome import CommandFailed, Exit

if TYPE_CHECKING:
    from taskferry_protocol.audit import AuditExport

__all__ = ["audit", "read_export", "show_entries", "show_verdict"]


@click.group()
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
    """List the entries, newest first."""
    with local_client() as daemon:
        answer = daemon.get("/audit", kind=kind, limit=limit, cursor=cursor)
    if is_json_wanted():
        print_json(answer)
        return
    show_entries(answer)


def show_entries(answer: Mapping[str, object]) -> None:
    """The entries of an answer as a table."""
    from .render import ago, clean, table
    from .values import object_in, objects

    table(
        ["n", "when", "kind", "about", "note"],
        (
            [
                clean(item.get("n")),
                ago(item.get("at")),
                clean(item.get("kind")),
                clean(item.get("subject")),
                clean(", ".join(f"{name}={value}" for name, value in object_in(item, "facts").items())),
            ]
            for item in objects(answer, "entries")
        ),
        empty="Nothing is written down yet.",
    )
    if answer.get("cursor"):
        click.echo(f"More with --cursor {clean(answer.get('cursor'))}")


@audit.command()
@click.option(
    "--against", type=click.Path(path_type=Path), help="An earlier export that the log must still contain."
)
@json_option
@daemon_options
def verify(against: Path | None) -> None:
    """Follow the log from its first entry to its end. Exit code 6 if it does not hold."""
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
        click.echo(f"{clean(head.get('n'))} entries; it ends with {clean(head.get('hash'))}")
    if not answer.get("holds"):
        if is_json_wanted():
            raise SystemExit(Exit.NOT_VERIFIED)
        text = clean(answer.get("text"))
        raise CommandFailed(f"The audit log does not hold. {text}", Exit.NOT_VERIFIED)


def read_export(path: Path) -> AuditExport:
    """An exported log, checked; a sentence on why not."""
    from taskferry_protocol.audit import ChainBroken, read_audit_export
    from taskferry_protocol.errors import RemoteProtocolError

    try:
        raw = path.read_bytes()
    except OSError as error:
        raise CommandFailed(f"{path} cannot be read: {error.strerror}.", Exit.USAGE) from None
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
    head = read_export(file).chain.head
    if is_json_wanted():
        print_json({"ok": True, "file": str(file), "n": head.n, "hash": head.hash.hex()})
        return
    click.echo(f"{file}: {head.n} entries, ending with {head.hash.hex()}")
