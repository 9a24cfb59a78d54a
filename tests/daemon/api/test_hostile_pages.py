"""A web page that the owner visits can neither read from the daemon nor make it act."""

from __future__ import annotations

import pytest
from werkzeug.datastructures import Headers

from taskferry_apps.daemon.api.guard import Guard
from taskferry_apps.daemon.port import DaemonRefusal

from .house import HOST

ASK = {"from": "requester", "to": "@bob/writer", "text": "spam"}


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Origin": "https://127.0.0.1:4318"},
        {"Origin": "http://localhost:4318"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Host": "evil.example:4318"},
        {"Host": "evil.example"},
        {"Host": "127.0.0.1"},
        {"Host": "127.0.0.1:4319"},
        {"Host": "127.0.0.1.evil.example:4318"},
        {"Host": "127.0.0.1:4318@evil.example"},
        {"Host": "0.0.0.0:4318"},
        {"Host": "[::]:4318"},
        {"Host": "127.0.0.1:99999"},
        {"Host": "१२७.0.0.1:4318".encode().decode("latin-1")},
    ],
    ids=str,
)
async def test_a_foreign_page_is_refused_even_with_the_credential(lone, headers):
    """Another origin, site or name for this machine: 403 for reading and acting, on every path."""
    for answer in (
        await lone.get("/health", headers),
        await lone.get("/openapi.json", headers),
        await lone.get("/no/such/path", headers),
        await lone.post("/messages/send", ASK, headers),
    ):
        assert (answer.status, answer.error["code"]) == (403, "bad-origin")
    assert (await lone.ok("GET", "/messages"))["messages"] == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": f"http://{HOST}"},
        {"Host": "localhost:4318", "Origin": "http://localhost:4318", "Sec-Fetch-Site": "same-origin"},
        {"Host": "LOCALHOST:4318"},
        {"Host": "[::1]:4318"},
        {"Sec-Fetch-Site": "none"},
    ],
    ids=str,
)
async def test_programs_and_the_own_origin_are_let_in(lone, headers):
    """Loopback names with the right port, and a page of the daemon's own, pass."""
    assert (await lone.get("/health", headers)).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "multipart/form-data; boundary=x"},
        {"Content-Type": None},
        {"Content-Type": "application/json; charset=utf-16"},
        {"Content-Encoding": "gzip"},
    ],
    ids=str,
)
async def test_a_form_post_is_no_request(lone, headers):
    """What a page may post without asking first is not read: 415, whatever the body says."""
    answer = await lone.post("/messages/send", ASK, headers)
    assert (answer.status, answer.error["code"]) == (415, "unsupported-media")


async def test_a_preflight_gets_no_permission(lone):
    """OPTIONS with a foreign origin is refused; without one it is no method here. No CORS header ever."""
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    refused = await lone.holding(None).call("OPTIONS", "/tasks", headers=asked)
    assert refused.status == 403
    plain = await lone.holding(None).call("OPTIONS", "/tasks")
    assert (plain.status, plain.error["code"], plain.headers["allow"]) == (
        405,
        "method-not-allowed",
        "GET, POST",
    )


async def test_only_methods_that_are_described_are_served(lone):
    """HEAD is not slipped in: on an inbox it would mark messages as read."""
    assert (await lone.call("HEAD", "/inbox")).status == 405
    assert (await lone.call("PUT", "/agents", b"{}")).error["code"] == "method-not-allowed"
    assert (await lone.get("/tasks/")).status == 404
    assert (await lone.get("/tasks//log")).status == 404


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Basic dGVzdA==",
        "Bearer wrong",
        "Bearer " + "x" * 10_000,
        "Bearer \u00fc\u00df",
        "Bearer \u00ff\u00fe",
    ],
)
async def test_without_a_credential_that_counts_nothing_is_told(lone, header):
    """Missing, malformed, wrong, oversized and non-ASCII credentials: 401, and how to ask."""
    for method, path in (("GET", "/agents"), ("GET", "/inbox"), ("POST", "/tasks"), ("GET", "/events")):
        raw = b"{}" if method == "POST" else None
        answer = await lone.holding(None).call(method, path, raw, {"Authorization": header})
        assert (answer.status, answer.error["code"]) == (401, "unauthorized")
        assert answer.headers["www-authenticate"] == "Bearer"
    if header is not None:
        assert (await lone.holding(None).get("/health", {"Authorization": header})).status == 401


async def test_without_a_credential_health_says_that_something_runs_and_no_more(lone):
    """Neither name nor relay nor version is told to whoever shows nothing."""
    assert (await lone.holding(None).get("/health")).json == {"status": "ok", "service": "daemon"}
    assert (await lone.holding(None).get("/openapi.json")).status == 200


@pytest.mark.parametrize(
    ("bound", "host", "passes"),
    [
        ("127.0.0.1", "127.0.0.1:4318", True),
        ("192.168.7.7", "192.168.7.7:4318", True),
        ("192.168.7.7", "localhost:4318", True),
        ("192.168.7.7", "192.168.7.8:4318", False),
        ("fd00::7", "[fd00::7]:4318", True),
        ("fd00::7", "fd00::7:4318", False),
        ("0.0.0.0", "0.0.0.0:4318", False),
        ("::", "[::]:4318", False),
        ("Box.Lan", "box.lan:4318", True),
    ],
)
def test_the_configured_address_is_a_name_of_the_daemon(bound, host, passes):
    """Besides loopback, the address that the owner configured passes; one that means all does not."""
    guard = Guard.listening_at(bound)
    if passes:
        guard.check_source(Headers({"Host": host}), 4318)
    else:
        with pytest.raises(DaemonRefusal):
            guard.check_source(Headers({"Host": host}), 4318)
