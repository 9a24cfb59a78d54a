"""`taskferry recover` and `taskferry recovery`: the account's recovery phrase at work."""

from __future__ import annotations

import click

from .daemon_link import daemon_options, is_json_wanted, json_option, local_client, print_json, say
from .groups import Group
from .outcome import CommandFailed, Exit
from .secret_input import ask_phrase

__all__ = ["recover", "recovery"]


@click.command()
@click.argument("owner", default="")
@click.option(
    "--relay", default="", envvar="TASKFERRY_RELAY_HTTP", help="The relay, as in https://relay.example."
)
@click.option("--account", default="", help="The account's id, if you have it: then no name can mislead.")
@click.option("--label", default="", help="What to call this device, for all who read your log.")
@click.option("--keep", multiple=True, help="A device that stays, by its label or id. May be repeated.")
@click.option(
    "--kept",
    type=click.IntRange(1),
    metavar="N",
    help="Build on the log's first N statements: undoes what a thief signed after them.",
)
@json_option
@daemon_options
def recover(
    owner: str, relay: str, account: str, label: str, keep: tuple[str, ...], kept: int | None
) -> None:
    """Take your account back with the recovery phrase, on a machine that has none of its keys.

    The phrase is asked for, or read from standard input; never give it as an argument. All devices but this
    one and those that you --keep are put out. After `taskferry restore` neither OWNER nor --relay is needed.

    \b
    Examples:
      taskferry recover alice --relay https://relay.example
      taskferry recover alice --relay https://relay.example --keep desktop
      taskferry recover < phrase.txt      (after: taskferry restore FILE)
    """
    phrase = ask_phrase()
    wanted = {
        "phrase": phrase,
        "owner": owner,
        "relay": relay,
        "account": account,
        "device_label": label,
        "keep": list(keep),
        "kept": kept,
    }
    with local_client() as daemon:
        answer = daemon.post("/recovery", {name: value for name, value in wanted.items() if value})
    if is_json_wanted():
        print_json(answer)
        return
    from .render import clean, facts
    from .values import texts

    facts(
        [
            ("owner", f"@{clean(answer.get('owner'))}"),
            ("account", clean(answer.get("account"))),
            ("device", clean(answer.get("device"))),
            ("agents", ", ".join(map(clean, texts(answer, "agents"))) or "none"),
            ("put out", ", ".join(map(clean, texts(answer, "revoked"))) or "no device"),
            ("connections", str(answer.get("connections"))),
        ]
    )
    if answer.get("agents"):
        click.echo(
            "\n  How freely your agents act on this machine is shown, and said, with: taskferry agent mode"
        )
    if not answer.get("connections"):
        click.echo("\n  Neither this machine nor the relay knows a connection of yours. Restore a")
        click.echo("  backup before recovering, or ask your peers again:")
        click.echo("  taskferry connect YOURS @THEIRS/AGENT")
    elif answer.get("closed"):
        click.echo("\n  You may send. To you, some peers may send nothing yet, since what the relay")
        click.echo(
            f"  shows could be old, or a thief's: {answer.get('closed')} of them. Look at each, then let it:"
        )
        click.echo("  taskferry connections")
        click.echo("  taskferry permissions set ID --classes artifact,message,task")


@click.group(cls=Group)
def recovery() -> None:
    """Check your recovery phrase, or replace it.

    \b
    Examples:
      taskferry recovery check
      taskferry recovery new
    """


@recovery.command()
@json_option
@daemon_options
def check() -> None:
    """Check that what you wrote down is this account's phrase. Nothing is signed."""
    phrase = ask_phrase()
    with local_client() as daemon:
        answer = daemon.post("/recovery/check", {"phrase": phrase})
    say(answer, "That is the phrase of this account.")


@recovery.command()
@json_option
@daemon_options
def new() -> None:
    """Make another recovery phrase, by the one in force, which counts no more afterwards.

    The new words are shown, and asked for again before they are put in force, so that nobody loses the
    account to words that were never written down. Without a terminal they are the second line of input.
    """
    import sys

    from .. import system
    from ..phrase import phrase_of

    old = ask_phrase("The phrase in force (not shown)")
    if sys.stdin.isatty():
        coming = phrase_of(system.entropy(32))
        show_phrase(coming)
        again = ask_phrase("The new words, once more (not shown)")
        if again != coming:
            raise CommandFailed("Those are other words; nothing was changed.", Exit.USAGE)
    else:
        coming = ask_phrase("The new words")
    with local_client() as daemon:
        answer = daemon.post("/recovery/phrase", {"phrase": old, "new_phrase": coming})
    say(answer, "The new phrase is in force. Destroy the old one; backups made before open with it alone.")


def show_phrase(phrase: str) -> None:
    """The words in numbered rows, to be copied by hand."""
    from .render import sentence_lines

    click.echo()
    click.secho("  Recovery phrase, shown this once:", bold=True)
    click.echo()
    words = phrase.split()
    for row in range(0, len(words), 4):
        cells = (f"{at + 1:>2} {words[at]:<10}" for at in range(row, min(row + 4, len(words))))
        click.echo("    " + "  ".join(cells).rstrip())
    click.echo()
    advice = (
        "Write it down and keep it away from this machine: it takes the account back if all devices are "
        "lost, and opens your backups. Whoever has it owns the account."
    )
    for line in sentence_lines(advice, "  "):
        click.echo(line)
