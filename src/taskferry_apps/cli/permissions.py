"""`taskferry permissions`: what a peer may send to your agent, and what you may send to the peer's."""

from __future__ import annotations

from collections.abc import Mapping

import click

from .daemon_link import daemon_options, is_json_wanted, json_option, local_client, print_json
from .durations import Moment
from .groups import Group
from .identifiers import Identifier
from .permission_options import permission_options, permission_words, permissions_given

__all__ = ["permissions"]


@click.group(cls=Group)
def permissions() -> None:
    """Show or change what a peer may send to you.

    \b
    Examples:
      taskferry permissions show 3f9c01ab
      taskferry permissions set 3f9c01ab --classes task --rate 10 --until 3d
    """


@permissions.command()
@click.argument("id", type=Identifier())
@json_option
@daemon_options
def show(id: str) -> None:
    """Show what each side of the connection ID may send to the other, in words."""
    with local_client() as daemon:
        answer = daemon.get("/permissions", id=id)
    _print(answer)


@permissions.command("set")
@click.argument("id", type=Identifier())
@permission_options
@click.option("--until", type=Moment(), help="When it ends: 30m, 2h, 3d, or a time.")
@json_option
@daemon_options
def change(id: str, until: str | None) -> None:
    """Change what the peer of the connection ID may send to you.

    The change is signed, sent to the peer, and enforced by the relay and by this daemon.

    \b
    Examples:
      taskferry permissions set 3f9c01ab --classes task --rate 10 --until 3d
      taskferry permissions set 3f9c01ab --no-gate --task-budget 5
    """
    changes = permissions_given()
    if until is not None:
        changes["until"] = until
    if not changes:
        raise click.UsageError("Say what to change; see: taskferry permissions set --help")
    with local_client() as daemon:
        answer = daemon.post("/permissions", {"id": id, **changes})
    _print(answer)


def _print(answer: Mapping[str, object]) -> None:
    if is_json_wanted():
        print_json(answer)
        return
    from .render import clean, facts, sentence_lines
    from .values import object_in, texts

    connection = object_in(answer, "connection") or answer
    mine, peer = clean(connection.get("mine")), clean(connection.get("peer"))
    if card := object_in(connection, "card"):
        click.secho(f"What its owner says of {peer}", bold=True)
        facts(
            [
                ("  name", clean(card.get("display_name"))),
                ("  tagline", clean(card.get("tagline"))),
                ("  description", clean(card.get("description"))),
                ("  can do", ", ".join(map(clean, texts(card, "capabilities")))),
            ]
        )
        click.echo()
    barred = connection.get("barred")
    for title, key, sender, receiver, decides in (
        ("What you allow", "given", peer, mine, "you"),
        ("What the other side allows", "received", mine, peer, "its owner"),
    ):
        if key == "received":
            click.echo()
        click.secho(title, bold=True)
        for sentence in permission_words(object_in(connection, key), sender, receiver, decides):
            for line in sentence_lines(sentence, "  "):
                click.echo(line)
        if key == "given" and isinstance(barred, int) and barred:
            for line in sentence_lines(
                f"Refused in tasks for want of permission: {barred}. What you allow of it comes back by"
                " itself; see: taskferry quarantine",
                "  ",
            ):
                click.echo(line)
