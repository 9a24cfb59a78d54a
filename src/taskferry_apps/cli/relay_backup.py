"""`taskferry relay backup`, `restore`, `check` and `vacuum`: an operator's care for the database."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from ..amounts import counted
from .daemon_link import is_json_wanted, json_option, print_json
from .outcome import CommandFailed, Exit
from .relay_store import relay_settings

if TYPE_CHECKING:
    from taskferry_stores.sqlite import Manifest

    from ..relay.soundness import Soundness

__all__ = ["backup", "check", "restore", "vacuum"]

_GENERATION_BYTES: Final = 16
#: A compacted copy is made beside the database before it takes its place.
_ROOM: Final = 2


@contextmanager
def _bar(label: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on a terminal, told what is done and what there is; nothing elsewhere."""
    if not sys.stderr.isatty() or is_json_wanted():
        yield lambda _, __: None
        return
    with click.progressbar(length=1, label=label, file=sys.stderr) as bar:

        def show(done: int, all_of_it: int) -> None:
            bar.length = max(1, all_of_it)
            bar.update(done - bar.pos)

        yield show


@contextmanager
def _store_errors() -> Iterator[None]:
    from taskferry_stores.port import StoreCorrupt, StoreError

    try:
        yield
    except StoreCorrupt as error:
        raise CommandFailed(str(error), Exit.NOT_VERIFIED) from None
    except StoreError as error:
        raise CommandFailed(str(error), Exit.TROUBLE) from None


def _database() -> Path:
    database = relay_settings().database
    if not database.exists():
        raise CommandFailed(
            f"There is no database at {database}. Name the relay's with --db, right after the word `relay`.",
            Exit.NOT_FOUND,
        )
    return database


def _time(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _shown(manifest: Manifest) -> dict[str, object]:
    return {
        "taken_at": _time(manifest.taken_at),
        "schema": manifest.schema,
        "generation": manifest.generation.hex(),
        "size": manifest.size,
        "sha256": manifest.sha256.hex(),
    }


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@json_option
def backup(file: Path) -> None:
    """Copy the relay's database to FILE, a new file, while the relay works on or without it.

    The copy is one moment of it, is looked at, and appears when it is whole; FILE.manifest.json beside it
    says its size, schema, generation and SHA-256. Keep both together, on another machine.

    \b
    Examples:
      taskferry relay backup /backup/relay-monday.db
      taskferry relay --db /srv/relay.db backup /backup/relay.db --json
    """
    from taskferry_stores.sqlite import back_up_relay, manifest_path

    from ..system import now

    database = _database()
    with _store_errors(), _bar("Copying") as progress:
        made = back_up_relay(database, file, now(), progress)
    if is_json_wanted():
        print_json({"file": str(file), "manifest": str(manifest_path(file)), **_shown(made)})
        return
    click.echo(f"{file}: {made.size:,} bytes, schema {made.schema}.")
    click.echo(f"Its manifest: {manifest_path(file)}")
    words = ["taskferry", "relay", "--db", str(database), "restore", str(file), "--replace"]
    click.echo(f"To put it back, with the relay stopped:\n  {shlex.join(words)}")


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option("--replace", is_flag=True, help="The database that is there gives way; it is kept beside.")
@json_option
def restore(file: Path, replace: bool) -> None:
    """Put the backup FILE in the place of the relay's database. The relay has to be stopped.

    The backup is checked first. Its mailboxes begin a new generation: daemons read them again, and senders
    offer again whatever they know no delivery of, so what was lost since comes back from them.

    \b
    Examples:
      taskferry relay restore /backup/relay-monday.db
      taskferry relay --db /srv/relay.db restore /backup/relay.db --replace
    """
    from taskferry_protocol.audit import RelayAuditKind, audit_note
    from taskferry_protocol.records import Generation
    from taskferry_stores.sqlite import read_manifest, restore_relay

    from ..system import entropy, now

    database = relay_settings().database
    if database.exists() and not replace:
        raise CommandFailed(
            f"There is a database at {database}. With --replace it gives way, and is kept beside.",
            Exit.USAGE,
        )
    at = now()
    aside = database.with_name(f"{database.name}.replaced-{at}")
    note = audit_note(RelayAuditKind.RESTORED, "database", {"from": "a backup"}, at)
    with _store_errors(), _bar("Putting back") as progress:
        manifest = read_manifest(file)
        held = restore_relay(file, database, Generation(entropy(_GENERATION_BYTES)), note, aside, progress)
    if is_json_wanted():
        answer: dict[str, object] = {"database": str(database), "kept": str(aside) if held else None}
        print_json(answer | {"manifest": _shown(manifest) if manifest is not None else None})
        return
    when = f" as it was at {_time(manifest.taken_at)}" if manifest is not None else ", without a manifest"
    click.echo(f"{database}: put back{when}.")
    if held:
        click.echo(f"What was there is kept: {aside}")
    click.echo("Start the relay as always; daemons offer again what it does not know. Then have a look at")
    click.echo("tickets, suspensions and names, which are as they were when the backup was taken.")


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True), required=False)
@json_option
def check(file: Path | None) -> None:
    """Read all of the relay's database, or of the backup FILE, and say whether it is sound.

    Looked at are the file, its schema, every account's log with its signatures, whatever else was signed,
    mailboxes and their cursors, and the audit log; of a backup its manifest, too. Nothing is written to it.
    What a relay of the first two schemas wrote is looked at in a copy that is brought up to date, which is
    removed afterwards.
    Exit code 6 where something is wrong.

    \b
    Examples:
      taskferry relay check
      taskferry relay check /backup/relay-monday.db
    """
    from taskferry_stores.sqlite import verify_manifest

    path = file or _database()
    manifest = None
    with _store_errors():
        if file is not None:
            with _bar("Comparing with the manifest") as progress:
                manifest = verify_manifest(file, progress)
        seen = _looked_at(path)
    _show_check(path, seen, manifest, of_backup=file is not None)
    if seen.faults:
        raise SystemExit(Exit.NOT_VERIFIED)


def _looked_at(path: Path) -> Soundness:
    from tempfile import TemporaryDirectory

    import attrs

    from taskferry_stores.sqlite import AUDITED_SCHEMA, peek_relay, peek_upgraded_relay, relay_schema

    from ..relay.soundness import look_at

    schema = relay_schema(path)
    if schema >= AUDITED_SCHEMA:
        with peek_relay(path) as store:
            return look_at(store, lambda _: None)
    with (
        TemporaryDirectory(prefix="taskferry-check-") as scratch,
        peek_upgraded_relay(path, Path(scratch)) as store,
    ):
        return attrs.evolve(look_at(store, lambda _: None), schema=schema, size=path.stat().st_size)


def _show_check(path: Path, seen: Soundness, manifest: Manifest | None, *, of_backup: bool) -> None:
    if is_json_wanted():
        print_json(
            {
                "file": str(path),
                "ok": not seen.faults,
                "schema": seen.schema,
                "size": seen.size,
                "accounts": seen.accounts,
                "audit_entries": seen.entries,
                "faults": list(seen.faults),
                "manifest": _shown(manifest) if manifest is not None else None,
            }
        )
        return
    from .render import clean

    if seen.faults:
        click.echo(f"{path} is not sound:")
        for words in seen.faults:
            click.echo(f"  {clean(words)}")
        click.echo("Put a backup back that is: taskferry relay restore FILE --replace")
        return
    click.echo(
        f"{path} is sound: schema {seen.schema}, {seen.size:,} bytes, "
        f"{counted(seen.accounts, 'account', 'accounts')}, "
        f"{counted(seen.entries, 'audit entry', 'audit entries')}."
    )
    if of_backup:
        click.echo(
            f"It is what its manifest says, taken at {_time(manifest.taken_at)}."
            if manifest is not None
            else "It has no manifest, so nothing says that it is whole and unchanged."
        )


@click.command()
@json_option
def vacuum() -> None:
    """Give room that deleted mail has left back to the file system. The relay has to be stopped.

    A relay uses such room again by itself, so this is for after a flood. It takes as much free space as the
    database has, and some seconds for each gigabyte.
    """
    from taskferry_stores.sqlite import compact_relay

    database = _database()
    size, free = database.stat().st_size, shutil.disk_usage(database.parent).free
    if free < _ROOM * size:
        raise CommandFailed(
            f"{_ROOM * size:,} bytes of free space are needed beside {database}; there are {free:,}.",
            Exit.TROUBLE,
        )
    with _store_errors():
        before, after = compact_relay(database)
    if is_json_wanted():
        print_json({"file": str(database), "before": before, "after": after})
        return
    click.echo(f"{database}: {before:,} bytes before, {after:,} now.")
