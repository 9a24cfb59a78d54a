"""`taskferry up`: run this machine's daemon."""

from __future__ import annotations

import os
from pathlib import Path

import click

from .outcome import CommandFailed, Exit

__all__ = ["up"]


@click.command()
@click.option("--addr", help="Where the local API listens, HOST:PORT.  [default: 127.0.0.1:4318]")
@click.option("--data", help="The data directory.  [default: the user's data folder]")
@click.option("--db", help="The SQLite file.  [default: daemon.db in the data directory]")
@click.option("--relay", help="The relay to use instead of the one named at set-up.")
@click.option("--relay-ca", help="Certificates (PEM) to trust for the relay, instead of the system's.")
@click.option(
    "--secrets",
    type=click.Choice(["auto", "keyring", "files"]),
    help="Where to keep keys.  [default: auto, the system's secret store where there is one]",
)
@click.option("--log", type=click.Choice(["debug", "info", "warning"]), help="The least level to log.")
@click.option(
    "--log-format",
    type=click.Choice(["auto", "json", "text"]),
    help="How to log.  [default: auto, text on a terminal and JSON elsewhere]",
)
@click.option("--take-over", is_flag=True, help="No other copy of this data directory counts any more.")
@click.option("--config", type=click.Path(path_type=Path), envvar="TASKFERRY_CONFIG", help="A TOML file.")
def up(config: Path | None, take_over: bool, **flags: str | None) -> None:
    """Run the daemon until it is told to stop (SIGTERM or Ctrl-C).

    It keeps your keys and your readable history, serves the local API to your agents, and holds a connection
    to the relay. Agents may send while the relay is away: what they send waits here.

    \b
    Examples:
      taskferry up
      taskferry up --addr 127.0.0.1:4319 --data ~/.taskferry-bob
    """
    from ..settings import SettingsError, load_daemon

    try:
        settings = load_daemon({**flags, "take_over": "yes" if take_over else None}, os.environ, config)
    except SettingsError as error:
        raise CommandFailed(str(error), Exit.USAGE) from None
    from ..daemon.holding import run_daemon

    # The sentence on what went wrong is said already.
    raise SystemExit(Exit.TROUBLE if run_daemon(settings) else Exit.OK)
