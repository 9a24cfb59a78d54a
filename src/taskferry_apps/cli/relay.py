"""`taskferry relay`: run a relay, hand out tickets for it, and read what happened there."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import click

from .groups import Group
from .outcome import CommandFailed, Exit
from .relay_account import account
from .relay_audit import audit
from .relay_backup import backup, check, restore, vacuum
from .relay_ops import ops
from .relay_ticket import ticket

__all__ = ["relay"]


@click.group(cls=Group, invoke_without_command=True, subcommand_metavar="[COMMAND ...]")
@click.option("--addr", help="Where to listen, HOST:PORT.  [default: 127.0.0.1:8080]")
@click.option("--data", help="The data directory.  [default: the user's data folder]")
@click.option("--db", help="The SQLite file.  [default: relay.db in the data directory]")
@click.option("--origins", help="Addresses that daemons dial, such as wss://relay.example; comma-separated.")
@click.option("--public-url", help="Where people reach its pages.  [default: from the first of --origins]")
@click.option(
    "--signup", type=click.Choice(["open", "ticket", "closed"]), help="Which new accounts may join."
)
@click.option("--log", type=click.Choice(["debug", "info", "warning"]), help="The least level to log.")
@click.option(
    "--log-format",
    type=click.Choice(["auto", "json", "text"]),
    help="How to log.  [default: auto, text on a terminal and JSON elsewhere]",
)
@click.option("--config", type=click.Path(path_type=Path), envvar="TASKFERRY_CONFIG", help="A TOML file.")
@click.option("--restored", is_flag=True, help="The database was put back from an older copy.")
@click.pass_context
def relay(ctx: click.Context, /, config: Path | None, restored: bool, **flags: str | None) -> None:
    """Run a relay until it is told to stop (SIGTERM or Ctrl-C).

    It stores sealed envelopes, hands them to the devices that they are for, and reads none of them. Behind a
    reverse proxy with TLS, name the public address with --origins. Every option is also a setting of the file
    and an environment variable: TASKFERRY_RELAY_ADDR, TASKFERRY_RELAY_DB, and so on.

    \b
    Examples:
      taskferry relay
      taskferry relay --addr 127.0.0.1:8080 --origins wss://relay.example
      taskferry relay --signup ticket
      taskferry relay ticket create --name alice
      taskferry relay ops                   (a link into the operator's pages)
      taskferry relay account list          (who is here; suspend and release)
      taskferry relay audit list            (who came, what was refused)
      taskferry relay backup /backup/relay.db     (put back with: restore)
      taskferry relay --restored     (once, after putting a copy back by hand)
    """
    from ..settings import SettingsError, load_relay

    if ctx.invoked_subcommand is None:
        # Until it is heeded it would end the program; what was written meanwhile is taken once it starts.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        settings = load_relay(flags, os.environ, config)
    except SettingsError as error:
        raise CommandFailed(str(error), Exit.USAGE) from None
    if ctx.invoked_subcommand is not None:
        ctx.ensure_object(dict).update(relay_settings=settings, relay_flags=flags, relay_config=config)
        return
    from ..relay import run_relay, run_restored_relay

    run = run_restored_relay if restored else run_relay
    ended = run(settings, lambda: load_relay(flags, os.environ, config))
    # The sentence on what went wrong is said already.
    raise SystemExit({0: Exit.OK, 2: Exit.USAGE}.get(ended, Exit.TROUBLE))


relay.add_command(account)
relay.add_command(ops)
relay.add_command(ticket)
relay.add_command(audit)
for _command in (backup, restore, check, vacuum):
    relay.add_command(_command)
