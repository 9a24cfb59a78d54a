"""`taskferry doctor`: how each thing is and what to do, with a daemon that answers and without one."""

from __future__ import annotations

import json
import shutil
import socket
import sqlite3
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from taskferry_apps.cli.doctor_checks import settings_of
from taskferry_apps.cli.doctor_network import certificate, relay_from_here
from taskferry_apps.cli.doctor_relay import of_database

from .conftest import Ran, Shell


def levels(ran: Ran) -> dict[str, str]:
    """The level of each check, the worst where there are several."""
    order = ["ok", "warn", "fail"]
    found: dict[str, str] = {}
    for look in json.loads(ran.out):
        found[look["check"]] = max(found.get(look["check"], "ok"), look["level"], key=order.index)
    return found


def looked(ran: Ran, check: str) -> dict[str, str]:
    """One look, whole."""
    return next(look for look in json.loads(ran.out) if look["check"] == check)


@pytest.fixture
def stopped(alice: Shell, tmp_path: Path) -> Shell:
    """Alice's data without her daemon: a consistent copy."""
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    shutil.copytree(alice.data / "keys", data / "keys")
    shutil.copy(alice.data / "owner.token", data / "owner.token")
    with sqlite3.connect(alice.data / "daemon.db") as source:
        with sqlite3.connect(data / "daemon.db") as target:
            source.backup(target)
        target.close()
    source.close()
    (data / "daemon.db").chmod(0o600)
    (data / "daemon.json").write_text(json.dumps({"url": "http://127.0.0.1:9", "pid": 1}))
    return Shell(tmp_path, data)


def test_all_is_well(alice: Shell) -> None:
    """Everything that can go wrong is looked at, and each value has its source."""
    ran = alice("doctor", "--json")
    found = levels(ran)
    assert {level for check, level in found.items() if check != "quarantine"} == {"ok"}, ran.out
    assert ran.code == 0
    assert {
        *("Python", "SQLite", "setting relay", "setting addr", "data directory", "disk space"),
        "file modes",
        *("secret store", "daemon", "account", "relay", "clock", "account log", "outbox", "quarantine"),
        *("identities", "alarms", "database", "audit log", "TLS", "relay from here"),
    } <= found.keys()
    assert "default" in looked(ran, "setting relay")["text"]
    assert "has the same" in looked(ran, "account log")["text"]
    token = (alice.data / "owner.token").read_text().strip()
    assert token not in ran.out
    assert alice("doctor").out.startswith("ok   ")


@pytest.mark.parametrize(("mode", "level"), [(0o644, "fail"), (0o640, None), (0o600, None)])
def test_a_secret_in_a_file_that_everybody_reads_is_named(
    tmp_path: Path, mode: int, level: str | None
) -> None:
    """Of daemon and relay; a group of its own may read it, as a service does."""
    config, password = tmp_path / "taskferry.toml", tmp_path / "password"
    config.write_text(
        f'[daemon]\nrelay_token = "{"t" * 20}"\n[relay]\nclient_tokens = "some={"t" * 20}"\n'
        f'smtp_password_file = "{password}"\n'
    )
    password.write_text("secret")
    for path in (config, password):
        path.chmod(mode)
    _, looks = settings_of(tmp_path / "data", config)
    found = [look for look in looks if look.check == "settings file"]
    found += [
        look for look in of_database(tmp_path / "relay.db", config, None) if look.check == "settings file"
    ]
    assert [look.level for look in found] == ([level] * 3 if level else [])
    assert "t" * 20 not in str(found)
    if level:
        assert "relay_token" in found[0].text
        assert str(password) in found[2].remedy


def test_people_are_shown_the_settings_that_were_set_and_the_number_of_the_others(nobody: Shell) -> None:
    """One that somebody set stands out; what has its default is one line, and whole in JSON."""
    every = {look["check"]: look["text"] for look in json.loads(nobody("doctor", "--json").out)}
    usual = [text for check, text in every.items() if check.startswith("setting ") and "(default)" in text]
    assert len(usual) > 10
    ran = nobody("doctor", TASKFERRY_LOG="debug")
    shown = [line.split(":")[0].split()[2] for line in ran.out.splitlines() if " setting " in line]
    assert shown == ["data", "log"]
    assert "debug (environment TASKFERRY_LOG)" in ran.out
    assert f"{len(usual) - 1} settings have their default" in ran.out


def test_a_daemon_that_is_down_is_said_and_the_rest_is_looked_at(stopped: Shell) -> None:
    """Database, audit log and relay are looked at from here; the clock is compared with its answer."""
    ran = stopped("doctor", "--json")
    found = levels(ran)
    assert ran.code == 1
    assert found["daemon"] == "fail"
    assert "taskferry up" in looked(ran, "daemon")["remedy"]
    for check in ("database", "audit log", "relay from here", "clock", "file modes"):
        assert found[check] == "ok", ran.out


def test_what_is_wrong_comes_with_its_remedy(stopped: Shell) -> None:
    """A readable secret, an audit log that was changed, a setting that cannot be used."""
    (stopped.data / "owner.token").chmod(0o644)
    with sqlite3.connect(stopped.data / "daemon.db") as database:
        database.execute("DELETE FROM audit WHERE n = 2")
    database.close()
    ran = stopped("doctor", "--json")
    found = levels(ran)
    assert (found["file modes"], found["audit log"]) == ("fail", "fail")
    assert "chmod go-rwx" in looked(ran, "file modes")["remedy"]
    assert "Entry 2 is missing" in looked(ran, "audit log")["text"]
    config = stopped.folder / "config.toml"
    config.write_text('[daemon]\nrelay = "ftp://relay.example"\n')
    bad = stopped("doctor", "--json", "--config", str(config))
    assert "ftp://relay.example" in looked(bad, "configuration")["text"]
    config.write_text('[daemon]\nrelay = "https://127.0.0.1:9"\n')
    away = stopped("doctor", "--json", "--config", str(config))
    assert "file" in looked(away, "setting relay")["text"]
    assert levels(away)["TLS"] == "fail"
    (stopped.data / "daemon.db").write_bytes(b"no database" * 1_000)
    assert levels(stopped("doctor", "--json"))["database"] == "fail"


def test_a_machine_without_anything_is_told_how_to_begin(nobody: Shell) -> None:
    """No folder, no daemon: the first step is said."""
    ran = nobody("doctor")
    assert ran.code == 1
    assert "taskferry up" in ran.out


# --- Certificates


@contextmanager
def serving(cert: trustme.LeafCert) -> Iterator[int]:
    """A TLS server that shakes hands once; its port."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    cert.configure_cert(context)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)

        def serve() -> None:
            try:
                raw, _ = server.accept()
                raw.settimeout(20)
                with context.wrap_socket(raw, server_side=True) as wrapped:
                    wrapped.recv(1)
            except OSError:
                pass  # a client that refuses the certificate hangs up

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        thread.join(20)


@pytest.mark.parametrize(
    ("days", "name", "level", "word"),
    [
        (90, "localhost", "ok", "days"),
        (5, "localhost", "warn", "renew"),
        (-2, "localhost", "fail", "expired"),
        (90, "other.example", "fail", "match"),
    ],
)
def test_a_certificate_is_verified_and_its_end_is_said(days: int, name: str, level: str, word: str) -> None:
    """Good, ending soon, over, and another host's."""
    ca = trustme.CA()
    now = datetime.now(UTC)
    cert = ca.issue_cert(name, not_before=now - timedelta(days=10), not_after=now + timedelta(days=days))
    context = ssl.create_default_context()
    ca.configure_trust(context)
    with serving(cert) as port:
        look = certificate("localhost", port, context)
    assert look.level == level
    assert word in look.text + look.remedy


def test_a_certificate_of_nobody_known_is_refused() -> None:
    """An authority that this machine does not trust vouches for nothing."""
    with serving(trustme.CA().issue_cert("localhost")) as port:
        look = certificate("localhost", port)
    assert (look.check, look.level) == ("TLS", "fail")
    assert look.remedy


def test_a_relay_proves_itself_by_the_authority_that_was_named(tmp_path: Path) -> None:
    """As to the daemon: by the file alone, which has to be one."""
    ca = trustme.CA()
    named = tmp_path / "authority.pem"
    ca.cert_pem.write_to_path(str(named))
    with serving(ca.issue_cert("localhost")) as port:
        first = next(relay_from_here(f"https://localhost:{port}", clock=False, authorities=named))
    assert (first.check, first.level) == ("TLS", "ok")
    named.write_text("no certificate")
    first, *more = relay_from_here("https://localhost:1", clock=False, authorities=named)
    assert (first.check, first.level, more) == ("TLS", "fail", [])
    assert "TASKFERRY_RELAY_CA" in first.remedy
