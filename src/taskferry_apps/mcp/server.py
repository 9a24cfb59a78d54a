"""The tools as a server of the MCP SDK. Importing this takes a second: do it in a thread."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

import anyio
import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError

from ..client.errors import TaskFerryError
from ..release import version
from .answers import Answer, refused
from .catalogue import INSTRUCTIONS, TOOLS, Tool
from .desk import Desk, Noticed
from .tools import call, is_tool

__all__ = ["DeskOf", "make_server"]

_Context = ServerRequestContext[Any, Any]

#: Calls of one session that go on at once; a model that asks for more is told.
_AT_ONCE: Final = 16
#: A notice that nobody answers does not hold the call for ever.
_NOTICE_S: Final = 300.0
_NOTICE: Final = "owner"


DeskOf = Callable[[_Context], Awaitable[Desk]]
"""Finds the desk of the session that a request belongs to. Raises TaskFerryError while there is none."""


def make_server(desk_of: DeskOf) -> Server[Any]:
    """A server for one session, or for all that `desk_of` tells apart."""

    async def list_tools(ctx: _Context, params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        return types.ListToolsResult(tools=_LISTED)

    async def call_tool(
        ctx: _Context, params: types.CallToolRequestParams
    ) -> types.CallToolResult | types.InputRequiredResult:
        if not is_tool(params.name):
            raise MCPError(
                code=types.INVALID_PARAMS,
                message=f"There is no tool {params.name[:64]!r}. See tools/list.",
            )
        try:
            desk = await desk_of(ctx)
            await desk.sit(_host_of(ctx))
        except TaskFerryError as error:
            return _result(refused(error))
        load = desk.memory.load
        if load.count >= _AT_ONCE:
            return _result(Answer(f"{_AT_ONCE} calls are under way already. Wait for one of them."))
        load.count += 1
        try:
            return _result(await call(desk, params.name, params.arguments or {}, _SdkHost(ctx, params)))
        except _AskHost as asking:
            return types.InputRequiredResult(input_requests={_NOTICE: _elicitation(asking.message)})
        finally:
            load.count -= 1

    return Server(
        "taskferry",
        title="TaskFerry",
        version=version(),
        instructions=INSTRUCTIONS,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        get_tool_input_schema=lambda name: TOOLS[name].takes if is_tool(name) else None,
    )


def _host_of(ctx: _Context) -> str:
    """What the program that hosts the model calls itself; empty where it does not say."""
    params = ctx.session.client_params
    return "" if params is None else params.client_info.name


def _listed(tool: Tool) -> types.Tool:
    return types.Tool(
        name=tool.name,
        title=tool.title,
        description=tool.about,
        input_schema=tool.takes,
        output_schema=tool.gives,
        annotations=types.ToolAnnotations(
            read_only_hint=tool.reads_only,
            destructive_hint=tool.destroys,
            idempotent_hint=tool.repeats_safely,
            open_world_hint=tool.reaches_others,
        ),
    )


_LISTED: Final = [_listed(tool) for tool in TOOLS.values()]


def _result(answer: Answer) -> types.CallToolResult:
    return types.CallToolResult(
        content=[types.TextContent(type="text", text=answer.text)],
        structured_content=None if answer.facts is None else dict(answer.facts),
        is_error=answer.is_error,
    )


class _AskHost(Exception):
    """The host has to be asked by an answer, since it cannot be asked otherwise (2026-07-28)."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class _SdkHost:
    """The host of a running call, by the SDK."""

    def __init__(self, ctx: _Context, params: types.CallToolRequestParams) -> None:
        self._ctx = ctx
        self._params = params

    async def progress(self, done: float, total: float, message: str) -> None:
        """A progress notification, if the host has asked for them."""
        await self._ctx.session.report_progress(done, total, message)

    async def notice(self, message: str) -> Noticed:
        """An elicitation without a field: there is nothing to give, and nothing that could count."""
        said = (self._params.input_responses or {}).get(_NOTICE)
        if said is not None:
            return "seen" if isinstance(said, types.ElicitResult) and said.action == "accept" else "left"
        session = self._ctx.session
        capabilities = session.client_capabilities
        if capabilities is None or capabilities.elicitation is None:
            return "unable"
        if not session.can_send_request:
            if self._ctx.protocol_version in _ASKED_BY_ANSWERS:
                raise _AskHost(message)
            return "unable"
        with anyio.move_on_after(_NOTICE_S):
            try:
                result = await session.elicit_form(message, _NO_FIELDS, self._ctx.request_id)
            except MCPError:
                return "unable"
            return "seen" if result.action == "accept" else "left"
        return "left"


_ASKED_BY_ANSWERS: Final = frozenset({"2026-07-28"})
_NO_FIELDS: Final[dict[str, Any]] = {"type": "object", "properties": {}}


def _elicitation(message: str) -> types.ElicitRequest:
    return types.ElicitRequest(
        params=types.ElicitRequestFormParams(message=message, requested_schema=_NO_FIELDS)
    )
