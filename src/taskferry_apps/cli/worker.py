"""`taskferry worker`: run a command for each task that comes for an agent."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import click

from .agent_credential import Acting, agent_credential, agent_name, kept_credential
from .daemon_link import daemon_address, data_directory, program_options
from .durations import Length
from .outcome import CommandFailed, Exit

if TYPE_CHECKING:
    from ..client.address import Address
    from ..worker.serving import Orders
    from ..worker.telling import Tell

__all__ = ["worker"]

F = TypeVar("F", bound=Callable[..., object])

_PROGRAM: Final = "worker"
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}", re.ASCII)
_AT_LEAST_ONE: Final = click.IntRange(1)


def _limit_options(command: F) -> F:
    options: tuple[Callable[[F], F], ...] = (
        click.option("--from", "peers", multiple=True, metavar="PATTERN", help="Only from @alice/* or so."),
        click.option("--title-limit", type=_AT_LEAST_ONE, help="Characters of the longest title."),
        click.option("--brief-limit", type=_AT_LEAST_ONE, help="Characters of brief and requirements."),
        click.option("--requirement-limit", type=_AT_LEAST_ONE, help="How many requirements at most."),
        click.option("--input-limit", type=_AT_LEAST_ONE, help="Bytes of what comes with a task."),
        click.option("--per-day", type=_AT_LEAST_ONE, help="Take so many tasks within a day."),
        click.option("--decline-others", is_flag=True, help="Decline what does not fit."),
        click.option("--ask", is_flag=True, help="Ask you about each task, and wait for your answer."),
        click.option("--max-tasks", type=_AT_LEAST_ONE, help="End after so many tasks and revisions."),
        click.option("--once", is_flag=True, help="End after one task or revision."),
        click.option("--concurrency", type=click.IntRange(1, 64), default=1, show_default=True),
        click.option("--time-limit", type=Length(), default="30m", show_default=True, help="For one run."),
        click.option("--grace", type=Length(), default="10s", show_default=True, help="Before SIGKILL."),
        click.option(
            "--output-limit", type=_AT_LEAST_ONE, default=4_194_304, show_default=True,
            help="Bytes that one run may write to its standard output and error.",
        ),
        click.option(
            "--disk-limit", type=_AT_LEAST_ONE, default=1_073_741_824, show_default=True,
            help="Bytes of each file that one run writes, and of its folder.",
        ),
    )  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


@click.command()
@click.option("--agent", default="", help="The agent of yours that the tasks are for.")
@_limit_options
@click.option(
    "--result",
    type=click.Choice(["auto", "stdout", "files", "json"]),
    default="auto",
    show_default=True,
    help="What is submitted.",
)
@click.option(
    "--progress",
    type=click.Choice(["prefix", "stderr", "none"]),
    default="prefix",
    show_default=True,
    help="Which lines are reports of progress.",
)
@click.option("--env", "variables", multiple=True, metavar="NAME", help="Give this variable to the command.")
@click.option("--api", is_flag=True, help="Give the command the agent's own credential.")
@click.option(
    "--keep",
    type=click.Choice(["all", "failed", "none"]),
    default="failed",
    show_default=True,
    help="Whose folders stay when a task has ended.",
)
@click.option(
    "--directory",
    type=click.Path(path_type=Path),
    help="The worker's folder.  [default: workers/AGENT in the data directory, or workers/AGENT.NAME]",
)
@click.option(
    "--name", default="", help="Tells it from other workers of the agent, and gives it another folder."
)
@click.option(
    "--lease",
    type=Length(),
    help="How long others wait for it when it is not heard of: 15s to 1h.  [default: 90s]",
)
@click.option("--dry-run", is_flag=True, help="Say what would be done with what waits; change nothing.")
@click.option("--json", "is_json", is_flag=True, help="Print one JSON object a step.")
@program_options
@click.argument("command", nargs=-1, type=click.UNPROCESSED, required=True)
def worker(agent: str, command: tuple[str, ...], is_json: bool, **options: object) -> None:
    """Run COMMAND for each task that comes for an agent, and submit what it leaves.

    It runs in a fresh folder, with the task on its standard input. What it writes to standard output, and the
    files in the folder out, are the result; if it fails, the task fails with the reason.

    \b
    Examples:
      taskferry worker --agent writer -- ./count-words.sh
      taskferry worker --agent writer --from '@alice/*' --per-day 20 -- claude -p
      taskferry worker --agent writer --dry-run -- ./count-words.sh
    """
    import trio

    from ..client.errors import DaemonAway, NoCredential, TaskFerryError, Unauthorized
    from ..worker.room import RoomTrouble
    from ..worker.serving import serve

    found = _program(command[0])
    acting = _acting(agent)
    orders = _orders(acting, (found, *command[1:]), options)
    try:
        code = trio.run(serve, orders, _teller(is_json))
    except* RoomTrouble as errors:
        raise CommandFailed(str(_first(errors)), Exit.TROUBLE) from None
    except* (DaemonAway, NoCredential) as errors:
        raise CommandFailed(str(_first(errors)), Exit.UNREACHABLE) from None
    except* Unauthorized as errors:
        raise CommandFailed(f"{_first(errors)} Start the worker again.", Exit.REFUSED) from None
    except* TaskFerryError as errors:
        raise CommandFailed(str(_first(errors)), Exit.REFUSED) from None
    except* OSError as errors:
        # Such as a reader of our output who has enough.
        raise _first(errors) from None
    raise SystemExit(code)


def _program(word: str) -> str:
    """The command's program by its full path: it is started in another folder. Raises CommandFailed."""
    found = shutil.which(word)
    if found is None:
        raise CommandFailed(
            f"There is no command {word!r} that can be run. Name one that is in PATH, or give its path.",
            Exit.USAGE,
        )
    return os.path.abspath(found)


def _acting(agent: str) -> Acting:
    try:
        return agent_credential(agent, _PROGRAM)
    except CommandFailed as error:
        # A worker that has worked before waits for its daemon.
        name = agent_name(agent)
        token = kept_credential(name, _PROGRAM) if error.code is Exit.UNREACHABLE else ""
        if not token:
            raise
        return Acting(name, token)


def _orders(acting: Acting, words: tuple[str, ...], options: dict[str, object]) -> Orders:
    from ..worker.harvest import ResultKind
    from ..worker.rules import Rules
    from ..worker.running import Command, Limits, ProgressFrom
    from ..worker.serving import Orders

    names = _names(options["variables"])
    folder = options["directory"]
    return Orders(
        agent=acting.agent,
        token=acting.token,
        find_url=_finder(daemon_address()),
        command=Command(
            words,
            Limits(
                _number(options["time_limit"]),
                int(_number(options["output_limit"])),
                _number(options["grace"]),
                int(_number(options["disk_limit"])),
            ),
            ProgressFrom(options["progress"]),
        ),
        rules=Rules(
            peers=_names(options["peers"]),
            longest_title=_whole(options["title_limit"]),
            longest_brief=_whole(options["brief_limit"]),
            most_requirements=_whole(options["requirement_limit"]),
            largest_input=_whole(options["input_limit"]),
            per_day=_whole(options["per_day"]),
            is_declining=bool(options["decline_others"]),
            is_asking=bool(options["ask"]),
        ),
        result=ResultKind(options["result"]),
        most=1 if options["once"] else _whole(options["max_tasks"]),
        concurrency=int(_number(options["concurrency"])),
        variables=_checked_names(names),
        gives_api=bool(options["api"]),
        keep=str(options["keep"]),
        folder=folder.absolute() if isinstance(folder, Path) else None,
        workers=data_directory().absolute() / "workers",
        is_dry=bool(options["dry_run"]),
        name=_worker_name(str(options["name"])),
        lease_s=_lease(options["lease"]),
    )


def _worker_name(text: str) -> str:
    if text and not _NAME.fullmatch(text):
        raise CommandFailed(
            f"A worker's name has small letters, digits, - and _, and 32 of them at most; {text!r} is none.",
            Exit.USAGE,
        )
    return text


def _lease(value: object) -> int | None:
    from taskferry_protocol.runtimes import LEASE_LEAST_MS, LEASE_MOST_MS

    if value is None:
        return None
    seconds = int(_number(value))
    if not LEASE_LEAST_MS <= seconds * 1_000 <= LEASE_MOST_MS:
        raise CommandFailed("--lease is a time from 15s to 1h, such as 5m.", Exit.USAGE)
    return seconds


def _finder(address: Address) -> Callable[[], str]:
    """What finds the daemon's address at any time: after a restart it may be another."""
    return address if callable(address) else lambda: address


def _checked_names(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if name.upper().startswith("TASKFERRY_"):
            raise CommandFailed(
                f"{name} is not given to commands. With --api they get the agent's own credential.",
                Exit.USAGE,
            )
        if not name or "=" in name:
            raise CommandFailed(f"--env takes the name of a variable, not {name!r}.", Exit.USAGE)
    return names


def _names(value: object) -> tuple[str, ...]:
    return tuple(str(name) for name in value) if isinstance(value, tuple) else ()


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    found: BaseException = errors
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found


def _teller(is_json: bool) -> Tell:
    from datetime import UTC, datetime

    from ..worker.telling import Told
    from .render import clean, short

    def tell(told: Told) -> None:
        at = datetime.now(UTC)
        if is_json:
            moment = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
            line = {"at": moment, "step": told.what.value, "task_id": told.task or None, "text": told.words}
            click.echo(json.dumps(line))
            return
        task = f"{short(told.task)}  " if told.task else ""
        click.echo(f"{at.astimezone():%H:%M:%S}  {told.what.value:<9}  {task}{clean(told.words)}".rstrip())

    return tell
