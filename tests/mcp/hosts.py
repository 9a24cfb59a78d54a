"""Two owners' daemons with their doors open, and the hosts of two agents' models, as the SDK has them."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import httpx2
import trio
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client

from taskferry_apps.daemon.api import guard_config
from taskferry_apps.mcp.front import Front
from taskferry_apps.settings import DaemonSettings
from taskferry_transports.guarded_server import BoundServer, serve
from tests.daemon.api.house import Api, House, a_house
from tests.plain import NO_AUTHORITIES

__all__ = ["HANDSHAKE", "MODERN", "WAYS", "Ferry", "Model", "Side", "Way", "a_ferry", "program"]

HANDSHAKE, MODERN = "2025-11-25", "2026-07-28"


@attrs.frozen
class Way:
    """How a host speaks to its server: the transport, and the version of the protocol."""

    transport: str
    version: str

    def __str__(self) -> str:
        return f"{self.transport}-{self.version}"


WAYS = [Way(transport, version) for transport in ("stdio", "http") for version in (HANDSHAKE, MODERN)]


def program(side: Side, *words: str) -> StdioServerParameters:
    """The real `taskferry mcp`, with an agent's credential in its environment."""
    return StdioServerParameters(
        command=sys.executable,
        args=["-m", "taskferry_apps.cli", "mcp", *words],
        env={
            "TASKFERRY_LOCAL_URL": side.url,
            "TASKFERRY_LOCAL_API_TOKEN": side.token,
            "TASKFERRY_DATA": str(side.folder / "no-data"),
            "PYTHONPATH": os.pathsep.join(sys.path),
        },
        cwd=side.work,
    )


@attrs.frozen
class Side:
    """One owner's daemon behind its door, an agent's credential, and the folder that its model works in."""

    api: Api
    url: str
    token: str = attrs.field(repr=False)
    folder: Path
    bound: BoundServer

    @property
    def work(self) -> Path:
        """The model's working directory."""
        return self.folder / "work"

    @asynccontextmanager
    async def host(self, way: Way, *words: str, **more: Any) -> AsyncIterator[Model]:
        """A model's host, connected."""
        mode = "legacy" if way.version == HANDSHAKE else way.version
        with (self.folder / "program.log").open("w") as log:
            if way.transport == "stdio":
                async with Client(
                    stdio_client(program(self, *words), errlog=log), mode=mode, **more
                ) as client:
                    assert client.protocol_version == way.version
                    yield Model(client)
                return
            headers = {"Authorization": f"Bearer {self.token}"}
            async with httpx2.AsyncClient(
                headers=headers, timeout=60, trust_env=False, verify=NO_AUTHORITIES
            ) as http:
                link = streamable_http_client(f"{self.url}/mcp", http_client=http)
                async with Client(link, mode=mode, **more) as client:
                    assert client.protocol_version == way.version
                    yield Model(client)


@attrs.frozen
class Model:
    """A model that calls tools, through its host's client, which holds answers to the tools' schemas."""

    client: Client

    async def call(self, tool: str, **arguments: Any) -> Any:
        """The facts of an answer that is no error."""
        result = await self.client.call_tool(f"taskferry_{tool}", arguments)
        assert not result.is_error, result.content
        return result.structured_content

    async def words(self, tool: str, **arguments: Any) -> str:
        """The words of any answer."""
        result = await self.client.call_tool(f"taskferry_{tool}", arguments)
        (content,) = result.content
        assert content.type == "text"
        return content.text

    async def refused(self, tool: str, **arguments: Any) -> str:
        """The words of an error."""
        result = await self.client.call_tool(f"taskferry_{tool}", arguments)
        assert result.is_error, result.structured_content
        assert result.structured_content is None
        (content,) = result.content
        assert content.type == "text"
        return content.text

    async def until(self, tool: str, holds: Any, **arguments: Any) -> Any:
        """The facts of an answer as soon as they are as awaited."""
        with trio.fail_after(20):
            while not holds(facts := await self.call(tool, **arguments)):
                await trio.sleep(0.05)
        return facts


@attrs.frozen
class Ferry:
    """Alice's `requester` and Bob's `writer`, connected."""

    house: House
    alice: Side
    bob: Side


@asynccontextmanager
async def _open_door(api: Api, folder: Path, *agents: str) -> AsyncIterator[Side]:
    token = (await api.token(*agents)).secret
    assert token is not None
    (folder / "work").mkdir(parents=True)
    settings = DaemonSettings(addr=("127.0.0.1", 0), data=folder / "data")
    front = Front(api.app, api.daemon, settings)
    async with trio.open_nursery() as hosting, trio.open_nursery() as serving:
        hosting.start_soon(front.run, 0.0)
        bound: BoundServer = await serving.start(serve, front, guard_config(settings))
        try:
            yield Side(api, bound.urls[0], token, folder, bound)
        finally:
            bound.draining.set()
            hosting.cancel_scope.cancel()


@asynccontextmanager
async def a_ferry(folder: Path) -> AsyncIterator[Ferry]:
    """Two daemons whose MCP servers are reached over the network of this machine."""
    async with (
        a_house() as house,
        _open_door(house.alice, folder / "alice", "requester") as alice,
        _open_door(house.bob, folder / "bob", "writer") as bob,
    ):
        yield Ferry(house, alice, bob)


def as_json(value: Any) -> str:
    """As it travels."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
