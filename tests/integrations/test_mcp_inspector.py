"""The MCP Inspector, which shares no code with the SDK that serves, as a host over both transports."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from taskferry_apps.demo.stage import Stage
from tests.cli.conftest import Shell, owner_with

from .test_real_programs import PROGRAMS

pytestmark = pytest.mark.programs

Inspect = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def bob(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """Bob's daemon, with the agent `writer`."""
    with Stage(tmp_path_factory.mktemp("stage")) as stage:
        url, _ = stage.start_relay()
        yield owner_with(stage, url, "bob", "writer")


def inspect(bob: Shell, *words: str) -> subprocess.CompletedProcess[str]:
    """The Inspector's command line, run to its end."""
    return subprocess.run(
        ("mcp-inspector", "--cli", *words),
        env={
            **{key: value for key, value in os.environ.items() if not key.startswith("TASKFERRY_")},
            "HOME": str(bob.folder),
            "PATH": f"{PROGRAMS}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        },
        cwd=bob.folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def by_http(bob: Shell, *words: str) -> subprocess.CompletedProcess[str]:
    """At `/mcp`, with an agent's credential."""
    url = json.loads((bob.data / "daemon.json").read_text())["url"]
    token = bob("token", "create", "writer", "--json").json()["token"]
    return inspect(
        bob, f"{url}/mcp", "--transport", "http", "--header", f"Authorization: Bearer {token}", *words
    )


def by_stdio(bob: Shell, *words: str) -> subprocess.CompletedProcess[str]:
    """By the program that hosts start."""
    server = ("--", "taskferry", "mcp", "--agent", "writer")
    return inspect(bob, "-e", f"TASKFERRY_DATA={bob.data}", *words, *server)


def answer(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """What it printed."""
    assert done.returncode == 0, done.stdout + done.stderr
    value = json.loads(done.stdout)
    assert isinstance(value, dict)
    return value


@pytest.mark.parametrize("way", [by_http, by_stdio])
def test_the_inspector_lists_the_tools_and_finds_their_schemas_portable(bob: Shell, way: Inspect) -> None:
    """All twelve, with schemas that it has nothing to say against in its strict mode."""
    done = way(bob, "--method", "tools/list", "--strict")
    tools = answer(done)["tools"]
    assert len(tools) == 12
    assert all(tool["name"].startswith("taskferry_") for tool in tools)
    assert "error" not in done.stderr


@pytest.mark.parametrize("way", [by_http, by_stdio])
def test_the_inspector_calls_a_tool(bob: Shell, way: Inspect) -> None:
    """The answer has words for a model and facts for a program."""
    called = answer(way(bob, "--method", "tools/call", "--tool-name", "taskferry_inbox"))
    assert called["isError"] is False
    assert called["structuredContent"]["waiting"] == 0
    assert "Nothing waits" in called["content"][0]["text"]


def test_the_inspector_is_not_let_in_without_a_credential(bob: Shell) -> None:
    """It is told that it needs one, and sees no tool."""
    url = json.loads((bob.data / "daemon.json").read_text())["url"]
    done = inspect(bob, f"{url}/mcp", "--transport", "http", "--method", "tools/list")
    assert done.returncode != 0
    assert "taskferry_" not in done.stdout
