"""`taskferry peer`: who other owners are known to be, compared and decided."""

from __future__ import annotations

from collections.abc import Mapping

import click

from ..amounts import several
from .daemon_link import daemon_options, is_json_wanted, json_option, local_client, print_json
from .groups import Group
from .outcome import CommandFailed, Exit

__all__ = ["peer"]


@click.group(cls=Group)
def peer() -> None:
    """Show other owners, compare safety codes, and decide who they are.

    A relay says whose a name is, and could lie at first contact. The safety code is the same on both sides
    only if each sees the other's true account: read its words to each other over the telephone, or where you
    meet.

    \b
    Examples:
      taskferry peer list
      taskferry peer show @bob/writer
      taskferry peer verify @bob/writer
      taskferry peer keep @bob/writer       (the pinned identity stands)
    """


@peer.command("list")
@json_option
@daemon_options
def list_peers() -> None:
    """List the owners that are known here, and how far each is trusted."""
    with local_client() as daemon:
        answer = daemon.get("/peers")
    if is_json_wanted():
        print_json(answer)
        return
    from .render import ago, clean, short, table
    from .values import objects, texts

    table(
        ["owner", "trust", "account", "agents", "devices", "since"],
        (
            [
                f"@{clean(item.get('owner'))}",
                clean(item.get("trust")),
                short(item.get("account")),
                ", ".join(map(clean, texts(item, "agents"))),
                str(sum(device.get("status") == "active" for device in objects(item, "devices"))),
                ago(item.get("since")),
            ]
            for item in objects(answer, "peers")
        ),
        empty="No other owner is known yet. Ask one for a connection: taskferry connect YOURS @OWNER/AGENT",
        state="trust",
    )


@peer.command()
@click.argument("named", metavar="PEER")
@json_option
@daemon_options
def show(named: str) -> None:
    """Show what is known of PEER: @owner, @owner/agent, or the beginning of an account id."""
    with local_client() as daemon:
        answer = daemon.get("/peers/show", peer=named)
    if is_json_wanted():
        print_json(answer)
        return
    _draw(answer)


def _draw(answer: Mapping[str, object]) -> None:
    from ..trust_words import trust_words
    from .render import ago, clean, facts, table
    from .safety_page import code_lines
    from .values import object_in, objects, texts

    handle, trust = f"@{clean(answer.get('owner'))}", clean(answer.get("trust"))
    log = several(answer.get("length"), "statement", "statements")
    facts(
        [
            ("owner", handle),
            ("trust", trust_words(trust)),
            ("since", ago(answer.get("since"))),
            ("account", clean(answer.get("account"))),
            ("fingerprint", clean(answer.get("fingerprint"))),
            ("agents", ", ".join(map(clean, texts(answer, "agents")))),
            ("log", f"{log}, ending with {clean(answer.get('head'))}"),
        ]
    )
    words, digits = code_lines(answer)
    click.echo("\nSafety words, the same on both sides:")
    for line in words:
        click.secho(line, bold=True)
    click.echo("The same code as digits:")
    for line in digits:
        click.echo(line)
    click.echo(f"Compare all of one or the other: taskferry peer verify {handle}\n")
    table(
        ["device", "label", "state", "since"],
        (
            [
                clean(device.get("id"), most=16),
                clean(device.get("label")),
                clean(device.get("status")),
                ago(device.get("since")),
            ]
            for device in objects(answer, "devices")
        ),
        empty="No devices.",
    )
    change = object_in(answer, "change")
    if not change:
        return
    click.secho(f"\n! {clean(change.get('text'))}", fg="red", bold=True)
    if change.get("other"):
        click.echo(
            f"  The other account: {clean(change.get('other'))} ({clean(change.get('other_fingerprint'))})"
        )
    if change.get("what") in {"second_claim", "other_history"}:
        click.echo("  Ask its owner, and not by way of the relay. Then:")
        click.echo(f"    taskferry peer verify {handle}         the code above is what its owner reads")
        click.echo(f"    taskferry peer keep {handle}           the pinned one stands, without comparing")
    if change.get("what") == "second_claim":
        click.echo(f"    taskferry peer accept-change {handle}  its owner has a new account, the other one")


@peer.command()
@click.argument("named", metavar="PEER")
@click.option(
    "--code", "--words", help="The words or digits that the other owner reads; asked for if left out."
)
@json_option
@daemon_options
def verify(named: str, code: str | None) -> None:
    """Mark PEER as verified, once its owner reads the same safety code to you.

    Type the 24 words or the sixty digits that the other owner reads from `taskferry peer show`; neither case
    nor what stands between matters. If they are not those of this side, nothing is changed, and exit code 6
    says so: then somebody stands between you.
    """
    with local_client() as daemon:
        if code is None:
            from .safety_page import ask_for_code

            code = ask_for_code(daemon.get("/peers/show", peer=named))
        from ..local_client import ApiError

        try:
            answer = daemon.post("/peers/verify", {"peer": named, "code": str(code)})
        except ApiError as error:
            if error.code != "wrong-code":
                raise
            raise CommandFailed(str(error), Exit.NOT_VERIFIED) from None
    _told(answer, "is verified")


@peer.command()
@click.argument("named", metavar="PEER")
@json_option
@daemon_options
def trust(named: str) -> None:
    """Take PEER as it is pinned, without comparing anything."""
    _told(_decide("/peers/trust", named), "is pinned, without a comparison")


@peer.command()
@click.argument("named", metavar="PEER")
@json_option
@daemon_options
def unverify(named: str) -> None:
    """Take back that PEER is verified or pinned."""
    _told(_decide("/peers/unverify", named), "is unverified again")


@peer.command()
@click.argument("named", metavar="PEER")
@json_option
@daemon_options
def keep(named: str) -> None:
    """Of a changed PEER, keep the identity that is pinned; what waits for it is sent."""
    _told(_decide("/peers/keep", named), "stays as it is pinned; what waited for it is sent now")


@peer.command("accept-change")
@click.argument("named", metavar="PEER")
@click.option("--yes", is_flag=True, help="Do not ask once more.")
@json_option
@daemon_options
def accept_change(named: str, yes: bool) -> None:
    """Give the name of a changed PEER to the other account that claims it.

    Do this only if the other owner has told you, and not by way of the relay, that the account is new and
    what its fingerprint is. The other account begins unverified and without a connection; nothing more is
    sent to the former one, and what waits for it stays here.
    """
    if not yes:
        click.confirm(f"Does the name {named} belong to the other account from now on?", abort=True, err=True)
    _told(_decide("/peers/accept-change", named), "is the other account now, unverified; connect anew")


def _decide(path: str, named: str) -> Mapping[str, object]:
    with local_client() as daemon:
        return daemon.post(path, {"peer": named})


def _told(answer: Mapping[str, object], what: str) -> None:
    if is_json_wanted():
        print_json(answer)
        return
    from .render import clean

    click.echo(f"@{clean(answer.get('owner'))} {what}.")
