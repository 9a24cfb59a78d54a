"""`taskferry relay`: run a relay."""

from __future__ import annotations

import os
from pathlib import Path

import click

from .outcome import CommandFailed, Exit

__all__ = ["relay"]


@click.command()
@click.option("--addr", help="Where to listen, HOST:PORT.  [default: 127.0.0.1:8080]")
@click.option("--data", help="The data directory.  [default: the user's data folder]")
@click.option("--db", help="The SQLite file.  [default: relay.db in the data directory]")
@click.option("--origins", help="Addresses that daemons dial, such as wss://relay.example; comma-separated.")
@click.option("--signup", type=click.Choice(["open", "closed"]), help="Whether unknown accounts may join.")
@click.option("--log", type=click.Choice(["debug", "info", "warning"]), help="The least level to log.")
@click.option("--config", type=click.Path(path_type=Path), envvar="TASKFERRY_CONFIG", help="A TOML file.")
@click.option("--restored", is_flag=True, help="The database was put back from an older copy.")
def relay(config: Path | None, restored: bool, **flags: str | None) -> None:
    """Run a relay until it is told to stop (SIGTERM or Ctrl-C).

    It stores sealed envelopes, hands them to the devices that they are for, and reads none of them. Behind a
    reverse proxy with TLS, name the public address with --origins. Every option is also a setting of the file
    and an environment variable: TASKFERRY_RELAY_ADDR, TASKFERRY_RELAY_DB, and so on.

    \b
    Examples:
      taskferry relay
      taskferry relay --addr 127.0.0.1:8080 --db /var/lib/taskferry/relay.db --origins wss://relay.example
      taskferry relay --restored     (once, after putting back a backup: daemons offer again what is lost)
    """
    from ..settings import SettingsError, load_relay

    try:
        settings = load_relay(flags, os.environ, config)
    except SettingsError as error:
        raise CommandFailed(str(error), Exit.USAGE) from None
    from ..relay import run_relay, run_restored_relay

    run = run_restored_relay if restored else run_relay
    # The sentence on what went wrong is said already.
    raise SystemExit(Exit.TROUBLE if run(settings) else Exit.OK)
