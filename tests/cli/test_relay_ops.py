"""`taskferry relay ops`: a link for whoever can write to the relay's database, and for nobody else."""

from __future__ import annotations

from pathlib import Path

import httpx

from taskferry_apps.demo.stage import Stage

from .conftest import Ran, Shell, until


def links_of(ran: Ran) -> list[str]:
    """The links that a command has printed."""
    links = ran.json()["links"]
    assert isinstance(links, list)
    return links


def test_the_link_opens_the_pages_of_the_running_relay(stage: Stage, relay: str) -> None:
    """At the address where the relay listens; once; and a link of another database opens nothing."""
    operator = Shell(stage.folder, stage.folder / "relay")
    db = str(stage.folder / "relay" / "relay.db")
    # Where it listens is written down a moment after it does.
    made = until(lambda: operator("relay", "--db", db, "ops", "--json"), lambda ran: ran.code == 0)
    (link,) = links_of(made)
    assert link.startswith(f"{relay}/ops/sign-in?ticket=")
    with httpx.Client(base_url=relay) as browser:
        assert browser.get(link).status_code == 303
        assert browser.get("/ops").status_code == 200
    with httpx.Client(base_url=relay) as other:
        assert other.get(link).status_code == 401
    text = operator("relay", "--db", db, "ops")
    assert f"{relay}/ops/sign-in?ticket=" in text.out
    assert "two minutes" in text.out


def test_the_configured_origin_has_a_link_too(stage: Stage, relay: str) -> None:
    """With the path that stands before the relay there; one that is not protected is refused."""
    operator = Shell(stage.folder, stage.folder / "relay")
    words = ["relay", "--db", str(stage.folder / "relay" / "relay.db")]
    public = {"TASKFERRY_RELAY_PUBLIC_URL": "https://relay.example/ferry"}
    origin = {"TASKFERRY_RELAY_OPS_ORIGIN": "https://Relay.example:443"}
    made = until(
        lambda: operator(*words, "ops", "--json", **public, **origin), lambda ran: len(links_of(ran)) == 2
    )
    assert links_of(made)[1].startswith("https://relay.example/ferry/ops/sign-in?ticket=")
    for wrong in ("http://relay.example", "https://relay.example/x", "relay.example"):
        refused = operator(*words, "ops", TASKFERRY_RELAY_OPS_ORIGIN=wrong)
        assert refused.code == 2
        assert "TASKFERRY_RELAY_OPS_ORIGIN" in refused.err


def test_no_database_no_link(stage: Stage, tmp_path: Path) -> None:
    """A mistyped name makes no file and names the next step."""
    operator = Shell(stage.folder, tmp_path)
    missing = operator("relay", "--db", str(tmp_path / "none.db"), "ops")
    assert missing.code == 5
    assert "--db" in missing.err
    assert not (tmp_path / "none.db").exists()
