"""`python -m tools.dashboard` writes deploy/grafana/taskferry-relay.json; with `--check` it only compares."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

from tools.generated import run

ROOT: Final = Path(__file__).resolve().parents[1]
TARGET: Final = ROOT / "deploy" / "grafana" / "taskferry-relay.json"
_SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
_COLUMNS, _WIDTH, _HEIGHT = 24, 8, 8


def _per_second(name: str, by: str) -> str:
    return f'sum by ({by}) (rate(taskferry_relay_{name}{{instance=~"$instance"}}[$__rate_interval]))'


def _percentile(share: float, name: str) -> str:
    return f"histogram_quantile({share}, {_per_second(f'{name}_bucket', 'le')})"


def _share(share: float, name: str) -> str:
    """Of a histogram of how things are now."""
    return (
        f'histogram_quantile({share}, sum by (le) (taskferry_relay_{name}_bucket{{instance=~"$instance"}}))'
    )


def _gauge(name: str) -> str:
    return f'taskferry_relay_{name}{{instance=~"$instance"}}'


def _process(name: str, of: str = "{}") -> str:
    """Of the relays' processes alone: others have the same names."""
    return f'{of.format(f"process_{name}")} and on(instance) taskferry_relay_info{{instance=~"$instance"}}'


#: Title, unit, what it tells, and (expression, legend) of each line.
PANELS: Final[tuple[tuple[str, str, str, tuple[tuple[str, str], ...]], ...]] = (
    (
        "Well",
        "short",
        "1 where all is well, 1 where the disk is full.",
        ((_gauge("healthy"), "well"), (_gauge("disk_full"), "disk full")),
    ),
    (
        "Admission",
        "ops",
        "Envelopes decided on, by code.",
        ((_per_second("admissions_total", "code"), "{{code}}"),),
    ),
    (
        "Refusals",
        "ops",
        "What was refused, and why.",
        ((_per_second("refusals_total", "what, code"), "{{what}}: {{code}}"),),
    ),
    (
        "Commit",
        "s",
        "How long a group took to be on disk.",
        (
            (_percentile(0.5, "commit_seconds"), "half"),
            (_percentile(0.95, "commit_seconds"), "95 of 100"),
            (_percentile(0.99, "commit_seconds"), "99 of 100"),
        ),
    ),
    (
        "Group",
        "short",
        "Envelopes in a group, and those that wait for the next.",
        (
            (_percentile(0.5, "commit_envelopes"), "half"),
            (_percentile(0.95, "commit_envelopes"), "95 of 100"),
            (_gauge("queued_envelopes"), "queued"),
        ),
    ),
    (
        "Commit to frame",
        "s",
        "How long new mail waits for its frame, where the recipient is there.",
        ((_percentile(0.5, "wake_seconds"), "half"), (_percentile(0.95, "wake_seconds"), "95 of 100")),
    ),
    (
        "Links",
        "short",
        "Open connections, and devices with a session.",
        ((_gauge("links"), "{{transport}}"), (_gauge("online_devices"), "devices")),
    ),
    ("Sessions", "ops", "Sessions opened.", ((_per_second("sessions_total", "instance"), "opened"),)),
    (
        "Waiting",
        "short",
        "Mailbox entries that nobody has acknowledged, and mailboxes that hold any.",
        (
            (_gauge("waiting_entries"), "entries"),
            (_gauge("mailboxes_waiting"), "mailboxes"),
            (_gauge("fullest_mailbox_entries"), "the fullest"),
        ),
    ),
    (
        "Mailbox depth",
        "short",
        "Entries in mailboxes that hold any.",
        (
            (_share(0.5, "mailbox_entries"), "half"),
            (_share(0.95, "mailbox_entries"), "95 of 100"),
            (_share(0.99, "mailbox_entries"), "99 of 100"),
        ),
    ),
    (
        "Mailbox age",
        "s",
        "How long the oldest envelope of a mailbox waits: somebody's machine is off.",
        (
            (_share(0.5, "mailbox_age_seconds"), "half"),
            (_share(0.95, "mailbox_age_seconds"), "95 of 100"),
            (_share(0.99, "mailbox_age_seconds"), "99 of 100"),
        ),
    ),
    (
        "Oldest waiting",
        "s",
        "Somebody's machine is off; no fault by itself.",
        ((_gauge("oldest_waiting_seconds"), "oldest"),),
    ),
    (
        "Bytes waiting",
        "bytes",
        "In all mailboxes, and in the fullest.",
        ((_gauge("waiting_bytes"), "all"), (_gauge("fullest_mailbox_bytes"), "the fullest")),
    ),
    (
        "Disk",
        "bytes",
        "The database, its write-ahead log, and what is free.",
        (
            (_gauge("database_bytes"), "database"),
            (_gauge("log_bytes"), "log"),
            (_gauge("disk_free_bytes"), "free"),
        ),
    ),
    ("Memory", "bytes", "Of the relay's process.", ((_process("resident_memory_bytes"), "resident"),)),
    (
        "Processor",
        "percentunit",
        "Of one core.",
        (
            (
                _process("cpu_seconds_total[$__rate_interval]", "rate({})"),
                "used",
            ),
        ),
    ),
    (
        "File descriptors",
        "short",
        "In use, of those that may be.",
        ((_process("open_fds"), "open"), (_process("max_fds"), "most")),
    ),
    (
        "Accounts",
        "short",
        "Who is here.",
        (
            (_gauge("accounts"), "accounts"),
            (_gauge("suspended_accounts"), "suspended"),
            (_gauge("held_accounts"), "held"),
            (_gauge("agents"), "agents"),
        ),
    ),
)


def _panel(
    number: int, title: str, unit: str, about: str, lines: tuple[tuple[str, str], ...]
) -> dict[str, Any]:
    row, column = divmod(number, _COLUMNS // _WIDTH)
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": title,
        "description": about,
        "datasource": _SOURCE,
        "gridPos": {"h": _HEIGHT, "w": _WIDTH, "x": column * _WIDTH, "y": row * _HEIGHT},
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + at), "datasource": _SOURCE, "expr": expression, "legendFormat": legend}
            for at, (expression, legend) in enumerate(lines)
        ],
    }


def dashboard() -> dict[str, Any]:
    """What Grafana imports."""
    return {
        "title": "TaskFerry relay",
        "uid": "taskferry-relay",
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "tags": ["taskferry"],
        "templating": {
            "list": [
                {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"},
                {
                    "name": "instance",
                    "label": "Relay",
                    "type": "query",
                    "datasource": _SOURCE,
                    "query": "label_values(taskferry_relay_info, instance)",
                    "includeAll": True,
                    "multi": True,
                    "refresh": 2,
                },
            ]
        },
        "panels": [_panel(at, *panel) for at, panel in enumerate(PANELS)],
    }


if __name__ == "__main__":
    text = json.dumps(dashboard(), indent=2) + "\n"
    sys.exit(run("tools.dashboard", {TARGET: text}))
