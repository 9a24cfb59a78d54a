"""Carrying out a hint: a POST to the address that was checked, or a program; never longer than a minute."""

from __future__ import annotations

import os
import signal
import ssl
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit

import httpx
import trio

from taskferry_transports.whole_answer import UNREADABLE

from ..others_environment import without_ours
from .wake_addresses import address_problem, url_problem
from .wake_calls import CommandCall, HttpCall

__all__ = ["carry"]

_HTTP_S: Final = 15.0
_COMMAND_S: Final = 60.0
#: For a program to end by itself when it is asked to.
_GRACE_S: Final = 5.0
#: Until a program is gone that was killed.
_LAST_S: Final = 1.0
#: So many addresses of one name are tried; whoever answers for the name may list any number.
_ADDRESSES: Final = 4


def _nowhere(process: trio.Process) -> None:
    """For whoever gives one hint and no more."""


async def carry(
    call: HttpCall | CommandCall, still_running: Callable[[trio.Process], None] = _nowhere
) -> str:
    """Why it did not get through, in a sentence; empty if it did.

    `still_running` is told of a program that could not be ended: another is not to be started beside it.
    """
    if isinstance(call, CommandCall):
        return await _run(call, still_running)
    with trio.move_on_after(_HTTP_S):
        return await _post(call)
    return _late(_HTTP_S)


def _late(patience_s: float) -> str:
    return f"There was no answer within {patience_s:.0f} seconds."


async def _post(call: HttpCall) -> str:
    problem = url_problem(call.url, allow_private=call.allow_private)
    if problem:
        return problem
    parts = urlsplit(call.url)
    host = parts.hostname or ""
    try:
        found = await trio.socket.getaddrinfo(
            host, parts.port or (443 if parts.scheme == "https" else 80), type=trio.socket.SOCK_STREAM
        )
    except (OSError, UnicodeError):
        return f"{host} is not known."
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    for address in addresses:
        problem = address_problem(host, address, allow_private=call.allow_private)
        if problem:
            return problem
    return await _post_to(call, host, addresses[:_ADDRESSES])


async def _post_to(call: HttpCall, host: str, addresses: Sequence[str]) -> str:
    """The name was looked up once; the connection goes to what was checked, and follows nothing further.

    A name has several addresses where not each is served, as localhost does: the next is tried then.
    """
    timeout = httpx.Timeout(_HTTP_S, connect=_HTTP_S / len(addresses))
    failure: Exception | None = None
    async with httpx.AsyncClient(
        verify=_authorities(call.url), trust_env=False, follow_redirects=False, timeout=timeout
    ) as client:
        for address in addresses:
            try:
                return await _post_by(client, call, host, address)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                failure = error
            except (httpx.HTTPError, *UNREADABLE) as error:
                failure = error
                break
    return f"It could not be reached: {type(failure).__name__}."


def _authorities(url: str) -> ssl.SSLContext:
    """The system's, as everywhere here. httpx's own are a file that an upgrade of this program takes away."""
    if url.startswith("http:"):
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # asked for, and not used
    return ssl.create_default_context()


async def _post_by(client: httpx.AsyncClient, call: HttpCall, host: str, address: str) -> str:
    url = httpx.URL(call.url)
    async with client.stream(
        "POST",
        url.copy_with(host=address),
        content=call.body,
        headers={**call.headers, "host": url.netloc.decode("ascii")},
        extensions={"sni_hostname": host},
    ) as answer:
        return "" if answer.is_success else f"It answered {answer.status_code}."


async def _run(call: CommandCall, still_running: Callable[[trio.Process], None]) -> str:
    try:
        process = await trio.lowlevel.open_process(
            list(call.command),
            env={**without_ours(os.environ), **call.variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        return f"It could not be started: {getattr(error, 'strerror', None) or type(error).__name__}."
    try:
        with trio.move_on_after(_COMMAND_S):
            await process.wait()
            return "" if process.returncode == 0 else f"It ended with {process.returncode}."
    finally:
        if process.returncode is None:
            with trio.CancelScope(shield=True):
                await _end(process)
    if process.returncode is None:
        still_running(process)
        return f"It runs for longer than {_COMMAND_S:.0f} seconds, and cannot be ended from here."
    return _late(_COMMAND_S)


async def _end(process: trio.Process) -> None:
    """End a program whose time is over, and all that it has started: each hint would leave more of it.

    Nobody waits for what the system does not let us end, as a program that runs as another user.
    """
    for number, patience_s in ((signal.SIGTERM, _GRACE_S), (signal.SIGKILL, _LAST_S)):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with trio.move_on_after(patience_s):
            await process.wait()
