"""The API behind the real guarded server on 127.0.0.1, called by real clients."""

from __future__ import annotations

import json

import httpx
import pytest
import trio

from taskferry_apps.daemon.api.table import BODY_WITH_FILES_BYTES
from taskferry_apps.local_client import ApiError, DaemonUnreachable, LocalClient
from tests.daemon.worlds import SECRET

from .house import served

SEND = {"from": "requester", "to": "@bob/writer", "text": "hello"}


async def raw(port: int, request: bytes, mark: bytes = b"\n") -> bytes:
    """What comes back to raw bytes up to a mark; less where the server hangs up."""
    answer = b""
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(request)
        try:
            while mark not in answer and (chunk := await stream.receive_some(65_536)):
                answer += chunk
        except trio.BrokenResourceError:
            pass
    return answer


async def test_programs_work_over_the_real_server(house):
    """The bound port is the one that Host must name; requests and refusals come through whole."""
    async with served(house.alice) as (client, bound):
        assert (await client.get("/health")).json()["handle_owner"] == "alice"
        assert (await client.post("/messages/send", json=SEND)).json()["ok"] is True
        foreign = await client.get("/health", headers={"Host": f"127.0.0.1:{bound.port + 1}"})
        assert foreign.json()["error"]["code"] == "bad-origin"
        local = await client.get("/health", headers={"Host": f"localhost:{bound.port}"})
        assert local.status_code == 200
        assert (await client.options("/tasks")).headers.get("access-control-allow-origin") is None


async def test_what_is_too_large_is_refused_over_the_wire_as_well(house):
    """413 in the API's own shape: by the declared length, before any of it is sent, or by counting."""
    async with served(house.alice) as (client, bound):
        head = (
            f"POST /tasks HTTP/1.1\r\nHost: 127.0.0.1:{bound.port}\r\nAuthorization: Bearer {SECRET}\r\n"
            "Content-Type: application/json\r\n"
        ).encode()
        declared = head + f"Content-Length: {BODY_WITH_FILES_BYTES + 1}\r\n\r\n".encode()
        size = BODY_WITH_FILES_BYTES + 1
        chunked = head + b"Transfer-Encoding: chunked\r\n\r\n"
        chunked += f"{size:x}\r\n".encode() + b" " * size + b"\r\n0\r\n\r\n"
        for request in (declared, chunked):
            answer = await raw(bound.port, request, b"}}")
            assert answer.startswith(b"HTTP/1.1 413")
            assert b'"code":"too-large"' in answer
        assert (await client.get("/health")).status_code == 200


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /health HTTP/1.1\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nHost: evil\r\n\r\n",
        b"GET http://evil.example/health HTTP/1.1\r\nHost: 127.0.0.1:1\r\n\r\n",
        b"GET /health HTTP/1.0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
        b"\x16\x03\x01\x00\xa5\x01\x00\x00",
        b"GET /health HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nAuthorization: Bearer \xff\xfe\r\n\r\n",
        b"POST /tasks HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhey",
    ],
    ids=lambda data: repr(data[:48]),
)
async def test_strange_requests_are_refused_and_the_next_is_served(house, request_bytes):
    """No Host, two Hosts, absolute addresses, upgrades and no HTTP at all: never a 200, never the end."""
    async with served(house.alice) as (client, bound):
        answer = await raw(bound.port, request_bytes.replace(b"PORT", str(bound.port).encode()))
        assert not answer.startswith((b"HTTP/1.1 2", b"HTTP/1.1 101", b"HTTP/1.1 5"))
        assert b"access-control" not in answer.lower()
        assert (await client.get("/health")).status_code == 200


async def test_the_local_client_speaks_to_it(house):
    """Answers, refusals with their detail, downloads and the feed, as the command line uses them."""

    def calls(url: str) -> None:
        with LocalClient(url, SECRET) as client:
            assert client.wait_healthy(5)["status"] == "ok"
            sent = client.post("/messages/send", SEND, key="k1")
            assert client.post("/messages/send", SEND, key="k1") == sent
            with pytest.raises(ApiError) as refused:
                client.post("/messages/send", SEND | {"to": "nobody"})
            assert (refused.value.status, refused.value.code) == (400, "bad-value")
            assert refused.value.detail["field"] == "to"
            assert refused.value.next_step
            made = client.post("/tokens", {"agents": ["requester"]})
            with LocalClient(url, str(made["token"])) as program:
                feed = program.events(after=0)
                assert next(feed)["agent"] == "requester"
                client.delete(f"/tokens/{made['id']}")
                with pytest.raises(ApiError) as ended:
                    client.post("/messages/send", SEND)
                    for _ in feed:
                        pass
                assert ended.value.code == "unauthorized"
        with LocalClient(url, "pass\u00e9") as stranger, pytest.raises(ApiError) as unknown:
            stranger.get("/agents")
        assert unknown.value.code == "unauthorized"

    async with served(house.alice) as (_, bound):
        await trio.to_thread.run_sync(calls, bound.urls[0])


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://[", "nonsense", "http://127.0.0.1:99999"])
def test_nobody_at_the_address_is_one_plain_error(url):
    """A closed port, or something that is no address: DaemonUnreachable with the address."""
    with LocalClient(url, "x") as client:
        with pytest.raises(DaemonUnreachable, match="taskferry up"):
            client.get("/health")
        with pytest.raises(DaemonUnreachable):
            next(client.events())


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'"x"', b'{"error": 1}', b'{"error": {}}', b"{}"])
async def test_another_program_at_the_address_is_recognised(body):
    """What does not answer in TaskFerry's shapes is said to be a stranger."""
    requests = []

    async def stranger(stream: trio.SocketStream) -> None:
        requests.append(await stream.receive_some(65_536))
        head = f"HTTP/1.1 404 Not Found\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        await stream.send_all(head.encode() + body)

    def call(port: int) -> str:
        with LocalClient(f"http://127.0.0.1:{port}", "x") as client, pytest.raises(ApiError) as refused:
            client.get("/health")
        return refused.value.code

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, stranger, 0)
        port = listeners[0].socket.getsockname()[1]
        assert await trio.to_thread.run_sync(call, port) == "not-taskferry"
        nursery.cancel_scope.cancel()
    assert b"bearer x" in requests[0].lower()


async def test_the_servers_own_refusals_are_understood(house):
    """A head that is too large is refused below the API; the client still tells code and next step."""

    def call(url: str) -> ApiError:
        with LocalClient(url, SECRET) as client, pytest.raises(ApiError) as refused:
            client.get("/tasks", cursor="x" * 40_000)
        return refused.value

    async with served(house.alice) as (_, bound):
        error = await trio.to_thread.run_sync(call, bound.urls[0])
    assert error.code != "not-taskferry"
    assert error.next_step


async def test_an_idle_feed_holds_nobody_up(house):
    """While a client follows the feed, others are answered at once."""
    async with served(house.alice) as (client, bound):
        stream = await trio.open_tcp_stream("127.0.0.1", bound.port)
        head = (
            f"GET /events HTTP/1.1\r\nHost: 127.0.0.1:{bound.port}\r\nAuthorization: Bearer {SECRET}\r\n\r\n"
        )
        async with stream:
            await stream.send_all(head.encode())
            assert await stream.receive_some(1)
            async with trio.open_nursery() as nursery:
                for _ in range(20):
                    nursery.start_soon(get_health, client)


async def get_health(client: httpx.AsyncClient) -> None:
    """One ordinary request."""
    answer = await client.get("/health")
    assert json.loads(answer.content)["status"] == "ok"
