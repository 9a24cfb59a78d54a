"""One target under atheris, in its own process: `python -m tests.fuzz.one NAME CORPUS -max_total_time=5`."""

from __future__ import annotations

import sys

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
    from tests.fuzz.families import family_of

    FAMILY = family_of(sys.argv[1])


def main() -> None:
    """Fuzz the target named first; the rest of the line is libFuzzer's."""
    name = sys.argv[1]

    def one(data: bytes) -> None:
        FAMILY.run(name, data)

    atheris.Setup([sys.argv[0], *sys.argv[2:]], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
