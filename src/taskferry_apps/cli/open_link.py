"""`taskferry open`: follow a `taskferry:` link, after the owner has seen where it leads."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

import click

from .daemon_link import daemon_options, is_json_wanted, json_option, local_client, print_json, say
from .outcome import CommandFailed, Exit
from .way_in import has_desktop, show_page

if TYPE_CHECKING:
    from ..local_client import LocalClient

__all__ = ["open_link"]

#: What the link itself is at fault for: codes of what a daemon says of one. Others are about this machine.
_WRONG_LINKS = frozenset({"bad-link", "unknown-link", "setup-link"})

#: Longer than any link.
_MOST: Final = 4096


@click.command("open")
@click.argument("link", default="-")
@click.option("--browser/--no-browser", default=None, help="Where to ask you: a page, or this terminal.")
@click.option("--agent", help="In the terminal: the agent of yours that shall connect.")
@click.option("--note", help="In the terminal: a line to the other owner.")
@click.option("--yes", is_flag=True, help="In the terminal: ask for the connection without asking you.")
@json_option
@daemon_options
def open_link(link: str, browser: bool | None, agent: str | None, note: str | None, yes: bool) -> None:
    """Open LINK, or with - the link that is pasted or piped in. Nothing is sent before you say so.

    Links are invites, tickets for setting up, or of new machines of yours. On a desktop, a page of your own
    daemon shows where the link leads; without one, or with --no-browser, this terminal does. Arguments are
    visible to other users of this machine, and a link may hold a secret: prefer -.

    \b
    Examples:
      taskferry open -
      taskferry open - --no-browser --agent requester < link.txt
      taskferry open 'taskferry://relay.example/invite/…#account=…&secret=…'
    """
    text = _read() if link == "-" else link.strip()
    # A program that wants JSON, or that has answered already, has no use for a page.
    on_page = browser if browser is not None else has_desktop() and not (agent or yes or is_json_wanted())
    if text.startswith("taskferry://") and "/setup#" in text and not on_page and sys.stdin.isatty():
        # That kind makes an account: the same questions as by the command for it.
        from .setup import setup

        click.get_current_context().invoke(
            setup, words=(text,), relay=None, ticket=None, ticket_file=None, label=""
        )
        return
    with local_client() as daemon:
        held = daemon.post("/links", {"link": text})
        code = str(held.get("code") or "")
        if on_page:
            show_page(daemon, f"/connect/{held['id']}", opened="Your browser shows where the link leads.")
            return
        problem = held.get("problem")
        if isinstance(problem, dict):
            wrong = problem.get("code") in _WRONG_LINKS
            raise CommandFailed(
                f"{problem.get('message')} {problem.get('next')}", Exit.USAGE if wrong else Exit.REFUSED
            )
        if not code:
            _ask_here(daemon, str(held["id"]), agent, note, yes)
            return
    _take_in(code, str(held["relay"]))


def _take_in(code: str, relay: str) -> None:
    """Go on to `device approve` for a new machine's link, if whoever sits here says that it is theirs."""
    from .device import approve
    from .render import clean, facts

    command = f"taskferry device approve {code}"
    if is_json_wanted():
        print_json({"ok": True, "kind": "device", "relay": relay, "code": code, "command": command})
        return
    facts([("code", clean(code)), ("relay", clean(relay))])
    click.echo("\nThe machine that shows this code asks to become a device of your account, and")
    click.echo("would read what your agents are sent. Go on only if you started this yourself,")
    click.echo("on a machine of yours. If somebody gave you this link, leave it.\n")
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise CommandFailed(f"Nothing was done. To take it in: {command}", Exit.USAGE)
    click.echo("It gets all of the history, and may not sign for the account. To choose")
    click.echo("otherwise, see: taskferry device approve --help\n")
    if not click.confirm("Is it yours, and before you?", err=True):
        raise CommandFailed("Nothing was done.", Exit.FAILED)
    click.get_current_context().invoke(approve, code=code, history="all", manage=False)


def _read() -> str:
    """The link from standard input; typed into a terminal it is not shown."""
    if sys.stdin.isatty():
        text = str(click.prompt("Paste the link (it is not shown)", hide_input=True, err=True))
    else:
        text = sys.stdin.read(_MOST + 1)
    text = text.strip()
    if not text:
        raise CommandFailed("There was no link on standard input.", Exit.USAGE)
    if len(text) > _MOST:
        raise CommandFailed("That is longer than any link.", Exit.USAGE)
    return text


def _ask_here(daemon: LocalClient, link: str, agent: str | None, note: str | None, yes: bool) -> None:
    from .render import clean, facts, short
    from .values import objects

    found = daemon.get(f"/links/{link}")
    peer = clean(found.get("peer"))
    interactive = sys.stdin.isatty() and sys.stderr.isatty()
    if not is_json_wanted():
        facts(
            [
                ("agent", peer),
                ("name", clean(found.get("display_name"))),
                ("about", clean(found.get("tagline"))),
                ("fingerprint", clean(found.get("fingerprint"))),
                ("trust", clean(found.get("trust")) or "new here; the link says exactly which account it is"),
                ("relay", clean(found.get("relay"))),
                ("ends", _in_time(found.get("expires_at"))),
            ]
        )
        click.echo()
    own = objects(found, "agents")
    names = [clean(item.get("name")) for item in own if item.get("state") != "accepted"]
    if agent is None and own and not names:
        raise CommandFailed(
            f"Your agents are all connected with {peer} already. See: taskferry connections", Exit.REFUSED
        )
    if agent is None:
        agent = _which(names, interactive)
    if not yes and not (
        interactive and click.confirm(f"Ask {peer} to connect with {clean(agent)}?", err=True)
    ):
        if interactive:
            daemon.delete(f"/links/{link}")
            raise CommandFailed("Nothing was sent, and the link is forgotten here.", Exit.FAILED)
        raise CommandFailed("Nothing was sent. To ask for the connection, add --yes.", Exit.USAGE)
    body: dict[str, object] = {"from": agent, "message": note or ""}
    answer = daemon.post(f"/links/{link}/connect", body)
    say(answer, f"Asked {peer}. See how it stands: taskferry connections  (id {short(answer.get('id'))})")


def _which(names: list[str], interactive: bool) -> str:
    if not names:
        raise CommandFailed(
            "You have no agent yet that could connect. Make one: taskferry agent create NAME", Exit.FAILED
        )
    if len(names) == 1:
        return names[0]
    if not interactive:
        raise CommandFailed(f"Say which agent shall connect: --agent {' | '.join(names)}", Exit.USAGE)
    return str(click.prompt("Which agent shall connect", type=click.Choice(names), err=True))


def _in_time(value: object) -> str:
    from .render import ago

    return ago(value)
