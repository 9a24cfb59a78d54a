"""`taskferry wake`: what the daemon does when something needs an agent that nobody runs."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Final

import click

from .daemon_link import daemon_options, is_json_wanted, json_option, local_client, print_json, say
from .groups import Group
from .identifiers import Identifier
from .outcome import CommandFailed, Exit

__all__ = ["wake"]

_OPENCLAW: Final = "http://127.0.0.1:18789"


@click.group(cls=Group)
def wake() -> None:
    """Decide what the daemon does when something needs an agent and no program of it reads.

    Many things at once are one hint. If nobody has read within ten minutes there is one more, and then no
    more until something new comes. A hint holds the agent's name and a count, and nothing that others wrote.

    \b
    Examples:
      taskferry wake add writer --desktop
      taskferry wake add writer --webhook https://hooks.example/taskferry
      taskferry wake list
    """


@wake.command()
@click.argument("agent")
@click.argument("command", nargs=-1)
@click.option("--desktop", is_flag=True, help="Show a notification on this desktop.")
@click.option("--webhook", metavar="URL", help="POST to an address, signed as Standard Webhooks says.")
@click.option("--allow-private", is_flag=True, help="Let the webhook go into a private network.")
@click.option(
    "--openclaw",
    metavar="URL",
    is_flag=False,
    flag_value=_OPENCLAW,
    help=f"Wake OpenClaw's main session; its gateway is at {_OPENCLAW} by default. Asks for the hook token.",
)
@click.option("--codex", metavar="THREAD", help="Queue a message in a session of Codex, by its id or name.")
@json_option
@daemon_options
def add(
    agent: str,
    command: tuple[str, ...],
    desktop: bool,
    webhook: str | None,
    allow_private: bool,
    openclaw: str | None,
    codex: str | None,
) -> None:
    """Have a hint given for AGENT: one of the options, or a COMMAND behind --.

    A command is started without a shell, and finds TASKFERRY_WAKE_AGENT and TASKFERRY_WAKE_COUNT set.

    \b
    Examples:
      taskferry wake add writer --codex my-session
      taskferry wake add writer -- /usr/bin/systemctl --user start writer.service
    """
    ways = [way for way in (desktop, webhook, openclaw, codex, command) if way]
    if len(ways) != 1:
        raise CommandFailed(
            "Name one way: --desktop, --webhook, --openclaw, --codex, or a command behind --.", Exit.USAGE
        )
    body: dict[str, object] = {"agent": agent, "allow_private": allow_private}
    if webhook:
        body |= {"kind": "webhook", "url": webhook}
    elif openclaw:
        body |= {"kind": "openclaw", "url": openclaw, "secret": _hook_token()}
    elif codex:
        body |= {"kind": "codex", "thread": codex, "command": [_program("codex")]}
    elif desktop:
        name = "osascript" if sys.platform == "darwin" else "notify-send"
        body |= {"kind": "desktop", "command": [_program(name)]}
    else:
        body |= {"kind": "command", "command": [_program(command[0]), *command[1:]]}
    with local_client() as daemon:
        answer = daemon.post("/wakes", body)
    if is_json_wanted():
        print_json(answer)
        return
    from .render import clean, short
    from .values import object_in

    if answer.get("secret"):
        click.echo(f"\n    {clean(answer['secret'])}\n")
        click.echo("This signs every call (Standard Webhooks). Shown this once.")
    click.echo(f"Kept. Try it: taskferry wake test {short(object_in(answer, 'wake').get('id'))}")


def _program(name: str) -> str:
    """The whole path of a program. Raises CommandFailed."""
    found = shutil.which(name)
    if found is None:
        raise CommandFailed(f"{name} is not here. Install it, or name its whole path.", Exit.USAGE)
    return str(Path(found).absolute())


def _hook_token() -> str:
    """OpenClaw's token, from a terminal unseen or from a pipe: arguments can be read by other users."""
    if sys.stdin.isatty():
        return str(click.prompt("OpenClaw's hook token (hooks.token)", hide_input=True, err=True)).strip()
    return sys.stdin.readline(1024).strip()


@wake.command("list")
@json_option
@daemon_options
def list_wakes() -> None:
    """List what is done for whom, and how the last hint went."""
    with local_client() as daemon:
        answer = daemon.get("/wakes")
    if is_json_wanted():
        print_json(answer)
        return
    from .render import ago, clean, short, table
    from .values import objects

    table(
        ["id", "agent", "kind", "target", "last hint", "trouble"],
        (
            [
                short(item.get("id")),
                clean(item.get("agent")),
                clean(item.get("kind")),
                clean(item.get("target"), most=40),
                ago(item["hinted_at"]) if item.get("hinted_at") else "never",
                clean(item.get("failure"), most=60),
            ]
            for item in objects(answer, "wakes")
        ),
        empty="None yet. Add one: taskferry wake add AGENT --desktop",
        state="trouble",
    )


@wake.command()
@click.argument("id", type=Identifier())
@json_option
@daemon_options
def test(id: str) -> None:
    """Give a hint with a count of 0 now, and say how it went."""
    with local_client() as daemon:
        answer = daemon.post(f"/wakes/{id}/test", {})
    if is_json_wanted():
        print_json(answer)
        return
    from .render import clean
    from .values import object_in

    failure = object_in(answer, "wake").get("failure")
    if failure:
        raise CommandFailed(f"The hint did not get through. {clean(failure)}", Exit.FAILED)
    click.echo("The hint got through.")


@wake.command()
@click.argument("id", type=Identifier())
@json_option
@daemon_options
def remove(id: str) -> None:
    """Give no more hints that way."""
    with local_client() as daemon:
        answer = daemon.delete(f"/wakes/{id}")
    say(answer, "Removed.")
