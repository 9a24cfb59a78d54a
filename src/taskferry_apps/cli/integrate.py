"""`taskferry integrate`: bring TaskFerry into the program that an agent runs in, and take it out again."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from .daemon_link import daemon_options, data_directory, is_data_named, open_client
from .outcome import CommandFailed, Exit
from .own_program import own_program

if TYPE_CHECKING:
    from ..integrations.steps import Record, Step

__all__ = ["integrate"]

_RUNTIMES: Final = ("claude-code", "codex", "openclaw", "hermes")
_NAME: Final = re.compile("(?:@[a-z0-9_-]+/)?([a-z0-9][a-z0-9_-]{0,31})")
_ODD: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]|\$\{")


@click.command()
@click.argument("runtime", type=click.Choice(_RUNTIMES))
@click.option("--agent", default="", help="The agent that it acts as; left out, your only one.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("--undo", "back", is_flag=True, help="Take out what this command has brought in.")
@daemon_options
def integrate(runtime: str, agent: str, dry_run: bool, back: bool) -> None:
    """Give a program the tools and the skill of TaskFerry, and tell it when something is new.

    It is done by the program's own installer where that is here, and otherwise in the files that it
    documents. No credential is written into them. What is there already, and not from this command, stays.

    \b
    Examples:
      taskferry integrate claude-code --agent writer
      taskferry integrate codex --agent writer --dry-run
      taskferry integrate claude-code --undo
    """
    from ..integrations.steps import IntegrationFailed, Record

    record = Record(data_directory().absolute() / "integrations", runtime)
    try:
        if back:
            _take_out(record, runtime, dry_run=dry_run)
            return
        steps = _steps(runtime, agent)
        if dry_run:
            _preview(steps, record)
            return
        _bring_in(steps, record, runtime, agent)
    except IntegrationFailed as error:
        from .render import clean

        raise CommandFailed(clean(error), Exit.FAILED) from None


def _steps(runtime: str, agent: str) -> list[Step]:
    from ..integrations.runtimes import Surroundings, steps_for
    from ..integrations.trees import Acting
    from ..release import version

    own = data_directory().absolute()
    acting = Acting(version(), own_program(), _known(agent), str(own) if is_data_named() else "")
    # The texts are read by shells and by programs that put values in place of ${…}.
    if any(_ODD.search(word) for word in (*acting.program, acting.data)):
        raise CommandFailed(
            "The path of this program or of --data holds a control character or ${, which other programs "
            "would misread. Choose another.",
            Exit.USAGE,
        )
    here = Surroundings(Path.home(), own / "integrations", os.environ, shutil.which)
    return steps_for(runtime, acting, here)


def _known(agent: str) -> str:
    """The agent's name; where the daemon runs, it must have one of that name. Raises CommandFailed."""
    match = _NAME.fullmatch(agent)
    if agent and not match:
        raise CommandFailed("--agent takes the name of an agent of yours, such as writer.", Exit.USAGE)
    name = match[1] if match else ""
    from ..local_client import ApiError, DaemonUnreachable
    from .values import objects

    try:
        with open_client() as daemon:
            mine = [str(own["name"]) for own in objects(daemon.get("/agents"), "agents")]
    except (DaemonUnreachable, ApiError):
        return name
    if name and name not in mine:
        raise CommandFailed(
            f"You have no agent {name}. Yours: {', '.join(mine) or 'none'}. "
            f"Create it first: taskferry agent create {name}",
            Exit.NOT_FOUND,
        )
    if not name and len(mine) > 1:
        raise CommandFailed(f"Name one of your agents with --agent: {', '.join(mine)}.", Exit.USAGE)
    return name


def _preview(steps: list[Step], record: Record) -> None:
    if record.read():
        click.echo("Would first undo what an earlier call has done.")
    for step in steps:
        click.echo(f"Would {step.words()}")


def _credential(agent: str) -> None:
    """Make the credential that the program will act by, so that its first start needs nothing of yours."""
    from .agent_credential import HOSTED, agent_credential

    try:
        agent_credential(agent, HOSTED)
    except CommandFailed:
        # What is brought in stands. Where no daemon runs yet, the first start makes it.
        pass


def _bring_in(steps: list[Step], record: Record, runtime: str, agent: str) -> None:
    from ..integrations.steps import apply

    if record.read():
        _take_out(record, runtime, dry_run=False)
    apply(steps, record, _tell)
    _credential(agent)
    click.echo(f"Done. Start {runtime} anew. Undo with: taskferry integrate {runtime} --undo")


def _take_out(record: Record, runtime: str, *, dry_run: bool) -> None:
    from ..integrations.steps import undo

    entries = record.read()
    if not entries:
        click.echo(f"Nothing of this command is in {runtime}.")
        return
    if dry_run:
        click.echo(f"Would undo {len(entries)} steps, which {record.path} names.")
        return
    for sentence in undo(record, _tell):
        click.echo(f"Kept: {sentence}", err=True)
    click.echo(f"TaskFerry is out of {runtime}.")


def _tell(words: str) -> None:
    click.echo(words[0].upper() + words[1:])
