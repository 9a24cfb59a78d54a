"""The relay's OpenAPI document: valid, of what is served and nothing else, and true of refusals."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest
import trio
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate
from quart_trio import QuartTrio

from taskferry_apps.relay.app import create_app
from taskferry_apps.relay.compose import serve_relay
from taskferry_apps.relay.openapi import describe
from taskferry_apps.release import version
from taskferry_apps.settings import RelaySettings
from taskferry_protocol.records import Generation
from taskferry_stores.memory import MemoryRelayStore
from tests.plain import NO_AUTHORITIES

DOCUMENT: Any = describe(version())
#: For people, or for a session: what no program of the document's kind asks for.
OTHERWISE = re.compile(r"/|/(?:status|community|v1/ws)|/(?:assets|signup|invite|ops)(?:/.*)?")


@pytest.fixture
async def relay(monkeypatch):
    """A client of a relay in this process, and the application that answers it."""
    made: list[QuartTrio] = []

    def spied(*arguments):
        app, longpoll, gauges = create_app(*arguments)
        made.append(app)
        return app, longpoll, gauges

    monkeypatch.setattr("taskferry_apps.relay.compose.create_app", spied)
    stop = trio.Event()
    store = MemoryRelayStore(Generation(b"g" * 16))
    async with trio.open_nursery() as nursery:
        bound = await nursery.start(serve_relay, RelaySettings(addr=("127.0.0.1", 0)), store, stop)
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{bound.port}", verify=NO_AUTHORITIES
        ) as client:
            yield client, made[0]
        stop.set()


def test_the_document_is_openapi_3_1():
    """An independent validator takes it."""
    validate(DOCUMENT)


async def test_the_document_describes_what_is_served_and_nothing_else(relay):
    """Paths and methods of the application's own map equal those of the document, beside pages for people."""
    served = {
        (method, re.sub(r"<([^>]+)>", r"{\1}", rule.rule))
        for rule in relay[1].url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if not OTHERWISE.fullmatch(rule.rule)
    }
    described = {
        (method.upper(), path) for path, operations in DOCUMENT["paths"].items() for method in operations
    }
    assert served == described
    assert (await relay[0].get("/openapi.json")).json() == DOCUMENT


async def test_what_programs_are_refused_has_a_code(relay):
    """Unknown paths, other methods, places to meet that are none: a code, a sentence, the next step."""
    client, _ = relay
    wrong = [
        ("GET", "/v1/nothing", 404, "not-found"),
        ("DELETE", "/v1/community", 405, "method-not-allowed"),
        ("POST", "/v1/meetings/nowhere/join", 404, "no-such-place"),
        ("GET", "/v1/meetings/nowhere?wait=x", 400, "bad-value"),
        ("DELETE", "/v1/meetings/nowhere", 404, "no-such-place"),
    ]
    for method, path, status, code in wrong:
        answer = await client.request(method, path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
        assert answer.json()["error"]["message"].endswith(".")
        assert answer.json()["error"]["next"]


async def test_people_are_still_told_in_a_page(relay):
    """What is not for programs is refused by a page, in words for whoever mistyped an address."""
    answer = await relay[0].get("/nothing")
    assert answer.status_code == 404
    assert answer.headers["Content-Type"].startswith("text/html")


async def test_the_operators_status_is_as_described(relay):
    """With every member of it, and of its lists, named."""
    status = (await relay[0].get("/v1/ops/status")).json()
    Draft202012Validator({**DOCUMENT, "$ref": "#/components/schemas/OperatorStatus"}).validate(status)
    assert len(status["limits"]) > 10
