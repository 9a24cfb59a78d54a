"""`taskferry device`: the machines of one owner."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import click

from ..amounts import several
from .daemon_link import daemon_options, is_json_wanted, json_option, local_client, print_json, say
from .groups import Group
from .outcome import CommandFailed, Exit

if TYPE_CHECKING:
    from ..local_client import JsonObject, LocalClient

__all__ = ["device"]

#: Seconds that one question waits; the answer to the next goes on from there.
_WAIT_S: Final = 20
#: Seconds between two looks at the try while the keyboard is waited for.
_LOOK_S: Final = 0.5


@click.group(cls=Group)
def device() -> None:
    """Link, list, name and revoke your machines.

    Each machine is a device of your account with keys of its own. Messages to your agents reach all of them.

    \b
    Examples:
      taskferry device link --relay https://relay.example  (on the new machine)
      taskferry device approve abcd-efgh-ijkm-npqr         (on the one you have)
    """


@device.command("list")
@json_option
@daemon_options
def list_devices() -> None:
    """List your devices, and how far new ones have been brought."""
    with local_client() as daemon:
        answer = daemon.get("/devices")
    if is_json_wanted():
        print_json(answer)
        return
    from .render import clean, short, table
    from .values import object_in, objects, texts

    table(
        ["id", "name", "state", "", "may manage", "agents"],
        (
            [
                short(item.get("id")),
                clean(item.get("label"), most=32),
                clean(item.get("status")),
                "this one" if item.get("here") else "",
                "yes" if item.get("manages") else "no",
                ", ".join(map(clean, texts(item, "agents"))),
            ]
            for item in objects(answer, "devices")
        ),
        empty="No devices.",
    )
    for item in objects(answer, "sharing"):
        click.echo(f"\n{short(item.get('id'))} is given what it lacks: {_progress(item)}")
    history = object_in(answer, "history")
    if history.get("total"):
        click.echo(f"\nThis device was given history: {_progress(history)}")
    for alarm in (answer.get("held"), answer.get("suspended")):
        if alarm:
            click.secho(f"! {clean(alarm)}", fg="red", bold=True)
    if answer.get("held"):
        click.echo("Nothing is sent until the recovery key has settled it.")


def _progress(item: dict[str, object]) -> str:
    return f"{item.get('done')} of {several(item.get('total'), 'message', 'messages')}"


@device.command()
@click.option("--relay", envvar="TASKFERRY_RELAY_HTTP", help="The relay that your account uses.")
@click.option("--label", default="", help="What to call this device, for all who read your log.")
@click.option("--cancel", is_flag=True, help="Give up a try that is under way here.")
@json_option
@daemon_options
def link(relay: str | None, label: str, cancel: bool) -> None:
    """Make this machine, which has no account, a device of yours.

    It shows a code for `taskferry device approve` on a machine that manages the account. Then both show three
    words; type in here what the other one shows. There is one try, and ten minutes.

    \b
    Example:
      taskferry device link --relay https://relay.example --label laptop
    """
    with local_client() as daemon:
        if cancel:
            daemon.delete("/devices/link")
            click.echo("Given up. Nothing was signed.")
            return
        if relay is None:
            raise click.UsageError("Name the relay with --relay URL.")
        body = {"relay": relay} | ({"device_label": label} if label else {})
        state = daemon.post("/devices/link", body)
        click.echo("On a machine that manages your account, within ten minutes:\n", err=True)
        click.echo(f"    taskferry device approve {state.get('code')}\n", err=True)
        click.echo(f"Or open this link there:\n\n    {state.get('link')}\n", err=True)
        _compare(daemon, _leave(daemon, "waiting"))
        state = _leave(daemon, "confirmed")
        answer = daemon.get("/devices")
    if is_json_wanted():
        print_json(answer)
        return
    click.echo(f"Linked: this machine is a device of @{state.get('owner')}. History follows by itself;")
    click.echo("see: taskferry device list")


@device.command()
@click.argument("code")
@click.option(
    "--history",
    type=click.Choice(["none", "30d", "all"]),
    default="all",
    show_default=True,
    help="How much of what was before the new device gets.",
)
@click.option("--manage", is_flag=True, help="Let it sign for the account, too: approve, invite, revoke.")
@json_option
@daemon_options
def approve(code: str, history: str, manage: bool) -> None:
    """Take the machine that shows CODE in as a device of yours.

    Both machines show three words; type in here what the new one shows. Words that do not belong together
    mean that somebody stands in between: nothing is signed then.

    \b
    Examples:
      taskferry device approve abcd-efgh-ijkm-npqr
      taskferry device approve abcd-efgh-ijkm-npqr --history 30d --manage
    """
    with local_client() as daemon:
        daemon.post("/devices/approve", {"code": code, "history": history, "manage": manage})
        _compare(daemon, _leave(daemon, "waiting"))
        _leave(daemon, "confirmed")
        answer = daemon.get("/devices")
        if is_json_wanted():
            print_json(answer)
            return
        click.echo("Linked. What it needs and what it may read of before is on its way.")
        _show_progress(daemon, answer)


def _leave(daemon: LocalClient, phase: str) -> JsonObject:
    """The state once it is another than `phase`. Raises CommandFailed where the try is over."""
    while True:
        state = _still_going(daemon.get("/devices/link", phase=phase, wait=_WAIT_S))
        if state.get("phase") != phase:
            return state


def _still_going(state: JsonObject) -> JsonObject:
    from .render import clean
    from .values import object_in

    if state.get("phase") != "failed":
        return state
    error = object_in(state, "error")
    between = (
        " The other machine was given other words than this one shows: if they were read and typed rightly, "
        "somebody stood in between."
        if error.get("code") == "words-differ"
        else ""
    )
    raise CommandFailed(f"{clean(error.get('message'))}{between} Begin anew on both machines.", Exit.REFUSED)


def _compare(daemon: LocalClient, state: JsonObject) -> None:
    from ..local_client import ApiError
    from .render import clean

    if state.get("side") == "new":
        click.echo(f"The account is @{clean(state.get('owner'))}.", err=True)
    else:
        click.echo(f"The new machine calls itself {clean(state.get('label'), most=64)!r}.", err=True)
    powers = "may" if state.get("manage") else "may not"
    click.echo(f"The new device {powers} sign for the account.\n", err=True)
    click.echo("This machine shows:\n", err=True)
    click.echo(f"    {clean(state.get('words'))}\n", err=True)
    with _told_of_the_end(daemon):
        words = click.prompt("The other machine shows", err=True)
    try:
        daemon.post("/devices/confirm", {"words": words})
    except ApiError as error:
        if error.code == "conflict":
            _still_going(daemon.get("/devices/link"))  # the other machine was faster: it says why
        raise


@contextmanager
def _told_of_the_end(daemon: LocalClient) -> Iterator[None]:
    """End the block, which waits for the keyboard, once the try is over. Raises CommandFailed then."""
    import signal
    import threading

    from ..local_client import ApiError, DaemonUnreachable

    ended: list[CommandFailed] = []
    typed, keyboard = threading.Event(), threading.get_ident()

    def look() -> None:
        try:
            while not typed.is_set():
                _still_going(daemon.get("/devices/link"))
                typed.wait(_LOOK_S)
        except CommandFailed as failed:
            ended.append(failed)
            if not typed.is_set():
                signal.pthread_kill(keyboard, signal.SIGUSR1)
        except (ApiError, DaemonUnreachable):
            return  # the block's own next request says so

    def end(*_: object) -> None:
        raise ended[0]

    before = signal.signal(signal.SIGUSR1, end)
    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield
    except CommandFailed:
        click.echo(err=True)
        raise
    finally:
        typed.set()
        watcher.join()
        signal.signal(signal.SIGUSR1, before)


def _show_progress(daemon: LocalClient, answer: JsonObject) -> None:
    import sys
    import time

    from .values import objects

    listed = objects(answer, "sharing")
    if not sys.stderr.isatty() or not listed:
        return
    most = max(1, *(int(str(item.get("total"))) for item in listed))
    with click.progressbar(length=most, label="history", file=sys.stderr) as bar:
        shown = 0
        while listed:
            done = int(str(listed[0].get("done")))
            bar.update(done - shown)
            shown = done
            time.sleep(0.5)
            listed = objects(daemon.get("/devices"), "sharing")


@device.command()
@click.argument("device")
@click.argument("name")
@json_option
@daemon_options
def rename(device: str, name: str) -> None:
    """Call DEVICE (an id, or its name now) NAME, on all of your machines.

    Peers go on seeing the label that it was linked with: that one is signed.

    \b
    Example:
      taskferry device rename 3f9c01ab kitchen
    """
    _change(lambda daemon: daemon.post(f"/devices/{_part(device)}/rename", {"label": name}), "Renamed.")


@device.command()
@click.argument("device")
@click.option("--reason", default="", help="Why; it stands in your account for all to read.")
@click.option(
    "--lose-agents", is_flag=True, help="Also if agents, or the account, are left without a device."
)
@json_option
@daemon_options
def revoke(device: str, reason: str, lose_agents: bool) -> None:
    """Put DEVICE (an id, or its name) out of your account, for ever.

    The relay ends its session at once; what it signs is refused by peers as soon as they hear of it, and they
    notice when a relay keeps it from them. What it has read it has read.

    \b
    Example:
      taskferry device revoke 3f9c01ab --reason "left on a train"
    """
    body = {"reason": reason, "lose_agents": lose_agents}
    _change(lambda daemon: daemon.post(f"/devices/{_part(device)}/revoke", body), "Revoked.")


@device.command()
@json_option
@daemon_options
def rotate() -> None:
    """Give this device a fresh encryption key now; it happens weekly by itself.

    The former one is kept for the 30 days in which mail sealed to it can still come, and then erased.
    """
    _change(lambda daemon: daemon.post("/devices/rotate", {}), "This device has a fresh key.")


def _part(text: str) -> str:
    from urllib.parse import quote

    return quote(text, safe="")


def _change(change: Callable[[LocalClient], JsonObject], done: str) -> None:
    with local_client() as daemon:
        answer = change(daemon)
    say(answer, done)
