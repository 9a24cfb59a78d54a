"""Two daemons behind their local APIs, a relay between them; a caller that holds answers to the schemas."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

import attrs
import httpx
import trio
from jsonschema import Draft202012Validator
from quart_trio import QuartTrio

from taskferry_apps.daemon.api import create_api, guard_config
from taskferry_apps.daemon.api.openapi import describe
from taskferry_apps.daemon.api.routes import ROUTES
from taskferry_apps.daemon.link import Route
from taskferry_apps.daemon.service import Daemon
from taskferry_apps.settings import DaemonSettings
from taskferry_transports.guarded_server import BoundServer, serve
from tests.daemon.worlds import SECRET, URL, Machine, World, a_world, connected, set_up, until
from tests.plain import NO_AUTHORITIES

__all__ = [
    "DOCUMENT",
    "HOST",
    "Answer",
    "Api",
    "House",
    "a_house",
    "a_lone_daemon",
    "a_new_daemon",
    "check_answer",
    "served",
    "until",
]

HOST = "127.0.0.1:4318"
DOCUMENT = describe(ROUTES, "test")


@attrs.frozen
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    raw: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.raw)

    @property
    def error(self) -> Any:
        """The error, which must have the one shape of all errors."""
        check(self.json, {"$ref": "#/components/schemas/Error"})
        return self.json["error"]


def check(value: Any, schema: Any) -> None:
    """Hold a value against a schema of the document."""
    Draft202012Validator({**schema, "components": DOCUMENT["components"]}).validate(value)


def check_answer(method: str, path: str, answer: Answer) -> None:
    """Hold an answer against what the document says of its path."""
    operation = _operation(method, path)
    if operation is None and answer.headers.get("content-type", "").startswith(("text/html", "text/plain")):
        return  # an owner's page, or numbers, which the document does not speak of
    if answer.status != 200 or operation is None:
        assert answer.error
        return
    (media,) = operation["responses"]["200"]["content"]
    assert answer.headers["content-type"].startswith(media)
    if media == "application/json":
        check(answer.json, operation["responses"]["200"]["content"][media]["schema"])


def _operation(method: str, path: str) -> Any:
    steps = path.split("/")
    fitting = [
        (template.count("{"), template)
        for template in DOCUMENT["paths"]
        if len(template.split("/")) == len(steps)
        and all(a == b or a.startswith("{") for a, b in zip(template.split("/"), steps, strict=True))
    ]
    return DOCUMENT["paths"][min(fitting)[1]].get(method.lower()) if fitting else None


@attrs.frozen
class Api:
    """A program with a credential, calling one daemon's API in this process."""

    app: QuartTrio
    daemon: Daemon
    secret: str | None = SECRET

    def holding(self, secret: str | None) -> Api:
        """The same with another credential."""
        return Api(self.app, self.daemon, secret)

    async def get(self, path: str, headers: Mapping[str, str] | None = None, **query: Any) -> Answer:
        """GET."""
        return await self.call("GET", path, headers=headers, query=query)

    async def post(self, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        """POST of a JSON value."""
        return await self.call("POST", path, json.dumps({} if body is None else body).encode(), headers)

    async def call(
        self,
        method: str,
        path: str,
        raw: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, Any] | None = None,
    ) -> Answer:
        """Any request; a header that is None is left out."""
        sent: dict[str, str | None] = {"Host": HOST}
        if self.secret is not None:
            sent["Authorization"] = f"Bearer {self.secret}"
        if raw is not None:
            sent["Content-Type"] = "application/json"
        sent.update(headers or {})
        with trio.fail_after(30):
            client: Any = self.app.test_client()
            response = await client.open(
                path + (f"?{urlencode(query)}" if query else ""),
                method=method,
                data=raw,
                headers={name: value for name, value in sent.items() if value is not None},
            )
            content = bytes(await response.get_data(as_text=False))
        found = {name.lower(): value for name, value in response.headers.items()}
        assert not any(name.startswith("access-control") for name in found)
        assert found["cache-control"] == "no-store"
        assert found["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in found["content-security-policy"]
        answer = Answer(response.status_code, found, content)
        if method != "HEAD":
            check_answer(method, path, answer)
        return answer

    async def ok(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """The JSON of a call that must succeed."""
        raw = json.dumps(body).encode() if body is not None else None
        answer = await self.call(method, path, raw, query=query)
        assert answer.status == 200, answer.raw
        return answer.json

    async def token(self, *agents: str) -> Api:
        """A program of these agents."""
        return self.holding((await self.ok("POST", "/tokens", {"agents": agents, "label": "test"}))["token"])


@attrs.frozen
class House:
    """Alice and Bob, whose agents are connected."""

    world: World
    alice: Api
    bob: Api

    async def task(self, **more: Any) -> str:
        """A task of Alice's that Bob's agent has."""
        body = {"from": "requester", "to": "@bob/writer", "title": "Report", "description": "Write it."}
        task = str((await self.alice.ok("POST", "/tasks", body | more))["task_id"])
        await self.until_state(self.bob, task, "sent")
        return task

    async def until_state(self, api: Api, task: str, state: str) -> Any:
        """The task as soon as it is in that state there."""

        async def there():
            answer = await api.get(f"/tasks/{task}")
            return answer.json if answer.status == 200 and answer.json["state"] == state else None

        return await until(there)

    async def mail(self, api: Api, agent: str, kind: str) -> Any:
        """The first unprocessed item of a type, as soon as there is one."""

        async def there():
            found = await api.ok("GET", "/inbox", agent_id=agent, unprocessed="true")
            return next((item for item in found["messages"] if item["type"] == kind), None)

        return await until(there)


def serve_api(daemon: Daemon) -> Api:
    """The API of a daemon."""
    return Api(create_api(daemon, DaemonSettings()), daemon)


@asynccontextmanager
async def a_house() -> AsyncIterator[House]:
    """A relay and two daemons, set up and connected."""
    async with a_world() as world, connected(world) as (a, b):
        yield House(world, serve_api(a), serve_api(b))


@asynccontextmanager
async def served(
    api: Api, secret: str | None = SECRET
) -> AsyncIterator[tuple[httpx.AsyncClient, BoundServer]]:
    """An API behind the real server on this machine, and a client with a credential."""
    guard = guard_config(DaemonSettings(addr=("127.0.0.1", 0)))
    headers = {} if secret is None else {"Authorization": f"Bearer {secret}"}
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            bound: BoundServer = await nursery.start(serve, api.app, guard)
            async with httpx.AsyncClient(
                base_url=bound.urls[0], headers=headers, timeout=30, verify=NO_AUTHORITIES
            ) as client:
                yield client, bound
            bound.draining.set()


@asynccontextmanager
async def a_lone_daemon() -> AsyncIterator[Api]:
    """A daemon with an account, an agent and no connection: quickly made."""
    async with a_world() as world, world.running(Machine("alice")) as daemon:
        await set_up(daemon, "alice", "requester")
        yield serve_api(daemon)


class Behind(World):
    """A world whose relay is reached under any URL that an owner names."""

    def route_to(self, url: str) -> Route:
        """The way to the one relay there is."""
        return super().route_to(URL)


@asynccontextmanager
async def a_new_daemon() -> AsyncIterator[Api]:
    """A daemon that has no account yet."""
    async with a_world() as world:
        behind = Behind(world.nursery, world.relay_store, world.clock, world.network)
        async with behind.running(Machine("carol")) as daemon:
            yield serve_api(daemon)
