"""`python -m tools.limits` writes the tables of `docs/limits.md`; with `--check` it fails if they are stale.

They are made of the tables in the code, and, for the protocol, of the comments that stand above each number.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping
from itertools import groupby
from pathlib import Path

import attrs

from taskferry_apps.daemon.bounds import DaemonBounds
from taskferry_apps.limit_table import Unit, amount_in_words, described, value_in_words
from taskferry_apps.relay.limits import RelayLimits
from taskferry_protocol import limits as protocol
from tools.generated import ROOT, run

PAGE = ROOT / "docs" / "limits.md"
FLOODS = ROOT / "docs" / "floods.md"
FIGURES = ROOT / "docs" / "floods.json"
_SOURCE = ROOT / "src" / "taskferry_protocol" / "limits.py"


def _table(kind: type[attrs.AttrsInstance]) -> Iterable[str]:
    for of, some in groupby(described(kind).values(), key=lambda limit: limit.of):
        yield from (f"### {of.value.capitalize()}", "", "| limit | usual | set | why |", "|---|---|---|---|")
        for limit in some:
            can = "yes" if limit.span is not None else ""
            yield f"| `{limit.name}` | {value_in_words(limit, limit.usual)} | {can} | {limit.why} |"
        yield ""


def _protocol() -> Iterable[str]:
    yield from ("| limit | value | why |", "|---|---|---|")
    comment: list[str] = []
    for line in _SOURCE.read_text("utf-8").splitlines():
        if line.startswith("#: "):
            comment.append(line[3:])
            continue
        name = re.match(r"([A-Z_]+): Final", line)
        why, comment = " ".join(comment), []
        if name is not None and name[1] not in {"SECOND_MS", "MINUTE_MS", "DAY_MS"}:
            if not why:
                raise ValueError(f"{name[1]} stands in {_SOURCE.name} without a reason")
            value = getattr(protocol, name[1])
            units = {"BYTES": Unit.BYTES, "MS": Unit.MS}
            shown = amount_in_words(units.get(name[1].rpartition("_")[2], Unit.COUNT), value)
            yield f"| `{name[1]}` | {shown} | {why} |"
    yield ""


def _figures() -> Iterable[str]:
    found = json.loads(FIGURES.read_text("utf-8"))
    starved = found["starved_percent"]
    yield from (
        f"`{found['command']}` on {found['machine']}.",
        "",
        "| | |",
        "|---|---|",
        f"| memory before, at most, at the end | {found['before_mib']:.0f}, {found['most_mib']:.0f}, "
        f"{found['last_mib']:.0f} MiB |",
        f"| honest messages, lost | {found['messages']:,}, {found['lost']} |",
        f"| they took: half, 99 of 100, all | {found['median_ms']:,.0f}, {found['p99_ms']:,.0f}, "
        f"{found['worst_ms']:,.0f} ms |",
        f"| 99 of 100 before the attack | {found['calm_p99_ms']:,.0f} ms |",
        f"| the relay's share of a core; of the time, it wanted one and other programs had it "
        f"| {found['cpu_percent']} %; {starved} % |",
        "",
        "| attack | was told |",
        "|---|---|",
    )
    for attack, outcomes in sorted(found["outcomes"].items()):
        told = ", ".join(f"`{code}` {count:,}" for code, count in sorted(outcomes.items()))
        yield f"| {attack} | {told} |"
    yield ""


def _filled(page: Path, tables: Mapping[str, Iterable[str]]) -> str:
    text = page.read_text("utf-8")
    for name, lines in tables.items():
        start, end = f"<!-- {name}: written by tools/limits.py -->\n", f"<!-- end of {name} -->"
        before, _, rest = text.partition(start)
        _, _, after = rest.partition(end)
        text = f"{before}{start}\n" + "\n".join(lines) + f"{end}{after}"
    return text


def wanted() -> dict[Path, str]:
    """The pages with their tables as they have to be."""
    tables = {"relay": _table(RelayLimits), "daemon": _table(DaemonBounds), "protocol": _protocol()}
    return {PAGE: _filled(PAGE, tables), FLOODS: _filled(FLOODS, {"figures": _figures()})}


if __name__ == "__main__":
    sys.exit(run("tools.limits", wanted()))
