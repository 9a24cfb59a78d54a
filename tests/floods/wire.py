"""Attackers' ends of connections: from an address of this machine's own, and what a server said to them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress

import attrs
import trio

from tests.transports.raw import read_head, upgrade

__all__ = ["Ledger", "Target", "Tell", "get", "heard", "opened", "said", "upgraded", "why"]

Tell = Callable[[str], None]
"""Notes one outcome: a code, or in a word what happened."""

_CODE = re.compile(rb'"code": ?"([a-z-]+)"')
_STATUS = re.compile(rb"HTTP/1\.1 ([0-9]{3})")


@attrs.define
class Ledger:
    """How often each attack had which outcome."""

    outcomes: dict[str, Counter[str]] = attrs.field(factory=dict)

    def of(self, attack: str) -> Tell:
        """What one attack notes its outcomes by."""
        counter = self.outcomes.setdefault(attack, Counter())

        def tell(outcome: str) -> None:
            counter[outcome] += 1

        return tell


@attrs.frozen
class Target:
    """Where the server listens, and when the trial began, by which the cast is made anew here."""

    host: str
    port: int
    began: int = 0
    token: str = ""

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://{self.host}:{self.port}"


async def opened(target: Target, source: str) -> trio.SocketStream:
    """A connection from an address of 127.0.0.0/8."""
    return await trio.open_tcp_stream(target.host, target.port, local_address=source)


async def upgraded(target: Target, source: str, *headers: str) -> trio.SocketStream:
    """A WebSocket whose upgrade was answered. Raises trio.BrokenResourceError with the code if it was not."""
    stream = await opened(target, source)
    await stream.send_all(upgrade("/v1/ws", *headers))
    answer = await read_head(stream)
    if not answer.startswith(b"HTTP/1.1 101"):
        await stream.aclose()
        raise trio.BrokenResourceError(said(answer))
    return stream


def said(answer: bytes) -> str:
    """The code of an answer: of its body, of the close frame behind an upgrade, else its status."""
    if answer[:1] in (b"\x82", b"\x88"):
        while len(answer) >= 4 and answer[0] != 0x88:
            answer = answer[2 + answer[1] :] if answer[1] < 126 else b""
        return f"close {int.from_bytes(answer[2:4])}" if len(answer) >= 4 else "hung up"
    code = _CODE.search(answer)
    if code is not None:
        return code[1].decode()
    status = _STATUS.match(answer)
    return f"HTTP {status[1].decode()}" if status is not None else "hung up"


async def heard(stream: trio.SocketStream, seconds: float) -> str:
    """What the server says until it hangs up, or `left alone` if it does not in this time."""
    got = b""
    with trio.move_on_after(seconds), suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        while len(got) < 65_536:
            data = await stream.receive_some(16_384)
            if not data:
                return said(got)
            got += data
        return said(got)
    return said(got) if got else "left alone"


async def get(stream: trio.SocketStream, lines: Sequence[str], body: bytes = b"") -> str:
    """One request on a kept connection; the code that it was answered with."""
    head = [*lines, f"Content-Length: {len(body)}"] if body else list(lines)
    await stream.send_all("\r\n".join([*head, "", ""]).encode() + body)
    got = b""
    while b"\r\n\r\n" not in got:
        data = await stream.receive_some(65_536)
        if not data:
            return "hung up"
        got += data
    start, _, rest = got.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: ([0-9]+)", start)
    while length is not None and len(rest) < int(length[1]):
        data = await stream.receive_some(65_536)
        if not data:
            break
        rest += data
    return said(start + b"\r\n\r\n" + rest)


def why(failed: BaseException) -> str:
    """The code with which a session ended, or what broke."""
    while isinstance(failed, BaseExceptionGroup):
        failed = failed.exceptions[0]
    code = getattr(failed, "code", None)
    return str(code.value) if code is not None else type(failed).__name__
