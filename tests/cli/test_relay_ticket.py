"""`taskferry relay ticket`, beside a relay that runs and asks new accounts for tickets."""

from __future__ import annotations

import json
from pathlib import Path

import attrs
import pytest

from taskferry_apps.demo.stage import Stage, _logged_url
from tests.cli.conftest import Ran, Shell

pytestmark = pytest.mark.journey


@attrs.frozen
class TicketRelay:
    """A relay that takes only accounts with tickets, and its operator's shell."""

    url: str
    db: Path
    shell: Shell

    def ticket(self, *words: str) -> Ran:
        """An operator's command."""
        return self.shell("relay", "--db", str(self.db), "--public-url", self.url, "ticket", *words)


@pytest.fixture(scope="module")
def office(stage: Stage) -> TicketRelay:
    """The relay, running."""
    folder = stage.folder / "ticket-relay"
    folder.mkdir(mode=0o700)
    db = folder / "relay.db"
    words = ["relay", "--addr", "127.0.0.1:0", "--db", str(db), "--signup", "ticket"]
    process, log = stage._start("ticket-relay", words)
    url = stage._when(process, log, lambda: _logged_url(log))
    return TicketRelay(url, db, Shell(stage.folder, folder))


def test_an_operator_lets_one_account_in(stage: Stage, office: TicketRelay) -> None:
    """Made while the relay runs, used by a daemon, and then shown as used; a second use is refused."""
    made = office.ticket("create", "--name", "tess", "--note", "for Tess", "--json")
    assert made.code == 0, made.err
    link = str(made.json()["link"])
    tess = Shell(stage.folder, stage.start_daemon("tess").data)
    refused = tess("setup", "tess", "--relay", office.url)
    assert refused.code == 4
    assert "ticket" in refused.err
    done = tess("setup", "tess", link)
    assert done.code == 0, done.err
    listed = json.loads(office.ticket("list", "--json").out)["tickets"]
    (ticket,) = [row for row in listed if row["name"] == "tess"]
    assert (ticket["state"], ticket["account_name"], ticket["note"]) == ("used", "tess", "for Tess")
    table = office.ticket("list")
    assert "used by @tess" in table.out
    assert link.rpartition("=")[2] not in table.out
    again = Shell(stage.folder, stage.start_daemon("again").data)("setup", "again", link)
    assert again.code == 4
    assert "used already" in again.err
    assert office.ticket("revoke", ticket["id"][:8]).code == 5


def test_a_withdrawn_ticket_lets_nobody_in(stage: Stage, office: TicketRelay) -> None:
    """Its name is free again, too."""
    made = office.ticket("create", "--name", "uwe", "--json").json()
    taken = office.ticket("create", "--name", "@uwe")
    assert (taken.code, "is kept" in taken.err) == (4, True)
    assert office.ticket("revoke", str(made["id"])[:8]).code == 0
    assert office.ticket("create", "--name", "uwe", "--expires", "1h").code == 0
    uwe = Shell(stage.folder, stage.start_daemon("uwe").data)
    refused = uwe("setup", "uwe", str(made["link"]))
    assert refused.code == 4
    assert "does not know that ticket" in refused.err


def test_tickets_can_be_made_before_the_relay_runs(nobody: Shell, tmp_path: Path) -> None:
    """The first one makes the database; what cannot be is said."""
    where = ("relay", "--db", str(tmp_path / "new" / "relay.db"), "ticket")
    for words in (["list"], ["revoke", "3f9c01ab"]):
        missing = nobody(*where, *words)
        assert (missing.code, "There is no database at" in missing.err) == (5, True)
    assert not (tmp_path / "new").exists()
    (tmp_path / "empty.db").touch()
    assert nobody("relay", "--db", str(tmp_path / "empty.db"), "ticket", "list").code == 7
    assert not (tmp_path / "empty.db").stat().st_size
    made = nobody(*where, "create")
    assert made.code == 0
    assert "taskferry://127.0.0.1:8080/setup#ticket=tft_" in made.out
    assert "--public-url" in made.out
    for words, said in (
        (["create", "--name", "Upper"], "1 to 32"),
        (["create", "--expires", "999d"], "within a year"),
        (["create", "--note", "x" * 201], "200"),
        (["revoke", "xyz"], "is no id"),
    ):
        ran = nobody(*where, *words)
        assert ran.code == 2
        assert said in ran.err
    (tmp_path / "other.db").write_bytes(b"not a database at all, but long enough to look at")
    other = nobody("relay", "--db", str(tmp_path / "other.db"), "ticket", "list")
    assert other.code == 7
