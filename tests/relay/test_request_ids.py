"""Ids of requests and messages in a relay's log, and what its log never holds."""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from structlog.testing import capture_logs

from taskferry_apps.relay.core import Policy
from taskferry_apps.relay.witness import log_envelope
from tests import warm

from .conftest import ORIGIN, codes, serving
from .people import seal

CANARY = "canary-of-a-secret-path"
TOKEN = "canary-of-the-operator"


@contextmanager
def logging_relay(folder: Path, *words: str) -> Iterator[tuple[str, list[str]]]:
    """A relay's address, and the lines of its log as they come."""
    command = ["relay", "--addr", "127.0.0.1:0", "--db", str(folder / "relay.db"), *words]
    reads, writes = os.pipe()
    with open(os.devnull, "r+b") as nothing, open(writes, "wb") as log:
        process = warm.start(command, os.environ, Path.cwd(), stdin=nothing, stdout=nothing, stderr=log)
    with open(reads, encoding="utf-8") as log_lines:
        lines = [log_lines.readline()]
        found = re.search(r"http://127\.0\.0\.1:\d+", lines[0])
        assert found is not None, lines
        reading = threading.Thread(target=lambda: lines.extend(log_lines))
        reading.start()
        try:
            yield found[0], lines
        finally:
            process.terminate()
            process.wait(20)
            reading.join(20)


def test_every_request_has_an_id_in_the_answer_and_the_log(tmp_path: Path) -> None:
    """A caller's own where it is one; never a path, a query, a header's secret, or a second line."""
    answers = []
    with (
        logging_relay(tmp_path, "--log", "debug", "--log-format", "json") as (url, lines),
        httpx.Client(base_url=url, trust_env=False) as client,
    ):
        for path, name in (
            ("/health", None),
            ("/health", "proxy-7f.3"),
            (f"/invite/{CANARY}?x={CANARY}", "a" * 65),
            (f"/{CANARY}", "short"),
            ("/metrics", "no spaces, please"),
        ):
            headers = {"Authorization": f"Bearer {TOKEN}"} | ({"X-Request-Id": name} if name else {})
            answers.append((name, client.get(path, headers=headers).headers["X-Request-Id"]))
    logged = [json.loads(line) for line in lines]
    requests = {line["request"]: line for line in logged if line["event"] == "request"}
    assert [name for _, name in answers] == list(requests)
    assert answers[1] == ("proxy-7f.3", "proxy-7f.3")
    for given, name in (answers[0], *answers[2:]):
        assert name != given
        assert re.fullmatch("[0-9a-f]{24}", name)
    assert [line["route"] for line in requests.values()][2:4] == ["/invite/<code>", "none"]
    assert [line["status"] for line in requests.values()][:2] == [200, 200]
    text = "".join(lines)
    assert CANARY not in text
    assert TOKEN not in text


def test_strangers_write_nothing_into_the_log(tmp_path: Path) -> None:
    """Whoever asks for a WebSocket where there is none is told so, and no line of a log is theirs."""
    upgrade = {
        "Upgrade": "websocket",
        "Connection": "upgrade",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version": "13",
    }
    with logging_relay(tmp_path, "--log-format", "json") as (url, lines):
        for path in (f"/{CANARY}%0a", "/health", "/v1/nothing", "/ops", "/signup"):
            answer = httpx.get(url + path, headers=upgrade, trust_env=False)
            assert answer.status_code in (400, 404, 405), path
            assert answer.json()["error"]["next"]
    assert [json.loads(line)["event"] for line in lines] == ["listening", "stopping", "stopped"]


@pytest.mark.parametrize(("form", "is_json"), [("text", False), ("auto", True)])
def test_lines_are_written_as_the_operator_says(tmp_path: Path, form: str, is_json: bool) -> None:
    """Text where it is asked for, without colours off a terminal; JSON for programs by default."""
    with logging_relay(tmp_path, "--log-format", form) as (_, lines):
        pass
    for line in lines:
        assert line.startswith("{") is is_json
        assert "\x1b" not in line


@pytest.mark.parametrize("witness", [log_envelope, None])
async def test_a_refused_message_is_named_by_its_id_for_debugging_alone(store, witness) -> None:
    """Its id and code and nothing that it says; at other levels not a word."""
    text = "canary in a message"
    async with serving(store, Policy([ORIGIN], witness=witness)) as world:
        stranger = seal(world.alice, world.bob, text, world.now)
        with capture_logs() as lines:
            async with world.open(world.bob), world.open(world.alice) as client:
                assert codes(await client.send([stranger.parcel])) == ["not-connected"]
    refused = [line for line in lines if "refused" in line["event"]]
    assert [line["code"] for line in refused] == (["not-connected"] if witness is not None else [])
    assert all(re.fullmatch("[0-9a-f]{32}", line["message"]) for line in refused)
    assert text not in str(lines)
