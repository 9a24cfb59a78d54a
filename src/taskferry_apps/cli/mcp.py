"""`taskferry mcp`: an agent's tools over MCP, on standard input and output."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, BinaryIO, Final

import click

from .agent_credential import (
    HOSTED,
    Acting,
    agent_credential,
    agent_name,
    check_not_owners,
    kept_credential,
    made_credential,
)
from .daemon_link import daemon_address, data_directory, named_credential, program_options
from .outcome import CommandFailed, Exit

if TYPE_CHECKING:
    from taskferry_transports.blocking_websocket import BlockingWebSocket

    from ..mcp.local_files import LocalFiles
    from ..mcp.standalone import Whereabouts

__all__ = ["mcp"]

_UNAUTHORIZED: Final = 401


@click.command()
@click.option("--agent", default="", help="The agent to act as; needed where you have several.")
@click.option(
    "--root",
    "roots",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="A folder whose files may be sent.  [default: the working directory]",
)
@program_options
def mcp(agent: str, roots: tuple[Path, ...]) -> None:
    """Serve the tools of an agent over MCP, for a program that starts this as its MCP server.

    The agent's credential is made at the first start and kept; your own is never used. Hidden files, keys and
    whatever lies outside of the folders named by --root are not sent, whoever asks for it.

    \b
    Examples:
      claude mcp add --scope user taskferry -- taskferry mcp --agent writer
      codex mcp add taskferry -- taskferry mcp --agent writer
    """
    if sys.stdin.isatty():
        click.echo(
            "This waits for a host's messages on standard input. How hosts start it: docs/mcp.md", err=True
        )
    stdin, out = _claimed()
    files = _files(roots)
    signal.signal(signal.SIGTERM, _leave)
    try:
        dial = _dialled(agent)
    except _NoServer:
        _standalone(agent, files, stdin, out)
        return
    from ..mcp.pipe import Pipe

    link, again = dial
    Pipe(link, again, files, out, host_gone=lambda: os.kill(os.getpid(), signal.SIGTERM)).run(stdin)


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(Exit.OK)


def _claimed() -> tuple[BinaryIO, FileIO]:
    """The host's two ends. Whatever else is printed by mistake goes to standard error."""
    out = FileIO(os.dup(1), "wb")
    os.dup2(2, 1)
    return os.fdopen(os.dup(0), "rb"), out


def _files(roots: tuple[Path, ...]) -> LocalFiles:
    from ..mcp.local_files import LocalFiles, usable_root

    here = Path.cwd()
    named = list(roots) or ([here] if usable_root(here) else [])
    return LocalFiles(named, private=[data_directory()])


# --- The pipe -----------------------------------------------------------------------------------------------


class _NoServer(Exception):
    """No daemon serves MCP at its address now."""


def _dialled(agent: str) -> tuple[BlockingWebSocket, Callable[[], BlockingWebSocket]]:
    """A connection, and how to make another. Raises _NoServer, CommandFailed."""
    from taskferry_transports.blocking_websocket import CannotDial, DialRejected

    from ..mcp.pipe import connect
    from ..system import entropy

    name = agent_name(agent)
    # A handle says whose agent is meant, and only the daemon knows whether it is this owner's.
    kept = "" if agent != name else kept_credential(name, HOSTED)
    acting = Acting(name, named_credential() or kept)
    # The same over all connections, so that a daemon that was away knows the session again.
    session = (entropy(16).hex(), Path.cwd().name)
    try:
        if not acting.token:
            acting = agent_credential(agent, HOSTED)
        try:
            link = connect(daemon_address(), acting.token, acting.agent, *session)
        except DialRejected as rejected:
            if rejected.status != _UNAUTHORIZED or named_credential():
                raise
            # It was revoked since the last session; the owner has started another.
            acting = made_credential(agent, HOSTED)
            link = connect(daemon_address(), acting.token, acting.agent, *session)
    except CannotDial:
        raise _NoServer from None
    except DialRejected as rejected:
        raise _told(rejected) from None
    except CommandFailed as failed:
        if failed.code == Exit.UNREACHABLE:
            raise _NoServer from None
        raise
    context = click.get_current_context()

    def again() -> BlockingWebSocket:
        # In the other thread; a daemon that was started anew may listen elsewhere.
        with context.scope(cleanup=False):
            return connect(daemon_address(), acting.token, acting.agent, *session)

    return link, again


def _told(rejected: Exception) -> Exception:
    """What a refused connection means: a sentence for the owner, or that this daemon serves no MCP."""
    import json

    status: int = getattr(rejected, "status", 0)
    if status in (404, 405, 503):
        return _NoServer()
    try:
        error = json.loads(getattr(rejected, "body", b""))["error"]
        message = f"{error['message']} {error['next']}"
    except (ValueError, KeyError, TypeError):
        message = "What answers at the daemon's address is no TaskFerry daemon. Check --url."
    return CommandFailed(message, Exit.REFUSED)


# --- Without a daemon ---------------------------------------------------------------------------------------


def _standalone(agent: str, files: LocalFiles, stdin: BinaryIO, out: FileIO) -> None:
    from ..client.errors import DaemonAway, TaskFerryError
    from ..mcp.standalone import Whereabouts, serve_standalone

    context = click.get_current_context()
    found: list[Acting] = []

    def find() -> Whereabouts:
        with context.scope(cleanup=False):
            try:
                if not found:
                    acting = agent_credential(agent, HOSTED)
                    # The daemon's own server refuses it, too.
                    check_not_owners(acting.token)
                    found.append(acting)
                return Whereabouts(found[0].agent, daemon_address(), found[0].token)
            except CommandFailed as failed:
                if failed.code == Exit.UNREACHABLE:
                    raise DaemonAway(str(failed)) from None
                raise TaskFerryError(str(failed)) from None

    serve_standalone(find, files, stdin, out)
