"""A session and a daemon that is killed under it, as processes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from mcp.client.client import Client as McpClient
from mcp.client.stdio import StdioServerParameters, stdio_client

from taskferry_apps.client import Client, TakenOver
from taskferry_apps.client.binding import take
from tests.client.stage import PATIENCE_S, Pair, a_pair

from .hosts import Model

pytestmark = pytest.mark.journey


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """Two connected agents."""
    with a_pair(tmp_path) as pair:
        yield pair


async def test_a_session_has_its_task_still_when_its_daemon_was_killed(pair: Pair, tmp_path: Path) -> None:
    """It is the same program again once it calls, and until then nobody else is given what it had."""
    with Client(url=pair.alice.url, token=pair.tokens["alice"]) as alice:
        task = alice.send_task("@bob/writer", "Count").id
    parameters = StdioServerParameters(
        command=sys.executable,
        args=["-m", "taskferry_apps.cli", "mcp"],
        env=pair.environment("bob"),
        cwd=tmp_path,
    )
    with Client(url=pair.bob.url, token=pair.tokens["bob"]) as bob:
        async with McpClient(stdio_client(parameters), mode="legacy") as client:
            model = Model(client)
            await model.until("inbox", lambda facts: task[:8] in str(facts))
            await model.call("task_respond", task=task, action="accept")
            (before,) = bob.whoami().runtimes
            with pair.restarted("bob"):
                with bob.runtime("other") as other:
                    assert bob.inbox(runtime=other).messages == ()
                    with pytest.raises(TakenOver):
                        bob.do(take(other, task))
                with trio.fail_after(PATIENCE_S):
                    # What it asks before it has found the daemon again is answered with that.
                    while (await client.call_tool("taskferry_task_list", {})).is_error:
                        await trio.sleep(0.1)
                done = await model.call("task_respond", task=task, action="submit", text="3 words")
                assert done["version"] == 1
                after = next(found for found in bob.whoami().runtimes if found.id == before.id)
                assert (after.name, after.status) == (before.name, "idle")
