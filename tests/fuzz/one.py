"""Targets under atheris: `python -m tests.fuzz.one NAME CORPUS -max_total_time=5` runs one of them.

Loading and instrumenting takes longer than a short round, so `python -m tests.fuzz.one FAMILY` loads once,
and forks for each line of JSON that comes in: {"target", "options", "said"}, the last the file for what is
said. It answers with the exit code of each, a line each.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from importlib import import_module

import atheris

with atheris.instrument_imports(
    include=[
        "taskferry_protocol",
        "taskferry_transports.longpoll_wire",
        "taskferry_transports.guarded_server.http",
        "taskferry_apps.breaker_settings",
        "taskferry_apps.client.feeds",
        "taskferry_apps.daemon.api",
        "taskferry_apps.daemon.beginning",
        "taskferry_apps.daemon.keys",
        "taskferry_apps.daemon.link_faults",
        "taskferry_apps.daemon.listing",
        "taskferry_apps.daemon.mail",
        "taskferry_apps.daemon.names",
        "taskferry_apps.daemon.restoring",
        "taskferry_apps.demo.report",
        "taskferry_apps.mcp",
        "taskferry_apps.phrase",
        "taskferry_apps.setting_values",
        "taskferry_apps.settings",
        "taskferry_apps.visible",
    ]
):
    from tests.fuzz.families import FAMILIES, family_of

    IS_FAMILY = sys.argv[1] in dict(FAMILIES)
    if IS_FAMILY:
        import_module(f"tests.fuzz.{sys.argv[1]}")
    else:
        family_of(sys.argv[1])


def run(name: str, options: Sequence[str]) -> None:
    """Fuzz a target; `options` are libFuzzer's. Ends the process."""
    family = family_of(name)

    def one(data: bytes) -> None:
        family.run(name, data)

    atheris.Setup([sys.argv[0], *options], one)
    atheris.Fuzz()


def serve() -> None:
    """Run each round that comes in, one after another, in a process of its own."""
    for line in sys.stdin:
        wanted = json.loads(line)
        child = os.fork()
        if not child:
            said = os.open(wanted["said"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.dup2(said, 1)
            os.dup2(said, 2)
            run(wanted["target"], wanted["options"])
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    if IS_FAMILY:
        serve()
    else:
        run(sys.argv[1], sys.argv[2:])
