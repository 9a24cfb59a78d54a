"""Where a program finds its daemon and its credential, and which of several counts."""

from __future__ import annotations

import json

import pytest

from taskferry_apps.client import AsyncClient, Client, NoCredential
from taskferry_apps.client.address import DaemonStarting, Holder
from taskferry_apps.client.finding import owner_credential
from taskferry_apps.daemon.private_files import hold_directory


def test_the_address_that_is_nearest_counts(data, monkeypatch):
    """Named, environment, the daemon that holds the data directory: in this order, and nothing else."""
    monkeypatch.setenv("TASKFERRY_CLIENT_ADDR", "127.0.0.1:1")
    with Client(token="t") as client:
        assert client.url == ""
        with hold_directory(data):
            (data / "daemon.json").write_text(json.dumps({"url": "http://127.0.0.1:2"}))
            assert client.url == "http://127.0.0.1:2"
    monkeypatch.setenv("TASKFERRY_LOCAL_URL", "http://127.0.0.1:3/")
    with Client(token="t") as client:
        assert client.url == "http://127.0.0.1:3"
    with Client(token="t", url="http://127.0.0.1:4") as client:
        assert client.url == "http://127.0.0.1:4"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"url": 1', '{"url": 1}', '{"url": "file:/x"}', "\x00"])
def test_a_damaged_note_of_the_daemon_is_passed_over(data, text):
    """A file that is half written, or none of ours, is as none: the daemon does not listen yet."""
    with hold_directory(data):
        (data / "daemon.json").write_text(text)
        with pytest.raises(DaemonStarting):
            Holder(data)()


def test_the_owners_credential_is_taken_only_when_it_is_asked_for(data, monkeypatch):
    """A program without a credential of its own does not become the owner by standing near the file."""
    (data / "owner.token").write_text("tfo_owner\n")
    for kind in (Client, AsyncClient):
        with pytest.raises(NoCredential, match="token create"):
            kind()
    with Client.as_owner("writer") as owner:
        assert "owner" not in repr(owner)
    monkeypatch.setenv("TASKFERRY_LOCAL_API_TOKEN", "tfa_agent")
    with Client() as agent:
        assert "tfa" not in repr(agent)


@pytest.mark.parametrize("text", ["a b\nc", "\u200b", "x" * 600, " "])
def test_what_is_no_credential_is_not_sent(data, text):
    """It could break out of its header, or is cut short somewhere: refused before anything is sent."""
    with pytest.raises(NoCredential):
        Client(token=text)
    (data / "owner.token").write_text("a\nb")
    with pytest.raises(NoCredential, match="damaged"):
        owner_credential(data)
    (data / "owner.token").unlink()
    with pytest.raises(NoCredential, match="taskferry up"):
        Client.as_owner()
