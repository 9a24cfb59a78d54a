"""One target under atheris, in its own process: `python -m tests.fuzz.one NAME CORPUS -max_total_time=5`."""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(
    include=["taskferry_protocol", "taskferry_transports.longpoll_wire", "taskferry_apps.daemon.api.body"]
):
    from tests.fuzz.targets import TARGETS, run


def main() -> None:
    """Fuzz the target named first; the rest of the line is libFuzzer's."""
    name = sys.argv[1]
    if name not in TARGETS:
        raise SystemExit(f"no such target: {name}; there are {', '.join(TARGETS)}")
    atheris.Setup([sys.argv[0], *sys.argv[2:]], lambda data: run(name, data))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
