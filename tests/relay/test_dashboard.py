"""The dashboard and the alerts for Prometheus name metrics that a running relay and a daemon really have."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]
from prometheus_client.parser import text_string_to_metric_families

from taskferry_apps.daemon.api.metrics import daemon_families
from taskferry_apps.daemon.numbers_port import Numbers
from taskferry_apps.disk import Disk
from taskferry_apps.exposition import exposition
from taskferry_apps.histogram import Histogram
from taskferry_protocol.records import DaemonStats

from .test_ops_pages import served

ROOT = Path(__file__).parents[2]
ALERTS = ROOT / "deploy" / "prometheus" / "taskferry-alerts.yml"
DASHBOARD = ROOT / "deploy" / "grafana" / "taskferry-relay.json"
NAMED = re.compile(r"\b(?:taskferry|process)_\w+")
LABELLED = re.compile(r"\b((?:taskferry|process)_\w+)\{([^}]*)\}")
#: What Prometheus adds to every sample.
OF_SCRAPES = {"instance", "job"}


def samples(text: str) -> dict[str, set[str]]:
    """Names of samples, with the names of their labels."""
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        if family.type == "counter" and not family.samples:
            # Nothing was refused yet.
            found[f"{family.name}_total"] = {"what", "code"}
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def of_a_daemon() -> dict[str, set[str]]:
    """What a daemon shows."""
    numbers = Numbers(DaemonStats(0, 0, 0, 0, 0, 0, 0), 0, 0, 0, "", "", Histogram(()), stopped=False)
    return samples(exposition(daemon_families(numbers, Disk(0, 0, 0), None)).decode())


def rules() -> list[dict[str, Any]]:
    """All alerts."""
    return [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]


def check_names(expressions: list[str], known: dict[str, set[str]]) -> None:
    """Every metric in them, and every label that is asked of one, is there."""
    for expression in expressions:
        named = set(NAMED.findall(expression))
        assert named <= set(known), expression
        for name, labels in LABELLED.findall(expression):
            asked = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", labels))
            assert asked <= known[name] | OF_SCRAPES, expression
        assert expression.count("(") == expression.count(")")


async def test_the_dashboard_and_the_alerts_name_what_is_there(tmp_path: Path) -> None:
    """By the scrape of a relay that runs."""
    async with served(tmp_path) as site:
        text = (await site.client.get("/metrics")).text
    known = samples(text)
    panels = json.loads(DASHBOARD.read_text())["panels"]
    assert len(panels) > 10
    check_names([target["expr"] for panel in panels for target in panel["targets"]], known)
    check_names([rule["expr"] for rule in rules()], known | of_a_daemon())


async def test_the_document_lists_every_metric(tmp_path: Path) -> None:
    """Those of a relay and of a daemon, by the part of the name that tells them apart."""
    async with served(tmp_path) as site:
        relays = samples((await site.client.get("/metrics")).text)
    document = (ROOT / "docs" / "operations.md").read_text()
    missing = set()
    for name in {*relays, *of_a_daemon()}:
        if name.startswith("taskferry_"):
            short = re.sub(r"_(bucket|g?count|g?sum)$", "", re.sub("^taskferry_(relay|daemon)_", "", name))
            if short not in document:
                missing.add(short)
    assert not missing


def test_every_alert_says_what_to_do() -> None:
    """A sentence on what is wrong, one on what to do, and how bad it is."""
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names)
    for rule in rules():
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}
        assert rule["annotations"]["summary"].endswith(".")
        assert rule["annotations"]["action"]
