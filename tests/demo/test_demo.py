"""The demo on real input: every check holds, and its claims are about what really happened."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NASTY = (
    "# A \x1b[31mred\u202e title\n\n" + "word " * 40 + "\n\n## Two\n### Three\n"
    "[bad](http://) ![p](a%zz.png) <https://example.org/long/path/of/a/link>\n```\n# no heading\n```\n"
)


def demo(*words: str) -> subprocess.CompletedProcess[str]:
    """Run the demo as a person would."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("TASKFERRY_")}
    return subprocess.run(
        [sys.executable, "-m", "taskferry_apps.cli", "demo", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
        cwd=ROOT,
        env=environment,
    )


def test_demo_on_the_readme_tells_its_story_and_holds(tmp_path: Path) -> None:
    """The default run narrates the handoff beside what the relay saw of it, and ends well."""
    done = demo("--keep", str(tmp_path / "kept"), "--timeout", "120")
    assert done.returncode == 0, done.stdout + done.stderr
    for words in (
        "approves",
        "hands over README.md",
        "asks for a revision",
        "completes",
        "relay saw: @alice",
    ):
        assert words in done.stdout
    assert "FAILS" not in done.stdout
    relay = tmp_path / "kept" / "relay"
    assert b"A private relay for handing" in (ROOT / "README.md").read_bytes()
    assert not any(b"A private relay for handing" in path.read_bytes() for path in relay.iterdir())


@pytest.mark.journey
@pytest.mark.parametrize("content", [NASTY, "", "one line without an end"])
def test_demo_on_odd_input(tmp_path: Path, content: str) -> None:
    """Escapes, an empty file, a file without a line end: the same handoff, and every check holds."""
    path = tmp_path / "odd.md"
    path.write_text(content)
    done = demo("--input", str(path), "--json", "--timeout", "120")
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["ok"] is True
    assert {seen["cls"] for seen in report["relay_saw"]} == {"connection", "task", "artifact", "receipt"}
    assert len(report["checks"]) == 8


def test_modules_in_the_current_folder_are_not_taken_for_the_programs_own(tmp_path: Path) -> None:
    """A file named like a library, lying where the demo is started, is never run."""
    for name in ("h2", "trio", "attrs"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('a stranger ran')\n")
    (tmp_path / "page.md").write_text("# A page\n\nwith some words in it\n")
    done = subprocess.run(
        [str(Path(sys.executable).parent / "taskferry"), "demo", "--input", "page.md", "--json"],
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("told", [signal.SIGINT, signal.SIGTERM])
def test_a_demo_told_to_stop_leaves_nothing_behind(tmp_path: Path, told: signal.Signals) -> None:
    """In the middle of it, its programs end with it and its folder goes."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("TASKFERRY_")}
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "taskferry_apps.cli", "demo"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
        env={**environment, "TMPDIR": str(tmp_path)},
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        shown = next(line for line in process.stdout if "has keys, account" in line)
        assert "alice" in shown
        process.send_signal(told)
        # The pipe closes when the last of its programs has ended.
        assert "Traceback" not in process.stdout.read()
    assert process.returncode == 130
    assert not list(tmp_path.iterdir())
