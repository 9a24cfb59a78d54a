"""`taskferry demo`: a whole handoff on this machine, narrated and checked; and its two agents by hand."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .daemon_link import daemon_options, is_json_wanted, json_option, local_client, print_json
from .groups import Group
from .outcome import CommandFailed, Exit

if TYPE_CHECKING:
    from ..demo.play import Audience, Outcome

__all__ = ["demo"]

#: The report on a file travels in one envelope, and so does the file.
_MOST_BYTES = 120_000


@click.group(cls=Group, invoke_without_command=True)
@click.option(
    "--input",
    "document",
    type=click.Path(path_type=Path),
    help="A Markdown or text file.  [default: the README]",
)
@click.option("--keep", type=click.Path(path_type=Path), help="Keep databases and logs in this new folder.")
@click.option(
    "--timeout", type=click.IntRange(5, 3600), default=60, show_default=True, help="Seconds it may take."
)
@json_option
@click.pass_context
def demo(ctx: click.Context, document: Path | None, keep: Path | None, timeout: int) -> None:
    """Run a relay, two daemons and two agents here, and hand one sealed task across and back.

    The requester hands over a file and asks for a report; the writer writes it; the requester finds version 1
    wanting and asks for a revision; version 2 is right. Each step shows what the relay saw of it. At the end
    it is checked that both ends agree, that the relay's files hold nothing readable, and that the exported
    record verifies offline. Exit code 0 only if all of that held.

    \b
    Examples:
      taskferry demo
      taskferry demo --input notes.md --keep /tmp/ferry
    """
    if ctx.invoked_subcommand is not None:
        return
    from ..demo.play import Audience, perform
    from ..demo.stage import Stage
    from ..demo.steps import DemoFailed

    chosen = _document(document)
    folder = _folder(keep)
    audience = Audience() if is_json_wanted() else _printing_audience()
    # Told to stop, it takes its relay and daemons along, as with Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with Stage(folder) as stage:
            outcome = perform(stage, audience, chosen, timeout)
    except KeyboardInterrupt:
        if keep is None:
            shutil.rmtree(folder)
        raise
    except DemoFailed as error:
        raise CommandFailed(f"The demo failed: {str(error).rstrip('.')}. Logs are in {folder}") from None
    if is_json_wanted():
        print_json(_json(outcome))
    if not outcome.held:
        raise CommandFailed(f"Not every check held. Databases and logs are in {folder}")
    if keep is None:
        shutil.rmtree(folder)
    if not is_json_wanted():
        kept = f" Everything is kept in {folder}." if keep else ""
        click.secho(f"\nAll {len(outcome.checks)} checks held, in {outcome.seconds:.1f} s.{kept}", bold=True)


def _document(named: Path | None) -> Path:
    path = named or _readme()
    try:
        content = path.read_bytes()
        content.decode()
    except OSError as error:
        raise CommandFailed(f"{path} cannot be read: {error.strerror}.", Exit.USAGE) from None
    except UnicodeDecodeError:
        raise CommandFailed(f"{path} is not UTF-8 text; the demo reports on documents.", Exit.USAGE) from None
    if len(content) > _MOST_BYTES:
        raise CommandFailed(
            f"{path} has {len(content):,} bytes; up to {_MOST_BYTES:,} fit in one envelope with the report.",
            Exit.USAGE,
        )
    return path.resolve()


def _readme() -> Path:
    """The README: of the checkout that this runs from, or the text that is installed with the package."""
    for folder in (Path.cwd(), *Path(__file__).resolve().parents):
        if (folder / "README.md").is_file() and (folder / "src" / "taskferry_protocol").is_dir():
            return folder / "README.md"
    from importlib.metadata import distribution

    # Installed without a checkout: the README is the body of the distribution's metadata.
    _, _, body = (distribution("taskferry").read_text("METADATA") or "").partition("\n\n")
    path = Path(tempfile.mkdtemp(prefix="taskferry-readme-")) / "README.md"
    path.write_text(body)
    return path


def _folder(keep: Path | None) -> Path:
    if keep is None:
        return Path(tempfile.mkdtemp(prefix="taskferry-demo-"))
    try:
        keep.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        raise CommandFailed(f"{keep} exists already; name a new folder.", Exit.USAGE) from None
    except OSError as error:
        raise CommandFailed(f"{keep} cannot be made: {error.strerror}.", Exit.TROUBLE) from None
    return keep.resolve()


def _printing_audience() -> Audience:
    from .demo_page import PrintingAudience

    return PrintingAudience()


def _json(outcome: Outcome) -> dict[str, object]:
    return {
        "ok": outcome.held,
        "task": outcome.task,
        "seconds": round(outcome.seconds, 2),
        "checks": [{"claim": claim, "held": held, "found": found} for claim, held, found in outcome.checks],
        "relay_saw": [
            {key: line.get(key) for key in ("sender", "recipient", "cls", "size")}
            for line in outcome.relay_saw
        ],
    }


def _tell(words: str) -> None:
    from .render import clean

    # What it tells of may be a peer's own words.
    click.echo(clean(words))


@demo.command()
@click.option("--agent", default="writer", show_default=True, help="The agent to act as.")
@click.option(
    "--tasks", type=click.IntRange(1), help="End after so many tasks.  [default: go on until interrupted]"
)
@daemon_options
def writer(agent: str, tasks: int | None) -> None:
    """Run the demo's writer by hand: do each task that comes for AGENT, until interrupted.

    It takes the text file that comes with a task and submits a report on it, and a better one when it is
    asked for a revision. What else is in the agent's inbox stays there. Where the permission has a gate, a
    task comes once its owner has let it through (`taskferry approvals`); until then it says that one waits.

    \b
    Examples:
      taskferry demo writer
      TASKFERRY_LOCAL_API_TOKEN=… taskferry demo writer \\
        --url http://127.0.0.1:4319 --agent reporter --tasks 1
    """
    from ..demo.steps import DemoFailed
    from ..demo.writer import serve_tasks

    try:
        with local_client() as daemon:
            serve_tasks(daemon, agent, _tell, tasks)
    except DemoFailed as error:
        raise CommandFailed(f"The writer stops: {error}.") from None


@demo.command()
@click.option("--agent", default="requester", show_default=True, help="The agent to act as.")
@click.option("--peer", required=True, help="The writer, @owner/agent.")
@click.option("--input", "document", type=click.Path(path_type=Path), help="The file to hand over.")
@click.option(
    "--patience",
    type=click.IntRange(1, 86_400),
    default=600,
    show_default=True,
    help="Seconds to wait for the other owner's approval, and for each step of the writer.",
)
@daemon_options
def requester(agent: str, peer: str, document: Path | None, patience: int) -> None:
    """Run the demo's requester by hand: get a report on a file from PEER.

    It asks for a connection if there is none, hands the file over, reviews what comes, asks for a revision
    where something is wanting, and completes the task. It says when it waits for the other owner.

    \b
    Example:
      taskferry demo requester --peer @bob/writer --input notes.md
    """
    from ..demo.requester import Assignment, ensure_connected, request_report
    from ..demo.steps import DemoFailed

    path = _document(document)
    job = Assignment(agent, peer, os.path.basename(path), path.read_bytes())
    try:
        with local_client() as daemon:
            ensure_connected(daemon, agent, peer, _tell, patience)
            request_report(daemon, job, _tell, patience)
    except DemoFailed as error:
        raise CommandFailed(f"The requester stops: {error}.") from None
