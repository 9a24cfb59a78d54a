"""A credential for one agent, for the programs that this command line runs as that agent.

It is made once with the owner's credential, labelled with the program, and kept in the data directory, so
that what a peer talks the program into is never done with the owner's powers.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from .daemon_link import data_directory, local_client, named_credential, open_client
from .outcome import CommandFailed, Exit

if TYPE_CHECKING:
    from ..local_client import LocalClient

__all__ = [
    "HOSTED",
    "Acting",
    "agent_credential",
    "agent_name",
    "check_not_owners",
    "kept_credential",
    "made_credential",
]

#: What runs in an agent's host goes by one credential: its tools, and what wakes it.
HOSTED: Final = "mcp"
FOLDER: Final = "programs"
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}", re.ASCII)
_UNAUTHORIZED: Final = 401
_OWNER_ONLY: Final = "owner-only"


class Acting(NamedTuple):
    """As whom a program acts: the agent's name, and the credential, which is that agent's alone.

    `agent` is empty where a credential was named without an agent: the daemon knows for whom it is.
    """

    agent: str
    token: str


def agent_name(text: str) -> str:
    """The name in `writer` or `@bob/writer`; empty for nothing. Raises CommandFailed for what is neither."""
    name = text.rpartition("/")[2] if text.startswith("@") else text
    if text and not _NAME.fullmatch(name):
        raise CommandFailed(
            f"{text!r} names no agent. Name one of yours, such as writer; see: taskferry agent list",
            Exit.USAGE,
        )
    return name


def agent_credential(agent: str, program: str) -> Acting:
    """A credential that the daemon knows: the one that was named, else the kept one, else a new one.

    `agent` may be a handle, or empty where there is but one. Raises CommandFailed, also where no daemon runs.
    """
    name, named = agent_name(agent), named_credential()
    if named:
        return Acting(name, named)
    if not name:
        with local_client() as daemon:
            agent = name = _one_of(_own_agents(daemon), "")
    token = kept_credential(name, program)
    if token and _is_for(token, agent):
        return Acting(name, token)
    with _one_at_a_time():
        # A host starts several of its programs at once: the first one makes it for all.
        other = kept_credential(name, program)
        if other != token and _is_for(other, agent):
            return Acting(name, other)
        return made_credential(agent, program)


def kept_credential(name: str, program: str) -> str:
    """The credential that was made for a program and agent; empty if there is none. Asks no daemon."""
    from ..credentials import is_credential
    from ..daemon.private_files import UnsafeFile, read_private

    if not name:
        return ""
    try:
        found = read_private(_place(name, program)).decode(errors="replace").strip()
    except FileNotFoundError:
        return ""
    except (UnsafeFile, OSError) as error:
        raise CommandFailed(f"The program's credential cannot be read: {error}", Exit.REFUSED) from None
    return found if is_credential(found) else ""


def made_credential(agent: str, program: str) -> Acting:
    """A new credential for a program and agent, kept for the next time. Raises CommandFailed."""
    from ..daemon.private_files import UnsafeFile, make_private_directory, write_private

    with local_client() as daemon:
        name = _one_of(_own_agents(daemon), agent)
        token = str(daemon.post("/tokens", {"agents": [name], "label": program})["token"])
    place = _place(name, program)
    try:
        make_private_directory(place.parent)
        write_private(place, token.encode() + b"\n")
    except (UnsafeFile, OSError) as error:
        raise CommandFailed(f"The program's credential cannot be kept: {error}", Exit.REFUSED) from None
    return Acting(name, token)


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Hold the data directory against others that make a credential; where there is none, nobody does."""
    import fcntl

    try:
        folder = os.open(data_directory(), os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        yield
        return
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _place(name: str, program: str) -> Path:
    return data_directory() / FOLDER / f"{program}-{name}.token"


def _own_agents(daemon: LocalClient) -> list[tuple[str, str]]:
    """Name and handle of each agent of the owner's."""
    listed = daemon.get("/agents")["agents"]
    found = listed if isinstance(listed, list) else []
    return [(str(item["name"]), str(item["handle"])) for item in found]


def _one_of(agents: Sequence[tuple[str, str]], wanted: str) -> str:
    """The agent that is meant. Raises CommandFailed, and lists those that there are."""
    fitting = [name for name, handle in agents if not wanted or wanted in (name, handle)]
    if len(fitting) == 1:
        return fitting[0]
    if not agents:
        raise CommandFailed("There is no agent yet. Create one: taskferry agent create NAME", Exit.NOT_FOUND)
    names = ", ".join(name for name, _ in agents)
    if not wanted:
        raise CommandFailed(f"Which agent? Name one with --agent: {names}.", Exit.USAGE)
    raise CommandFailed(f"There is no agent {wanted} here. There are: {names}.", Exit.NOT_FOUND)


_OWNERS: Final = (
    "The owner's credential is not for models: what a peer talks one into would be done with it. "
    "Take it out of --token and TASKFERRY_LOCAL_API_TOKEN; one of the agent's own is made then."
)


def check_not_owners(token: str) -> None:
    """Nothing, unless the daemon takes a credential for its owner's. Raises CommandFailed."""
    from ..local_client import ApiError

    with _in_a_sentence(), open_client(token) as daemon:
        try:
            daemon.get("/tokens")
        except ApiError as error:
            if error.code == _OWNER_ONLY:
                return
            raise
    raise CommandFailed(_OWNERS, Exit.REFUSED)


def _is_for(token: str, agent: str) -> bool:
    """Whether the daemon knows the credential, and it is for the agent that is named, by name or handle."""
    from ..local_client import ApiError

    with _in_a_sentence(), open_client(token) as daemon:
        try:
            return any(agent in names for names in _own_agents(daemon))
        except ApiError as error:
            if error.status == _UNAUTHORIZED:
                return False
            raise


@contextmanager
def _in_a_sentence() -> Iterator[None]:
    from ..local_client import ApiError, DaemonUnreachable

    try:
        yield
    except DaemonUnreachable as error:
        raise CommandFailed(str(error), Exit.UNREACHABLE) from None
    except ApiError as error:
        raise CommandFailed(str(error), Exit.REFUSED) from None
