"""Ask running programs what their OpenAPI documents promise: `python -m tests.schemas --seconds 60`.

A relay and two daemons run as processes. schemathesis makes requests from each document, good and bad, of the
daemon with no credential, an agent's and the owner's, of the relay with none. No answer may be a fault of the
server, each has the media type and the shape that the document names, and what is refused carries a code,
since that is the shape of a refusal.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import attrs
import httpx

from .world import World, running

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
)
#: They go on for as long as the caller listens.
ENDLESS = ("/events",)
#: Frames are no text that could be made from a schema; `tests/fuzz` has them.
BINARY = ("/v1/link/exchange",)
#: What dials an address that the request names, starts a program, or takes the owner's keys away: no invented
#: request has the owner's credential. Without it they are refused before any of that, and are asked.
NOT_AS_OWNER = (
    "/devices/link",
    "/doctor",
    "/links",
    "/links/{id}/connect",
    "/manage/lock",
    "/manage/passphrase",
    "/manage/unlock",
    "/recovery",
    "/recovery/check",
    "/recovery/phrase",
    "/setup",
    "/wakes",
    "/wakes/{id}/test",
)


@attrs.frozen
class Run:
    """One document, asked as somebody."""

    name: str
    document: str
    credential: str
    left_out: tuple[str, ...]


def _runs(world: World) -> tuple[Run, ...]:
    daemon, relay = f"{world.daemon}/openapi.json", f"{world.relay}/openapi.json"
    return (
        Run("daemon, nobody", daemon, "", ENDLESS),
        Run("daemon, agent", daemon, world.agent, ENDLESS),
        Run("daemon, owner", daemon, world.owner, (*ENDLESS, *NOT_AS_OWNER)),
        Run("relay, anybody", relay, "", BINARY),
    )


def _ask(run: Run, program: Path, folder: Path, seconds: int, seed: int | None) -> str:
    """The program's report if something was wrong, else ""."""
    command = [
        str(program),
        *("run", run.document),
        *("--checks", ",".join(CHECKS)),
        *("--phases", "examples,coverage,fuzzing"),
        *("--max-time", str(seconds)),
        *("--request-timeout", "30"),
        *("--suppress-health-check", "all"),
        *("--generation-database", "none"),
        "--continue-on-failure",
        "--no-color",
        *(part for path in run.left_out for part in ("--exclude-path", path)),
        *(("--seed", str(seed)) if seed is not None else ()),
        *(("-H", f"Authorization: Bearer {run.credential}") if run.credential else ()),
    ]
    process = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    counted = next(
        (line.strip() for line in process.stdout.splitlines() if " generated, " in line),
        "no request was made in this time",
    )
    word = "BROKE" if process.returncode else "held " if " generated, " in counted else "empty"
    print(f"{word} {run.name:<16} {counted}", flush=True)
    return "" if process.returncode == 0 else process.stdout[-20_000:] + process.stderr[-2_000:]


def main() -> int:
    """Run all, and print a line for each."""
    parser = argparse.ArgumentParser(prog="python -m tests.schemas")
    parser.add_argument("--seconds", type=int, default=300, help="for each of four runs, at most")
    parser.add_argument(
        "--seed", type=int, help="for the same requests as another time, as far as time allows"
    )
    parser.add_argument(
        "--program", type=Path, default=Path(".venv-schemas/bin/schemathesis"), help="where schemathesis is"
    )
    options = parser.parse_args()
    faults = []
    with tempfile.TemporaryDirectory() as name, running(Path(name)) as world:
        for run in _runs(world):
            fault = _ask(run, options.program.resolve(), Path(name), options.seconds, options.seed)
            faults += [fault] if fault else []
        for address in (world.daemon, world.relay):
            httpx.get(f"{address}/health", timeout=20).raise_for_status()
    print("\n".join(faults))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
