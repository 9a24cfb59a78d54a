"""`taskferry setup`: make the account and claim the name."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from .daemon_link import daemon_options, is_json_wanted, json_option, local_client, print_json

__all__ = ["setup"]


@click.command()
@click.argument("words", nargs=-1, metavar="[OWNER] [LINK]")
@click.option("--relay", envvar="TASKFERRY_RELAY_HTTP", help="The relay, as in https://relay.example.")
@click.option("--ticket", help="A ticket, or the link that holds it; - asks for it or reads it from a pipe.")
@click.option(
    "--ticket-file", type=click.Path(path_type=Path), help="A file that holds it in its first line."
)
@click.option("--label", default="", help="What to call this device, for all who read your log.")
@json_option
@daemon_options
def setup(
    words: tuple[str, ...], relay: str | None, ticket: str | None, ticket_file: Path | None, label: str
) -> None:
    """Make your account under the name OWNER and claim that name at a relay.

    A relay may ask new accounts for a ticket. The LINK that it gives out, taskferry://HOST/setup#ticket=…,
    names the relay as well; where it is left out, name the relay yourself. On a machine that others use, give
    the ticket by --ticket - or --ticket-file, since arguments are visible there.

    \b
    Examples:
      taskferry setup alice --relay https://relay.example
      taskferry setup alice 'taskferry://relay.example/setup#ticket=…'
      taskferry setup alice --relay https://relay.example --ticket -
      taskferry setup alice --relay http://127.0.0.1:8080 --label laptop
    """
    owner, link = _sort(words)
    given = [text for text in (link, ticket, ticket_file) if text is not None]
    if len(given) > 1:
        raise click.UsageError("Give one ticket: in the LINK, by --ticket or by --ticket-file.")
    text = link or _ticket(ticket, ticket_file)
    url, secret = _place(text, relay)
    if owner is None:
        owner = click.prompt("Your public name, as others will write it")
    body = {"owner": owner, "relay": url}
    body |= {"device_label": label} if label else {}
    # In the body alone: no other user of this machine sees it there, nor does any log.
    body |= {"ticket": secret} if secret else {}
    with local_client() as daemon:
        answer = daemon.post("/setup", body)
        trouble = "" if answer.get("name_claimed") else _trouble(daemon.health())
    if is_json_wanted():
        print_json(answer)
        return
    _tell(answer, url, trouble)


def _sort(words: tuple[str, ...]) -> tuple[str | None, str | None]:
    """The owner's name and the link, in either order."""
    links = [word for word in words if word.lower().startswith("taskferry:")]
    owners = [word for word in words if word not in links]
    if len(links) > 1 or len(owners) > 1:
        raise click.UsageError("One OWNER and one LINK, in quotes, are enough.")
    return owners[0] if owners else None, links[0] if links else None


def _ticket(ticket: str | None, file: Path | None) -> str:
    """The ticket or link that was given by an option; "" if none was."""
    if file is not None:
        try:
            return file.read_text("utf-8").partition("\n")[0].strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            raise click.UsageError(f"{file} cannot be read: {reason}.") from error
    if ticket != "-":
        return (ticket or "").strip()
    if sys.stdin.isatty():
        return str(click.prompt("Ticket or link", hide_input=True)).strip()
    return sys.stdin.readline().strip()


def _place(text: str, relay: str | None) -> tuple[str, str]:
    """Where the relay is, and the ticket for it, "" if there is none."""
    from ..setup_place import PlaceFault, place_of

    try:
        return place_of(text, relay or "")
    except PlaceFault as fault:
        said = {
            "none": "Name the relay: --relay https://relay.example, or a link that names it.",
            "other": f"{fault} (--relay, TASKFERRY_RELAY_HTTP).",
        }
        raise click.UsageError(said.get(fault.kind, str(fault))) from fault


def _tell(answer: dict[str, object], relay: str, trouble: str) -> None:
    from .render import clean, facts, sentence_lines

    recovery = clean(answer.get("recovery_key") or "")
    facts(
        [
            ("owner", f"@{clean(answer.get('owner'))}"),
            ("account", clean(answer.get("account"))),
            ("device", clean(answer.get("device"))),
            (
                "name",
                "claimed at the relay" if answer.get("name_claimed") else f"not claimed yet: {trouble}",
            ),
        ]
    )
    if recovery:
        from .recover import show_phrase

        show_phrase(recovery)
    if answer.get("name_claimed"):
        click.echo("\n  Next: taskferry agent create NAME")
        return
    name = f"@{clean(answer.get('owner'))}"
    click.echo()
    for sentence in (
        "Done: your keys and your account are made, on this machine.",
        f"Waits: the name {name} is yours once the relay has it. The daemon goes on trying; "
        "see: taskferry\xa0status",
        f"To do: see that the relay runs. If {clean(relay)} is not its address, give the right one: "
        f"taskferry\xa0setup\xa0{clean(answer.get('owner'))}\xa0--relay\xa0URL",
        "Meanwhile you can make your agents; others reach them when the relay is there: "
        "taskferry\xa0agent\xa0create\xa0NAME",
    ):
        for line in sentence_lines(sentence, "  "):
            click.echo(line)


def _trouble(health: dict[str, object]) -> str:
    """Why the relay is not reached, in a few words."""
    from .render import clean
    from .values import object_in

    return clean(object_in(health, "relay").get("last_error") or "the relay did not answer")
