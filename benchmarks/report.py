"""A run's figures for people: a table on the terminal, and `docs/performance.md`."""

from __future__ import annotations

import json
import sys
from itertools import groupby
from pathlib import Path
from string import Template
from typing import Any

from rich.console import Console
from rich.table import Table

from .results import Figure, Report

__all__ = ["GROUPS", "print_table", "write_docs"]

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs" / "performance.md"
LONG_RUN = Path(__file__).parent / "results" / "load.json"
TEMPLATE = Path(__file__).parent / "performance.md.template"

#: What each benchmark is called in the table.
GROUPS = {
    "pair": "Throughput, 1 pair, 1 a frame, pipelined",
    "pairs": "Throughput, 50 pairs, 4 a frame",
    "frames": "Throughput, 50 pairs, 32 a frame",
    "latency": "Latency from process to process, 50 messages a second",
    "backlog": "Backlog",
    "waking": "Waking a watch on another machine, by a task over WebSocket",
    "daemon": "Messages between two daemons, ten agents each, by the local API",
    "stored": "Cost as the relay fills, 50 pairs, 4 a frame",
    "history": "Lists, searches and figures of a daemon with a long history",
    "pages": "Pages of the dashboard over that history",
    "idle": "Memory",
    "sealing": "Cryptography",
    "startup": "Start-up of the command line",
    "whole": "The demo, and continuous integration",
}


def _number(value: float) -> str:
    if value >= 1_000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _spread(figure: Figure) -> str:
    if figure.spread is None:
        return ""
    return f"{_number(figure.spread[0])} to {_number(figure.spread[1])}"


def _bar(figure: Figure) -> str:
    return "" if figure.bar is None else f"{figure.bar.way.value} {_number(figure.bar.value)}"


def print_table(report: Report) -> None:
    """The figures on the terminal, a section for each benchmark."""
    table = Table(title=f"TaskFerry at {report.commit}, {report.scale} run of {report.seconds:.0f} s")
    table.add_column("what")
    for heading in ("median", "unit", "runs", "bar", ""):
        table.add_column(heading, justify="left" if heading in ("unit", "") else "right", no_wrap=True)
    for group, figures in groupby(report.figures, lambda figure: figure.group):
        table.add_section()
        table.add_row(f"[bold]{GROUPS[group]}[/bold]")
        for figure in figures:
            style = {"met": "green", "not met": "red"}.get(figure.verdict, "")
            table.add_row(
                figure.label,
                _number(figure.value),
                figure.unit,
                _spread(figure),
                _bar(figure),
                f"[{style}]{figure.verdict}[/{style}]" if style else "",
            )
    table.caption = ", ".join(f"{name}: {value}" for name, value in report.machine.items())
    Console(width=None if sys.stdout.isatty() else 120).print(table)


_GROWTH = {
    "resident_mib": ("resident memory", "MiB"),
    "descriptors": ("open files and sockets", ""),
    "wal_mib": ("write-ahead log", "MiB"),
    "database_mib": ("database", "MiB"),
    "p99_ms": ("latency, p99", "ms"),
}


def _beside(run: dict[str, Any]) -> str:
    return f" Beside it ran {run['beside']}." if run.get("beside") else ""


def _long_run() -> str:
    """What `python -m benchmarks.load` found last; a sentence where it has not been run."""
    if not LONG_RUN.exists():
        return "It has not been run on this machine yet."
    run = json.loads(LONG_RUN.read_text())
    counts = run["counts"]
    lines = [
        f"{run['devices']:,} devices, {run['minutes']:g} minutes, {counts['arrived']:,} messages of "
        f"{counts['accepted']:,} accepted arrived, {run['never_arrived']:,} never did; "
        f"{counts.get('went away', 0):,} times a device went away and came back. `{run['command']}`, "
        f"{run['machine']['processor']}, load before {run['machine']['load before']}.{_beside(run)}",
        "",
        "| | highest | growth an hour, after the first quarter |",
        "|---|---:|---:|",
    ]
    for name, (label, unit) in _GROWTH.items():
        highest, growth = run["highest"][name], run["growth_per_hour"][name]
        lines.append(f"| {label} | {_number(highest)} {unit} | {growth:+,.1f} {unit} |")
    return "\n".join([*lines, "", "![The relay during the long run](images/load.svg)"])


def write_docs(report: Report) -> Path:
    """Write `docs/performance.md` from a report; its path. The prose is in the template, figures are not."""
    lines: list[str] = []
    for group, figures in groupby(report.figures, lambda figure: figure.group):
        lines += [f"### {GROUPS[group]}", "", "| what | median | unit | runs | bar | |"]
        lines.append("|---|---:|---|---|---|---|")
        for figure in figures:
            verdict = f"**{figure.verdict}**" if figure.verdict == "not met" else figure.verdict
            cells = (figure.label, _number(figure.value), figure.unit, _spread(figure), _bar(figure), verdict)
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    judged = [figure for figure in report.figures if figure.bar is not None]
    met = sum(figure.verdict == "met" for figure in judged)
    text = Template(TEMPLATE.read_text()).substitute(
        tables="\n".join(lines).rstrip(),
        machine="\n".join(f"| {name} | {value} |" for name, value in report.machine.items()),
        commit=report.commit,
        taken_at=report.taken_at,
        minutes=f"{report.seconds / 60:.0f}",
        verdict=f"{met} of {len(judged)} bars are met",
        long_run=_long_run(),
    )
    DOCS.write_text(text)
    return DOCS
