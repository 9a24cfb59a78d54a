"""The plugins in the hands of the programs that they are for, each with a home of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.programs

ROOT = Path(__file__).parents[2]
PLUGINS = ROOT / "integrations"
PROGRAMS = PLUGINS / "node_modules" / ".bin"


class Home:
    """A user's home, in which programs are run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("CLAUDE", "CODEX"))},
            "HOME": str(folder),
            "TASKFERRY_DATA": str(folder / "data"),
            "PATH": f"{PROGRAMS}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "DISABLE_TELEMETRY": "1",
            "DISABLE_AUTOUPDATER": "1",
        }

    def __call__(self, *words: str) -> str:
        """Run a program to its end; what it said."""
        done = subprocess.run(
            words,
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture
def home(tmp_path):
    """An empty home."""
    (tmp_path / "home").mkdir()
    return Home(tmp_path / "home")


@pytest.mark.parametrize("place", [PLUGINS, PLUGINS / "claude-code"])
def test_claude_code_finds_nothing_to_complain_of(home, place):
    """Its own strict validation of catalogue and plugin."""
    assert "passed" in home("claude", "plugin", "validate", "--strict", str(place))


def test_claude_code_takes_the_plugin_and_gives_it_back(home):
    """Installed by the one command: skill, hook and server are there; undone, none is."""
    settings = home.folder / ".claude" / "settings.json"
    settings.parent.mkdir()
    settings.write_text('{"cleanupPeriodDays":   30}')
    home("taskferry", "integrate", "claude-code", "--agent", "writer")
    details = home("claude", "plugin", "details", "taskferry")
    for part in ("Skills (1)", "SessionStart", "MCP servers (1)"):
        assert part in details
    assert "plugin:taskferry:taskferry" in home("claude", "mcp", "list")
    home("taskferry", "integrate", "claude-code", "--undo")
    assert settings.read_text() == '{"cleanupPeriodDays":   30}'
    assert "taskferry" not in home("claude", "plugin", "list")
    assert "taskferry" not in home("claude", "plugin", "marketplace", "list")


def test_claude_code_loads_the_folder_that_is_written_without_it(home):
    """Where it was not on the PATH: it finds the plugin by itself when it is there."""
    path = home.environment["PATH"]
    home.environment["PATH"] = str(Path(sys.executable).parent)
    home("taskferry", "integrate", "claude-code", "--agent", "writer")
    home.environment["PATH"] = path
    assert "taskferry@skills-dir" in home("claude", "plugin", "list")


def test_codex_takes_the_plugin_and_gives_it_back(home):
    """Installed by the one command, its server is one of Codex's; undone, it is not."""
    config = home.folder / ".codex" / "config.toml"
    config.parent.mkdir()
    config.write_text("# mine\nmodel   = 'x' # theirs\n")
    home("taskferry", "integrate", "codex", "--agent", "writer")
    (server,) = json.loads(home("codex", "mcp", "list", "--json"))
    assert server["name"] == "taskferry"
    assert server["transport"]["args"][-2:] == ["--data", str(home.folder / "data")]
    home("taskferry", "integrate", "codex", "--undo")
    assert config.read_text() == "# mine\nmodel   = 'x' # theirs\n"
    assert json.loads(home("codex", "mcp", "list", "--json")) == []


def test_codex_reads_the_block_that_is_written_without_it(home):
    """Where it was not on the PATH: its own reader of the configuration shows our server."""
    path = home.environment["PATH"]
    home.environment["PATH"] = str(Path(sys.executable).parent)
    home("taskferry", "integrate", "codex", "--agent", "writer")
    home.environment["PATH"] = path
    (server,) = json.loads(home("codex", "mcp", "list", "--json"))
    assert "mcp" in server["transport"]["args"]


@pytest.mark.parametrize("check", [("plugins", "validate"), ("plugins", "build", "--check")])
def test_openclaw_finds_nothing_to_complain_of(home, check):
    """Its own validation of entry, manifest and package; and it would build no other manifest."""
    home("openclaw", *check, "--root", str(PLUGINS / "openclaw"))


def test_openclaw_takes_the_plugin_and_gives_it_back(home):
    """Installed by the one command, it loads, with our server; undone, it is gone."""
    home("taskferry", "integrate", "openclaw", "--agent", "writer")
    found = home("openclaw", "plugins", "inspect", "taskferry", "--runtime")
    for part in ("Status: loaded", "MCP servers:\ntaskferry"):
        assert part in found
    home("taskferry", "integrate", "openclaw", "--undo")
    assert "taskferry" not in home("openclaw", "plugins", "list")


def test_openclaw_loads_the_folder_that_is_written_without_it(home):
    """Where it was not on the PATH: it finds the plugin by itself when it is there."""
    path = home.environment["PATH"]
    home.environment["PATH"] = str(Path(sys.executable).parent)
    home("taskferry", "integrate", "openclaw", "--agent", "writer")
    home.environment["PATH"] = path
    assert "taskferry" in home("openclaw", "plugins", "list")
