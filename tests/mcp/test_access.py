"""Who is let in: an agent's credential, for its own agents and as long as it holds; no owner, no web page."""

from __future__ import annotations

import json
from typing import Any

import httpx
import httpx2
import pytest
import trio
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from taskferry_apps.daemon.api import guard_config
from taskferry_apps.mcp import front
from taskferry_apps.settings import DaemonSettings
from taskferry_transports.blocking_websocket import BlockingWebSocket, DialRejected, Ended
from taskferry_transports.guarded_server import serve
from tests.daemon.worlds import SECRET
from tests.plain import NO_AUTHORITIES

from .hosts import HANDSHAKE, Ferry, Side, Way

OPENING = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": HANDSHAKE,
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}
LISTING = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}
ACCEPTS = {"Accept": "application/json, text/event-stream"}


async def post(
    side: Side, secret: str | None, body: Any = OPENING, path: str = "/mcp", **headers: str
) -> httpx.Response:
    """One POST as a program would send it."""
    shown = {} if secret is None else {"Authorization": f"Bearer {secret}"}
    async with httpx.AsyncClient(base_url=side.url, timeout=20, verify=NO_AUTHORITIES) as client:
        return await client.post(path, json=body, headers={**ACCEPTS, **shown, **headers})


async def dial(side: Side, secret: str | None, path: str = "/mcp/stdio", **headers: str) -> Any:
    """What an upgrade is answered: the error, or None if it is let in."""

    def blocking() -> Any:
        shown = {} if secret is None else {"authorization": f"Bearer {secret}"}
        try:
            link = BlockingWebSocket(side.url, path, {**shown, **headers}, 1_000_000)
        except DialRejected as rejected:
            return rejected.status, json.loads(rejected.body)["error"]
        link.close()
        return None

    return await trio.to_thread.run_sync(blocking)


async def test_the_owner_is_refused_and_told_what_to_do(ferry: Ferry) -> None:
    """What a peer talks a model into is never done with the owner's powers."""
    refused = await post(ferry.alice, SECRET)
    assert refused.status_code == 403
    assert refused.json()["error"]["code"] == "agent-only"
    assert "taskferry token create" in refused.json()["error"]["next"]
    status, error = await dial(ferry.alice, SECRET)
    assert (status, error["code"]) == (403, "agent-only")


@pytest.mark.parametrize("secret", [None, "tfa_unknown", "x" * 600])
async def test_nobody_comes_in_without_a_credential(ferry: Ferry, secret: str | None) -> None:
    """None, an unknown one, an overlong one."""
    refused = await post(ferry.alice, secret)
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"] == "Bearer"
    assert refused.json()["error"]["code"] == "unauthorized"
    status, error = await dial(ferry.alice, secret)
    assert (status, error["code"]) == (401, "unauthorized")


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Origin": "null"},
    ],
)
async def test_no_web_page_comes_in(ferry: Ferry, headers: dict[str, str]) -> None:
    """A name that was bound to this machine, another origin's page: even with a credential."""
    refused = await post(ferry.alice, ferry.alice.token, **headers)
    assert refused.status_code == 403
    assert refused.json()["error"]["code"] == "bad-origin"
    assert not any(name.startswith("access-control") for name in refused.headers)
    if "Host" not in headers:
        status, error = await dial(ferry.alice, ferry.alice.token, **headers)
        assert (status, error["code"]) == (403, "bad-origin")


async def test_a_credential_acts_for_its_own_agents(ferry: Ferry) -> None:
    """Another agent's name is refused; of several, one has to be named in the address."""
    owner = ferry.alice.api
    await owner.ok("POST", "/agents", {"handle": "second"})
    both = (await owner.token("requester", "second")).secret
    named = await post(ferry.alice, ferry.alice.token, path="/mcp?agent=second")
    assert (named.status_code, named.json()["error"]["code"]) == (403, "not-yours")
    unnamed = await post(ferry.alice, both)
    assert unnamed.status_code == 400
    assert "requester, second" in unnamed.json()["error"]["message"]
    assert (await post(ferry.alice, both, path="/mcp?agent=second")).status_code == 200
    assert await dial(ferry.alice, both, "/mcp/stdio?agent=second") is None
    status, error = await dial(ferry.alice, ferry.alice.token, "/mcp/stdio?agent=second")
    assert (status, error["code"]) == (403, "not-yours")


async def test_a_session_is_its_openers_alone(ferry: Ferry) -> None:
    """With another agent's credential, a session's id leads nowhere, as if there were no such session."""
    await ferry.alice.api.ok("POST", "/agents", {"handle": "second"})
    other = (await ferry.alice.api.token("second")).secret
    opened = await post(ferry.alice, ferry.alice.token)
    session = {"Mcp-Session-Id": opened.headers["mcp-session-id"], "MCP-Protocol-Version": HANDSHAKE}
    assert (await post(ferry.alice, ferry.alice.token, LISTING, **session)).status_code == 200
    stolen = await post(ferry.alice, other, LISTING, **session)
    assert stolen.status_code == 404
    async with httpx.AsyncClient(base_url=ferry.alice.url, verify=NO_AUTHORITIES) as client:
        ended = await client.delete("/mcp", headers={"Authorization": f"Bearer {other}", **session})
    assert ended.status_code == 404
    assert (await post(ferry.alice, ferry.alice.token, LISTING, **session)).status_code == 200


async def test_a_credential_that_is_revoked_ends_in_mid_session(ferry: Ferry, way: Way) -> None:
    """The next call is refused, over whatever transport; a wait under way shows nothing more."""
    owner = ferry.alice.api
    (token,) = (await owner.ok("GET", "/tokens"))["tokens"]
    async with ferry.alice.host(way) as alice:
        await alice.call("whoami")
        await owner.ok("DELETE", f"/tokens/{token['id']}")
        if way.transport == "stdio":
            assert "revoked" in await alice.refused("whoami")
            return
        with pytest.raises((MCPError, httpx2.HTTPStatusError, BaseExceptionGroup)):
            await alice.call("whoami")


async def test_an_oversized_request_is_refused_and_the_session_goes_on(ferry: Ferry) -> None:
    """Over HTTP the body is bounded like a line."""
    async with ferry.alice.host(Way("http", HANDSHAKE)) as alice:
        big = await post(ferry.alice, ferry.alice.token, {**LISTING, "params": {"x": "y" * 1_100_000}})
        assert big.status_code == 413
        await alice.call("whoami")


@pytest.mark.parametrize("body", [[], "x", {"jsonrpc": "2.0"}, {"jsonrpc": "2.0", "id": {}, "method": "x"}])
async def test_what_is_no_message_is_refused_over_http(ferry: Ferry, body: Any) -> None:
    """As JSON-RPC has it."""
    refused = await post(ferry.alice, ferry.alice.token, body)
    assert refused.status_code == 400
    assert "error" in refused.json()


async def test_a_pipe_that_bends_the_form_harms_its_own_session_alone(ferry: Ferry) -> None:
    """The daemon holds lines to their form by itself; a frame about files that is none ends the session."""

    def talk() -> None:
        shown = {"authorization": f"Bearer {ferry.alice.token}"}
        link = BlockingWebSocket(ferry.alice.url, "/mcp/stdio", shown, 1_000_000)
        for line, id in (
            ("nonsense", None),
            ("[]", None),
            ('{"jsonrpc":"2.0","id":1,"method":"\\ud800"}', 1),
        ):
            link.send(line)
            answer = json.loads(link.receive())
            assert (answer["id"], answer["error"]["code"] < 0) == (id, True)
        link.send(b"junk")
        with pytest.raises(Ended) as ended:
            link.receive()
        assert ended.value.code == 1002
        link.close()

    async with ferry.alice.host(Way("stdio", HANDSHAKE)) as alice:
        await trio.to_thread.run_sync(talk)
        await alice.call("whoami")


async def test_unknown_tools_and_wrong_arguments_are_told(ferry: Ferry, way: Way) -> None:
    """An unknown tool is the host's mistake; wrong arguments are the model's, which reads why."""
    async with ferry.alice.host(way) as alice:
        with pytest.raises(MCPError, match="no tool"):
            await alice.client.call_tool("send_message", {})
        assert "to is missing" in await alice.refused("task_create")
        assert 'no argument "x"' in await alice.refused("inbox", x=1)
        assert "must be a list" in await alice.refused("ack", ids="all")
        assert "There is no" in await alice.refused("show", id="00000000")
        await alice.call("whoami")


async def test_too_many_calls_at_once_are_told(ferry: Ferry, way: Way) -> None:
    """A model that asks for more than the session carries is told to wait; nothing piles up."""
    async with ferry.alice.host(way) as alice, trio.open_nursery() as nursery:
        results: list[bool] = []

        async def wait() -> None:
            result = await alice.client.call_tool("taskferry_wait", {"seconds": 600, "mark": "999999"})
            results.append(result.is_error)

        for _ in range(20):
            nursery.start_soon(wait)
        with trio.fail_after(20):
            while len(results) < 4:
                await trio.sleep(0.02)
        assert results == [True] * 4
        nursery.cancel_scope.cancel()


async def test_the_sdks_client_comes_in_by_itself(ferry: Ferry) -> None:
    """Left to choose, it takes the newest version."""
    headers = {"Authorization": f"Bearer {ferry.alice.token}"}
    async with (
        httpx2.AsyncClient(headers=headers, trust_env=False, verify=NO_AUTHORITIES) as http,
        Client(streamable_http_client(f"{ferry.alice.url}/mcp", http_client=http)) as client,
    ):
        assert client.protocol_version == "2026-07-28"


async def test_a_daemon_whose_sdk_is_broken_goes_on_without_mcp(
    ferry: Ferry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever comes for MCP is told so; the API is served as before."""

    def broken(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(front, "import_module", broken)
    api = ferry.alice.api
    settings = DaemonSettings(addr=("127.0.0.1", 0), data=ferry.alice.folder / "data")
    door = front.Front(api.app, api.daemon, settings)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(door.run)
        bound = await nursery.start(serve, door, guard_config(settings))
        side = Side(api, bound.urls[0], ferry.alice.token, ferry.alice.folder, bound)
        refused = await post(side, side.token)
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "unavailable")
        status, error = await dial(side, side.token)
        assert (status, error["code"]) == (503, "unavailable")
        async with httpx.AsyncClient(base_url=side.url, verify=NO_AUTHORITIES) as client:
            assert (await client.get("/health")).status_code == 200
        bound.draining.set()
