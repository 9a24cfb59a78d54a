"""One session of lines: JSON-RPC comes in, the SDK's server answers, for as long as the other side stays."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, Final

import anyio
import mcp_types as types
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.server.lowlevel import Server
from mcp.shared.message import SessionMessage
from pydantic import ValidationError

from .lines import BadLine, Line, error_line, read_line

__all__ = ["serve_lines"]

#: What is ready to be written while the other side is slow; then the tools wait.
_READY: Final = 16


async def serve_lines(
    server: Server[Any], lines: AsyncGenerator[bytes, None], put: Callable[[str], Awaitable[None]]
) -> None:
    """Serve until `lines` ends. `put` writes one line; it is never called by two tasks at once."""
    read_in, read_out = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    write_in, write_out = anyio.create_memory_object_stream[SessionMessage](0)
    say, said = anyio.create_memory_object_stream[str](_READY)
    async with anyio.create_task_group() as tasks, said:
        tasks.start_soon(_write, said, put)
        tasks.start_soon(_pass_on, write_out, say.clone())
        tasks.start_soon(server.run, read_out, write_in, server.create_initialization_options())
        async with read_in, say, aclosing(lines):
            async for raw in lines:
                message = _message(raw)
                if isinstance(message, str):
                    await say.send(message)
                else:
                    await read_in.send(SessionMessage(message))
        # Whoever asked has gone: nothing is owed any more.
        tasks.cancel_scope.cancel()


def _message(raw: bytes) -> types.JSONRPCMessage | str:
    """The message in a line, or the line that answers what is none."""
    try:
        line = read_line(raw)
    except BadLine as bad:
        return bad.answer
    try:
        message: types.JSONRPCMessage = types.jsonrpc_message_adapter.validate_json(line.text, by_name=False)
    except ValidationError:
        return _unfit(line)
    return message


def _unfit(line: Line) -> str:
    return error_line(line.id, types.INVALID_REQUEST, "This message is not as JSON-RPC has it.")


async def _pass_on(
    written: MemoryObjectReceiveStream[SessionMessage], say: MemoryObjectSendStream[str]
) -> None:
    async with written, say:
        async for message in written:
            await say.send(message.message.model_dump_json(by_alias=True, exclude_unset=True))


async def _write(said: MemoryObjectReceiveStream[str], put: Callable[[str], Awaitable[None]]) -> None:
    async for line in said:
        await put(line)
