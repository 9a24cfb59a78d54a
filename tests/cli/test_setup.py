"""`taskferry setup` with tickets and links, against a real relay that asks for them."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from pathlib import Path

import pytest

from taskferry_apps.cli.setup import _place
from taskferry_apps.demo.stage import Stage
from tests.cli.conftest import Shell

TICKET = "tft_" + "A" * 32


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["alice"], "Name the relay"),
        (["alice", "bob", "--relay", "http://127.0.0.1:1"], "One OWNER"),
        (["alice", f"taskferry://relay.example/setup#ticket={TICKET}", "--ticket", "x"], "Give one ticket"),
        (["alice", "taskferry://relay.example/setup"], "ticket is missing"),
        (["alice", f"taskferry://relay.example/invite/{'A' * 22}#x"], "an invite"),
        (["alice", f"TASKFERRY://relay.example/setup#ticket={TICKET}"], "begins with"),
        (
            ["alice", f"taskferry://evil.example/setup#ticket={TICKET}", "--relay", "https://relay.example"],
            "is for evil.example",
        ),
        (["alice", "--ticket-file", "nowhere", "--relay", "http://127.0.0.1:1"], "cannot be read"),
    ],
)
def test_a_link_that_cannot_be_used_is_refused_before_anything_happens(nobody: Shell, words, said) -> None:
    """Malformed, foreign and doubled ones end with code 2 and what is wrong, without the ticket."""
    ran = nobody("setup", *words)
    assert ran.code == 2
    assert said in ran.err
    assert TICKET not in ran.err + ran.out


@pytest.mark.parametrize(
    ("link", "relay", "place"),
    [
        ("taskferry://relay.example", None, "https://relay.example"),
        ("taskferry://relay.example:8443", None, "https://relay.example:8443"),
        ("taskferry://localhost:8080", None, "http://localhost:8080"),
        ("taskferry://[::1]:8080", None, "http://[::1]:8080"),
        ("taskferry://relay.example", "https://relay.example:443/ferry", "https://relay.example:443/ferry"),
        ("taskferry://127.0.0.1:8080", "ws://127.0.0.1:8080", "ws://127.0.0.1:8080"),
    ],
)
def test_a_link_says_where_the_relay_is(link, relay, place) -> None:
    """With TLS off this machine; an address that is named beside it may say more of the same relay."""
    assert _place(f"{link}/setup#ticket={TICKET}", relay) == (place, TICKET)


def page(url: str, owner: str) -> dict[str, object]:
    """A ticket as the relay's page gives it."""
    request = urllib.request.Request(
        f"{url}/v1/signup", json.dumps({"owner": owner}).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as answer:
        value = json.load(answer)
    assert isinstance(value, dict)
    return value


def test_a_link_and_an_answer_set_an_account_up(stage: Stage, relay: str) -> None:
    """The page's link alone is enough; the name is asked for."""
    link = page(relay, "lena")["link"]
    shell = Shell(stage.folder, stage.start_daemon("lena").data)
    ran = shell("setup", str(link), stdin="lena\n")
    assert ran.code == 0, ran.err
    assert "claimed at the relay" in ran.out
    assert str(link).rpartition("=")[2] not in ran.out + ran.err


def test_a_ticket_comes_from_a_pipe_or_a_file(stage: Stage, relay: str, tmp_path: Path) -> None:
    """Neither stands in a list of processes; a second use says that it was used."""
    first, second = page(relay, "piet"), page(relay, "finn")
    piet = Shell(stage.folder, stage.start_daemon("piet").data)
    assert piet("setup", "piet", "--relay", relay, "--ticket", "-", stdin=f"{first['ticket']}\n").code == 0
    finn = Shell(stage.folder, stage.start_daemon("finn").data)
    file = tmp_path / "ticket"
    file.write_text(f"{first['link']}\n")
    used = finn("setup", "finn", "--ticket-file", str(file))
    assert used.code == 4
    assert "is kept for" not in used.err
    assert "used already" in used.err
    file.write_text(f"{second['ticket']}\n")
    assert finn("setup", "finn", "--relay", relay, "--ticket-file", str(file)).code == 0


def test_the_daemons_process_and_log_show_no_ticket(tmp_path: Path, relay: str) -> None:
    """It reaches the daemon in a request's body, and is nowhere else."""
    ticket = str(page(relay, "mute")["ticket"])
    with Stage(tmp_path) as stage:
        machine = stage.start_daemon("mute")
        shell = Shell(stage.folder, machine.data)
        assert shell("setup", "mute", "--relay", relay, "--ticket", ticket).code == 0
        listed = subprocess.run(["ps", "-wweo", "args"], capture_output=True, text=True, check=True).stdout
        assert f"up --addr 127.0.0.1:0 --data {machine.data}" in listed
        assert ticket not in listed
        (log,) = stage.folder.glob("*.log")
        assert ticket not in log.read_text()


def test_a_set_up_that_was_put_right_tells_of_no_earlier_refusal(stage: Stage, relay: str) -> None:
    """A name that is taken and then another; a ticket for another name and then its own."""
    first = Shell(stage.folder, stage.start_daemon("ines").data)
    assert first("setup", "ines", "--relay", relay).code == 0
    other = Shell(stage.folder, stage.start_daemon("inez").data)
    assert other("setup", "ines", "--relay", relay).code == 4
    mended = other("setup", "inez", "--relay", relay)
    assert "claimed at the relay" in mended.out, mended.out + mended.err
    link = str(page(relay, "jana")["link"])
    third = Shell(stage.folder, stage.start_daemon("jana").data)
    refused = third("setup", "jane", link)
    assert refused.code == 4, refused.out
    mended = third("setup", "jana", link)
    assert "claimed at the relay" in mended.out, mended.out + mended.err


def test_a_relays_address_that_was_mistyped_is_put_right_by_the_same_command(
    stage: Stage, relay: str
) -> None:
    """While no relay has let the account in, set-up takes another address, and the phrase stays as it was."""
    shell = Shell(stage.folder, stage.start_daemon("mona").data)
    away = shell("setup", "mona", "--relay", "http://127.0.0.1:9")
    assert "not claimed yet" in away.out, away.out + away.err
    assert shell("setup", "monica", "--relay", relay).code == 4
    mended = shell("setup", "mona", "--relay", relay)
    assert "claimed at the relay" in mended.out, mended.out + mended.err
    assert "Recovery phrase" not in mended.out
    status = shell("status", "--json").json()
    assert json.dumps(relay) in json.dumps(status)
    assert "was tried at another relay" in " ".join(shell("audit", "list").out.split())
    # From then on the account is where it is: another relay is a matter of the daemon's.
    refused = shell("setup", "mona", "--relay", "http://127.0.0.1:9")
    assert refused.code == 4
    assert "taskferry up --relay URL" in refused.err
