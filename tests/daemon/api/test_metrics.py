"""The daemon's numbers: what they say, and that the token for them opens nothing else."""

from __future__ import annotations

import attrs
from prometheus_client.parser import text_string_to_metric_families

from taskferry_apps.daemon.api import create_api
from taskferry_apps.settings import DaemonSettings
from taskferry_protocol.ids import sha256

TOKEN = "numbers-and-nothing-else"


def samples(raw):
    """Every sample, by name and labels."""
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(raw.decode())
        for sample in family.samples
    }


def watched(api, secret=TOKEN):
    """The same daemon with a token for its numbers, asked with a credential."""
    settings = DaemonSettings(metrics_token=sha256(TOKEN.encode()))
    return attrs.evolve(api, app=create_api(api.daemon, settings), secret=secret)


async def test_numbers_follow_what_happens(house):
    """What was sent waits, then is known as delivered; what came is unread; no name stands in them."""
    bob = await house.bob.token("writer")
    before = samples((await watched(house.bob).call("GET", "/metrics")).raw)
    await (await house.alice.token("requester")).ok(
        "POST", "/messages/send", {"from": "requester", "to": "@bob/writer", "text": "canary in a message"}
    )
    await house.mail(bob, "@bob/writer", "message")
    raw = (await watched(house.bob).call("GET", "/metrics")).raw
    after = samples(raw)
    name = "taskferry_daemon_messages"
    assert after[name,] == before[name,] + 1
    assert after["taskferry_daemon_inbox_unread",] + after["taskferry_daemon_inbox_read",] >= 1
    assert after["taskferry_daemon_commit_seconds_count",] > before["taskferry_daemon_commit_seconds_count",]
    assert after["process_resident_memory_bytes",] > 0
    assert not any(word in raw for word in (b"alice", b"bob", b"writer", b"canary"))


async def test_the_token_reads_numbers_and_nothing_else(lone):
    """It is no credential of the local API."""
    assert (await watched(lone).call("GET", "/metrics")).status == 200
    for path in ("/agents", "/messages", "/account", "/doctor", "/audit"):
        assert (await watched(lone).call("GET", path)).status == 401
    known = await watched(lone).call("GET", "/health")
    assert known.status == 401


async def test_who_else_reads_them(lone):
    """The owner does; an agent's program, somebody with a wrong token, and nobody do not."""
    assert (await lone.call("GET", "/metrics")).status == 200
    program = await lone.token("requester")
    refused = await program.call("GET", "/metrics")
    assert (refused.status, refused.error["code"]) == (403, "owner-only")
    assert (await watched(lone, f"{TOKEN}x").call("GET", "/metrics")).status == 401
    assert (await watched(lone, "").call("GET", "/metrics")).status == 401
    # Where no token is set, none counts.
    assert (await attrs.evolve(lone, secret=TOKEN).call("GET", "/metrics")).status == 401
