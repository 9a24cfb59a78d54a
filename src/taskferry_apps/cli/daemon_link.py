"""Finding the daemon and its credential, and calling it from a command."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from ..client import finding
from ..client.errors import NoCredential
from ..credentials import WANTED, is_credential
from ..printed import clean
from .late_modules import load_when_used
from .outcome import CommandFailed, Exit
from .whereabouts import find_daemon

if TYPE_CHECKING:
    from ..client.address import Address
    from ..local_client import ApiError, LocalClient

__all__ = [
    "daemon_address",
    "daemon_options",
    "data_directory",
    "failure_of",
    "is_data_named",
    "is_json_wanted",
    "json_option",
    "local_client",
    "named_credential",
    "open_client",
    "print_json",
    "program_options",
    "say",
    "spoken_of",
]

F = TypeVar("F", bound=Callable[..., object])


def daemon_options(command: F) -> F:
    """Add --url, --token and --data, kept in the context for `local_client`."""
    return _daemon_options(command, "Credential; by default the owner's, found in the data directory.")


def program_options(command: F) -> F:
    """The same for commands that act as an agent, by a credential of its own."""
    return _daemon_options(
        command,
        "Credential of the agent that is acted as; by default one of its own, made at the first start "
        "with the owner's, and kept.",
    )


def _daemon_options(command: F, credential: str) -> F:
    options: tuple[Callable[[F], F], ...] = (
        click.option(
            "--token",
            envvar="TASKFERRY_LOCAL_API_TOKEN",
            expose_value=False,
            callback=_keep,
            help=credential,
        ),
        click.option(
            "--url",
            envvar="TASKFERRY_LOCAL_URL",
            expose_value=False,
            callback=_keep,
            help="Address of the daemon, if it is not the one of the data directory.",
        ),
        click.option(
            "--data",
            envvar="TASKFERRY_DATA",
            type=click.Path(path_type=Path),
            expose_value=False,
            callback=_keep,
            help="Data directory of the daemon.",
        ),
    )
    for option in options:
        command = option(command)
    return command


def _keep(ctx: click.Context, parameter: click.Parameter, value: object) -> None:
    # An option given to a command outranks the same one given to its group.
    if value is not None and parameter.name:
        ctx.ensure_object(dict)[parameter.name] = value


def _kept(name: str) -> object:
    return click.get_current_context().ensure_object(dict).get(name)


def data_directory() -> Path:
    """The data directory that was named, or the default one."""
    named = _kept("data")
    # click has read TASKFERRY_DATA already.
    return finding.data_directory(named if isinstance(named, Path) else None, {})


def is_data_named() -> bool:
    """Whether a data directory was named, by --data or TASKFERRY_DATA."""
    return isinstance(_kept("data"), Path)


def daemon_address() -> Address:
    """The daemon's address: as named, else whoever holds the data directory when it is asked for."""
    named = _kept("url")
    return named if isinstance(named, str) else finding.find_address(data_directory(), os.environ)


def _awaited(data: Path) -> Address:
    """The same for a command, which needs a daemon now: one that starts is waited for."""
    address = daemon_address()
    if isinstance(address, str) or find_daemon(data) is not None:
        return address
    from ..disk import full_disk_words

    where = f" --data {data}" if is_data_named() else ""
    full = full_disk_words(data) if data.is_dir() else ""
    raise CommandFailed(
        f"No daemon runs with the data directory {data}.{full} Start it with `taskferry up{where}`, "
        "or name another with --data, or its address with --url or TASKFERRY_LOCAL_URL.",
        Exit.UNREACHABLE,
    )


def named_credential() -> str:
    """The credential in --token or TASKFERRY_LOCAL_API_TOKEN; else empty. Raises CommandFailed."""
    named = _kept("token")
    if not isinstance(named, str):
        return ""
    if named and not is_credential(named):
        raise CommandFailed(f"That is no credential: one is {WANTED}.", Exit.USAGE)
    return named


def _token(data: Path) -> str:
    if isinstance(_kept("token"), str):
        return named_credential()
    try:
        return finding.owner_credential(data)
    except NoCredential as error:
        step = error.next_step or "Name a credential with --token, or another data directory with --data."
        raise CommandFailed(f"{error.message} {step}", Exit.REFUSED) from error


def open_client(token: str | None = None) -> LocalClient:
    """A client of the daemon as it is to be found now, by a credential, else by that of the options.

    Close it, and mind what its calls raise. Raises DaemonUnreachable where there is no daemon.
    """
    from ..local_client import DaemonUnreachable, LocalClient

    # httpx's transport names it, for those who wait with trio: a sixth of the time that a command takes.
    load_when_used("trio")
    data = data_directory()
    try:
        address = _awaited(data)
    except CommandFailed as failed:
        raise DaemonUnreachable(str(failed)) from None
    return LocalClient(address, _token(data) if token is None else token)


@contextmanager
def local_client() -> Iterator[LocalClient]:
    """A client of the daemon; its refusals end the command with the fitting exit code."""
    with spoken_of(), open_client() as client:
        yield client


@contextmanager
def spoken_of() -> Iterator[None]:
    """What a daemon refuses, and that there is none, ends the command with the fitting exit code."""
    from ..local_client import ApiError, DaemonUnreachable

    try:
        yield
    except DaemonUnreachable as error:
        raise CommandFailed(str(error), Exit.UNREACHABLE) from None
    except ApiError as error:
        raise failure_of(error) from None


def failure_of(error: ApiError) -> CommandFailed:
    """How a command ends that the daemon refuses."""
    return CommandFailed(_in_commands(error), _exit_for(error))


def _in_commands(error: ApiError) -> str:
    """A refusal for people: where its next step is one of a program that speaks HTTP, the command's."""
    if error.code == "unauthorized":
        named = _kept("token") is not None
        step = (
            "Check --token or TASKFERRY_LOCAL_API_TOKEN."
            if named
            else "Name the daemon's data directory with --data, or a credential with --token."
        )
        return f"{error.message} {step}"
    if "/openapi.json" in error.next_step:
        return f"{error.message} Is the daemon of an older version? Start it again: taskferry up"
    return str(error)


def _exit_for(error: ApiError) -> Exit:
    status = error.status
    if status == 404:
        return Exit.NOT_FOUND
    # Before set-up nothing is the matter with the daemon: it is the state that is another.
    if error.code == "not-set-up" or status in (401, 403, 409, 423, 429):
        return Exit.REFUSED
    if status == 400:
        return Exit.USAGE
    return Exit.TROUBLE if status in (500, 503) else Exit.FAILED


def is_json_wanted() -> bool:
    """Whether --json was given."""
    return bool(_kept("json_wanted"))


def json_option(command: F) -> F:
    """Add --json, kept in the context for `is_json_wanted`."""
    option: Callable[[F], F] = click.option(
        "--json",
        "json_wanted",
        is_flag=True,
        default=None,
        expose_value=False,
        callback=_keep,
        help="Print one JSON value, for programs.",
    )
    return option(command)


def say(answer: object, sentence: str) -> None:
    """Print what came of a command: the sentence for people, or the answer for programs."""
    if is_json_wanted():
        print_json(answer)
        return
    from .render import fitted

    click.echo(fitted(sentence))


def print_json(value: object) -> None:
    """One JSON value on standard output, as the daemon gave it; what nobody would see stands in escapes."""
    text = json.dumps(value, ensure_ascii=not _utf8(), indent=2 if os.isatty(1) else None)
    click.echo(text if text.isascii() and "\x7f" not in text else "".join(map(_escaped, text)))


def _escaped(character: str) -> str:
    """A character of JSON, of which only those within texts can be others than it is written in."""
    if character == "\n" or clean(character) == character:
        return character
    return json.dumps(character)[1:-1] if not character.isascii() else f"\\u{ord(character):04x}"


def _utf8() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
