"""`taskferry backup` and `taskferry restore`: one encrypted file, out and back."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .daemon_link import (
    daemon_options,
    data_directory,
    is_json_wanted,
    json_option,
    local_client,
    print_json,
)
from .outcome import CommandFailed, Exit
from .secret_input import ask_new_passphrase, ask_passphrase, ask_phrase

if TYPE_CHECKING:
    from ..daemon.restoring import Opening

__all__ = ["backup", "restore"]


@contextmanager
def _bar(size: int, label: str) -> Iterator[Callable[[int], None]]:
    """A progress bar on a terminal; nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    with click.progressbar(length=size, label=label, file=sys.stderr) as bar:
        yield bar.update


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--passphrase", is_flag=True, help="Encrypt for a passphrase instead of the recovery phrase.")
@json_option
@daemon_options
def backup(file: Path, passphrase: bool) -> None:
    """Write everything this machine knows to FILE, encrypted. The daemon works on meanwhile.

    Only your recovery phrase opens it; making it needs no phrase. With --passphrase you are asked for one, or
    it is read from standard input.

    \b
    Examples:
      taskferry backup ~/taskferry.backup
      taskferry backup /media/usb/taskferry.backup --passphrase
    """
    from taskferry_stores.errors import StoreLocked
    from taskferry_stores.sqlite.files import unfinished

    from ..daemon.private_files import sync_folder

    _require_new(file)
    body = {"passphrase": ask_new_passphrase()} if passphrase else {}
    beside = file.with_name(f".{file.name}.part")
    try:
        with (
            local_client() as daemon,
            unfinished(beside, f"Another backup is being written to {file}; name another file."),
        ):
            # Whoever was writing to it has finished.
            _require_new(file)
            with daemon.download("/backup", body) as (size, pieces), _bar(size, "Backing up") as progress:
                _write(beside, pieces, size, progress)
            beside.rename(file)
            try:
                # Only then does the name survive a loss of power.
                sync_folder(file.parent)
            except OSError:
                file.unlink()
                raise
    except StoreLocked as error:
        raise CommandFailed(str(error), Exit.USAGE) from None
    except OSError as error:
        raise CommandFailed(f"{file} cannot be written: {error.strerror}.", Exit.TROUBLE) from None
    if is_json_wanted():
        print_json({"file": str(file), "size": size, "lock": "passphrase" if passphrase else "recovery"})
        return
    opened = "that passphrase" if passphrase else "your recovery phrase"
    click.echo(f"{file}: {size:,} bytes, which {opened} opens. To put it back: taskferry restore {file}")


def _require_new(file: Path) -> None:
    if file.exists():
        raise CommandFailed(f"{file} exists already; name another file.", Exit.USAGE)


def _write(path: Path, pieces: Iterator[bytes], size: int, progress: Callable[[int], None]) -> None:
    written = 0
    with path.open("r+b") as stream:
        for piece in pieces:
            stream.write(piece)
            written += len(piece)
            progress(len(piece))
        stream.flush()
        os.fsync(stream.fileno())
    if written != size:
        raise CommandFailed("The backup was cut off; nothing was kept. See the daemon's log.", Exit.TROUBLE)


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--same-device",
    is_flag=True,
    help="Go on as the very device that made it. The old machine must be gone for good.",
)
@click.option("--old-is-gone", is_flag=True, help="Say so without being asked, for scripts.")
@json_option
@daemon_options
def restore(file: Path, same_device: bool, old_is_gone: bool) -> None:
    """Put the backup FILE back into an empty data directory, while no daemon runs there.

    You are asked for what opens it: the recovery phrase, or the passphrase. By default this machine then
    becomes a new device of yours, by `taskferry recover`, and the old ones are put out. With --same-device it
    takes the old one's place; what was sent to it after the backup is lost, and two machines as one device
    would be seen as forgery.

    \b
    Examples:
      taskferry restore taskferry.backup
      taskferry restore taskferry.backup --data ~/.taskferry-new
    """
    from .. import system
    from ..daemon import restoring

    data = data_directory()
    try:
        restoring.check_target(data)
        with file.open("rb") as stream:
            opening = restoring.read_opening(stream)
            if same_device and not old_is_gone:
                _ask_gone()
            key = _key(opening)
            with _bar(file.stat().st_size, "Restoring") as progress:
                made = restoring.restore(
                    stream,
                    opening,
                    key,
                    data,
                    identity=restoring.Identity.SAME if same_device else restoring.Identity.NEW,
                    now=system.now(),
                    progress=progress,
                )
    except restoring.CannotRestore as error:
        verified = Exit.USAGE if error.code in {"not-empty", "full"} else Exit.NOT_VERIFIED
        raise CommandFailed(str(error), verified) from None
    except OSError as error:
        raise CommandFailed(f"{file}: {error.strerror}.", Exit.USAGE) from None
    following = "taskferry up" if same_device else "taskferry up, and beside it: taskferry recover"
    if is_json_wanted():
        print_json(
            {"owner": made.owner, "account": made.account, "data": str(data), "same_device": same_device}
        )
        return
    from .render import clean

    click.echo(f"Restored @{clean(made.owner)} into {data}. Next: {following}")


def _ask_gone() -> None:
    if not sys.stdin.isatty():
        raise CommandFailed(
            "--same-device needs your word that the old machine is gone: add --old-is-gone.", Exit.USAGE
        )
    said = click.prompt("The machine that made this backup will never run again. Type 'gone'", err=True)
    if said.strip() != "gone":
        raise CommandFailed("Nothing was restored. Without --same-device both machines may live.", Exit.USAGE)


def _key(opening: Opening) -> bytes:
    from taskferry_protocol.backups import RecoveryLock, key_by_passphrase, key_by_recovery
    from taskferry_protocol.errors import LocalProtocolError, RemoteProtocolError

    from ..daemon.restoring import refusal
    from ..phrase import seed_of

    lock = opening.header.lock
    try:
        if isinstance(lock, RecoveryLock):
            return key_by_recovery(lock, seed_of(ask_phrase()))
        return key_by_passphrase(lock, ask_passphrase())
    except RemoteProtocolError as error:
        raise refusal(error) from error
    except LocalProtocolError as error:
        raise CommandFailed(f"{error}.", Exit.TROUBLE) from None
