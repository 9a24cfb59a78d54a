"""`taskferry secrets`: where this machine's keys are kept, and moving them."""

from __future__ import annotations

import click

from .daemon_link import daemon_options, data_directory, is_json_wanted, json_option, print_json
from .groups import Group
from .outcome import CommandFailed, Exit

__all__ = ["KEPT", "kept_kind", "secrets"]

KEPT = {"files": "in files that only you may read", "keyring": "in the system's secret store"}


def kept_kind() -> str:
    """`files` or `keyring`: where the keys of the data directory are."""
    from ..daemon.private_files import UnsafeFile
    from ..daemon.secret_choice import SecretsMisplaced, read_mark

    try:
        mark = read_mark(data_directory())
    except (SecretsMisplaced, UnsafeFile) as error:
        raise CommandFailed(str(error), Exit.TROUBLE) from None
    return mark.kept if mark is not None else "files"


@click.group(cls=Group)
def secrets() -> None:
    """Show where this machine's keys are kept, or move them.

    \b
    Examples:
      taskferry secrets where
      taskferry secrets move --to keyring
    """


@secrets.command()
@json_option
@daemon_options
def where() -> None:
    """Show where the keys of the data directory are."""
    kind = kept_kind()
    if is_json_wanted():
        print_json({"secrets": kind})
        return
    click.echo(f"The keys are kept {KEPT[kind]}.")


@secrets.command()
@click.option("--to", type=click.Choice(["files", "keyring"]), required=True, help="Where to keep them.")
@json_option
@daemon_options
def move(to: str) -> None:
    """Move the keys while the daemon is stopped. No copy is left where they were."""
    from ..daemon.private_files import DataInUse, UnsafeFile, hold_directory
    from ..daemon.secret_choice import SecretsMisplaced, move_secrets
    from ..daemon.secret_port import SecretsUnavailable

    data = data_directory()
    if not data.is_dir():
        raise CommandFailed(f"{data} does not exist; name a data directory with --data.", Exit.NOT_FOUND)
    try:
        with hold_directory(data):
            moved = move_secrets(data, to)
    except DataInUse:
        raise CommandFailed(
            f"A daemon runs with the data directory {data}. Stop it, move the keys, and start it again.",
            Exit.REFUSED,
        ) from None
    except (SecretsUnavailable, SecretsMisplaced, UnsafeFile) as error:
        raise CommandFailed(str(error), Exit.TROUBLE) from None
    if is_json_wanted():
        print_json({"secrets": to, "moved": moved})
        return
    click.echo(f"The keys are kept {KEPT[to]}{' now' if moved else ' already'}.")
