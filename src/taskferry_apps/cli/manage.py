"""`taskferry manage`: the passphrase before the key that signs for your account."""

from __future__ import annotations

import click

from .daemon_link import daemon_options, is_json_wanted, json_option, local_client, print_json, say
from .groups import Group
from .secret_input import ask_new_passphrase, ask_passphrase

__all__ = ["manage"]

_WORDS = {
    "none": "This device has no key that signs for the account.",
    "open": "No passphrase stands before the key that signs for the account.",
    "locked": "The key that signs for the account is locked. To let it sign: taskferry manage unlock",
    "unlocked": "The key that signs for the account is unlocked for a while; see: taskferry manage lock",
}


@click.group(cls=Group)
def manage() -> None:
    """Keep the key that signs for your account behind a passphrase.

    While it is locked, messages and tasks go on; approving, permissions, agents and devices wait for you.

    \b
    Examples:
      taskferry manage passphrase
      taskferry manage unlock --minutes 5
      taskferry manage lock
    """


def _told(answer: dict[str, object]) -> None:
    say(answer, _WORDS.get(str(answer.get("manage")), ""))


@manage.command()
@json_option
@daemon_options
def status() -> None:
    """Show whether the key is locked."""
    with local_client() as daemon:
        answer = daemon.get("/health")
    _told({"manage": answer.get("manage", "none")})


@manage.command()
@click.option("--remove", is_flag=True, help="Take the passphrase away.")
@json_option
@daemon_options
def passphrase(remove: bool) -> None:
    """Set a passphrase, or change it; the one in use is asked for first, if there is one.

    Without a terminal each is a line of standard input, in that order.
    """
    with local_client() as daemon:
        in_use = daemon.get("/health").get("manage") in ("locked", "unlocked")
        old = ask_passphrase("Passphrase in use (not shown)") if in_use else ""
        new = "" if remove else ask_new_passphrase()
        body = {"passphrase": old, "new_passphrase": new}
        answer = daemon.post("/manage/passphrase", {name: text for name, text in body.items() if text})
    _told(answer)


@manage.command()
@click.option("--minutes", type=click.IntRange(1, 720), default=15, show_default=True, help="For how long.")
@json_option
@daemon_options
def unlock(minutes: int) -> None:
    """Let the key sign for some minutes. The passphrase is asked for, or read from standard input."""
    body = {"passphrase": ask_passphrase(), "minutes": minutes}
    with local_client() as daemon:
        answer = daemon.post("/manage/unlock", body)
    if is_json_wanted():
        print_json(answer)
        return
    span = "1 minute" if minutes == 1 else f"{minutes} minutes"
    click.echo(f"The key that signs for the account is unlocked for {span}.")
    click.echo("To lock it sooner: taskferry manage lock")


@manage.command()
@json_option
@daemon_options
def lock() -> None:
    """Lock the key at once."""
    with local_client() as daemon:
        answer = daemon.post("/manage/lock", {})
    _told(answer)
