"""Entry point of `taskferry`, and the table of its commands, each imported only when it is called.

Help must be instant: nothing here may import trio, quart, httpx, rich or the protocol.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Final

import click

from ..garbage import start_quietly
from .outcome import Exit, no_colour, report_failures
from .text_input import open_streams, print_anything

__all__ = ["main"]

#: Command name: (module in this package, attribute, one line of help).
COMMANDS: Final = {
    "demo": ("demo", "demo", "Run and check a whole handoff on this machine."),
    "relay": ("relay", "relay", "Run a relay; it reads nothing that it carries."),
    "up": ("up", "up", "Run this machine's daemon."),
    "setup": ("setup", "setup", "Make your account and claim your name at a relay."),
    "recover": ("recover", "recover", "Take your account back with its recovery phrase."),
    "recovery": ("recover", "recovery", "Check your recovery phrase, or replace it."),
    "backup": ("backup", "backup", "Write everything this machine knows to one encrypted file."),
    "restore": ("backup", "restore", "Put a backup back into an empty data directory."),
    "manage": ("manage", "manage", "Keep the key that signs for your account behind a passphrase."),
    "secrets": ("secrets", "secrets", "Show where this machine's keys are kept, or move them."),
    "agent": ("agent", "agent", "Create, describe and list your agents."),
    "device": ("device", "device", "Link, list, name and revoke your machines."),
    "token": ("token", "token", "Make, list and revoke credentials for local programs."),
    "invite": ("invite", "invite", "Make, list and withdraw links that invite others."),
    "open": ("open_link", "open_link", "Open a link, after you have seen where it leads."),
    "handler": ("handler", "handler", "Let a click on a taskferry: link open it here."),
    "connect": ("connect", "connect", "Ask another owner's agent for a connection."),
    "connections": ("connections", "connections", "List connections and the requests that wait for you."),
    "peer": ("peer", "peer", "Show other owners, compare safety codes, and decide who they are."),
    "approve": ("connections", "approve", "Accept a connection request."),
    "approvals": ("approvals", "approvals", "Show and answer everything that waits for you."),
    "decline": ("connections", "decline", "Decline a connection request."),
    "revoke": ("connections", "revoke", "End a connection."),
    "block": ("connections", "block", "End a connection, and hear no more of that agent."),
    "unblock": ("connections", "unblock", "Let a blocked agent ask again."),
    "rules": ("rules", "rules", "Decide ahead on an owner's requests and tasks."),
    "permissions": ("permissions", "permissions", "Show or change what a peer may send to you."),
    "breakers": ("breakers", "breakers", "Show or set when two agents that go on and on are stopped."),
    "task": ("task", "task", "Send, list, show and work on tasks."),
    "message": ("message", "message", "Send and read messages."),
    "inbox": ("inbox", "inbox", "Show what waits for an agent."),
    "watch": ("watch", "watch", "Print a line for each thing that happens."),
    "mcp": ("mcp", "mcp", "Give an agent its tools over MCP."),
    "worker": ("worker", "worker", "Run a command for each task that an agent is given."),
    "wake": ("wake", "wake", "Decide what tells you of news for an agent that nobody runs."),
    "integrate": ("integrate", "integrate", "Bring TaskFerry into Claude Code, Codex, OpenClaw or Hermes."),
    "quarantine": ("quarantine", "quarantine", "Show what was received and had no effect."),
    "alarms": ("alarms", "alarms", "Show what you must know, and dismiss what you have looked into."),
    "audit": ("audit", "audit", "Show, check and export what was done, decided and refused."),
    "verify": ("verify", "verify", "Check an exported handoff offline."),
    "whoami": ("whoami", "whoami", "Show who you are to the daemon, and what is bound to your agents."),
    "dashboard": (
        "dashboard",
        "dashboard",
        "Open the dashboard in your browser.",
    ),
    "status": ("status", "status", "Show the daemon's state and its link to the relay."),
    "doctor": ("doctor", "doctor", "Check this installation and say what is wrong."),
}


class _Lazy(click.Group):
    """A group whose commands are imported when they are called, and listed from the table alone."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(import_module(f".{module}", __package__), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(args[0], COMMANDS, n=3)
            meant = f" Did you mean {' or '.join(near)}?" if near else ""
            ctx.fail(f"No such command {args[0]!r}.{meant}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, words) for name, (_, _, words) in COMMANDS.items()])


@click.group(
    cls=_Lazy,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="See how it works in half a minute: taskferry demo",
)
@click.version_option(package_name="taskferry", prog_name="taskferry")
def cli() -> None:
    """Hand tasks from one AI agent to another, sealed end to end, over a relay that reads nothing."""


def main() -> None:
    """Run the command line and exit with a code from `Exit`."""
    start_quietly()
    open_streams()
    print_anything()
    # Where rich is installed, httpx brings its own command line along: an eighth of the time that a command
    # takes. It does without where that cannot be imported.
    sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
    with report_failures():
        if "_TASKFERRY_COMPLETE" in os.environ:
            cli.main(prog_name="taskferry")
        # Not by click's own `main`, which counts it as a failure when the reader of our output has enough.
        with cli.make_context("taskferry", sys.argv[1:], color=no_colour()) as context:
            code = cli.invoke(context)
        raise SystemExit(code if isinstance(code, int) else Exit.OK)


if __name__ == "__main__":
    main()
