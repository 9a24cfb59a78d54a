"""The recipes of docs/workers.md with the programs themselves, which `make test-integrations` installs."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integrations.test_real_programs import PROGRAMS

from .town import PAGE, Town, a_town

pytestmark = pytest.mark.programs


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """A town for the file's tests."""
    with a_town(tmp_path_factory.mktemp("town")) as town:
        yield town


def recipe(name: str) -> list[str]:
    """The words of a document's recipe from the command on."""
    (line,) = [
        line
        for line in PAGE.splitlines()
        if line.startswith("$ ") and f"-- {name} " in line and "--ask" in line
    ]
    return line.partition(" -- ")[2].split()


@pytest.mark.parametrize("name", ["claude", "codex"])
def test_the_recipes_flags_exist(name: str) -> None:
    """Every option that the page names for a program is in that program's own help."""
    words = recipe(name)
    verb = ["exec"] if name == "codex" else []
    told = subprocess.run(
        [PROGRAMS / name, *verb, "--help"], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    section = PAGE.partition(f"## {'Claude Code' if name == 'claude' else 'Codex'}")[2].partition("\n## ")[0]
    options = {word for word in words if word.startswith("-") and word != "-"}
    options |= {
        word for word in re.findall(r"`(--[a-z-]+)", section) if word not in ("--env", "--dangerously-")
    }
    for option in options:
        assert option in told, f"{name} has no {option}"


@pytest.mark.parametrize(("name", "limit"), [("claude", "30s"), ("codex", "5s")])
def test_a_recipe_without_credentials_fails_its_task_cleanly(
    town: Town, tmp_path: Path, name: str, limit: str
) -> None:
    """The requester reads what the program said."""
    task = town.send(f"For {name}")
    (tmp_path / "home").mkdir()
    done = town.work(
        "--time-limit", limit, "--grace", "1s", "--", *recipe(name),
        folder=tmp_path, HOME=str(tmp_path / "home"),
        PATH=f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}",
    )  # fmt: skip
    assert done.returncode == 1, done.stdout
    found = town.until(task, "failed")
    (reason,) = [event["note"] for event in found["events"] if event["type"] == "task_fail"]
    assert re.search("(?i)not logged in|log ?in|ran longer|exit code|disconnected", reason)
