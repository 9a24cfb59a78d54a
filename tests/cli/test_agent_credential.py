"""Programs that the command line runs as an agent have a credential that is that agent's alone."""

from __future__ import annotations

import json
import stat

import click
import pytest
from click.testing import CliRunner, Result

from taskferry_apps.cli.agent_credential import agent_credential, kept_credential
from taskferry_apps.cli.daemon_link import daemon_options
from taskferry_apps.cli.outcome import CommandFailed
from taskferry_apps.local_client import ApiError, LocalClient

from .conftest import Shell, items


@click.command()
@click.option("--agent", default="")
@daemon_options
def ask(agent: str) -> None:
    """Say as whom a program would act."""
    acting = agent_credential(agent, "tester")
    assert not acting.agent or kept_credential(acting.agent, "tester") in ("", acting.token)
    click.echo(f"{acting.agent} {acting.token}")


def asked(shell: Shell, *words: str, **variables: str) -> Result:
    """What the command says in a shell."""
    return CliRunner().invoke(ask, words, env={"TASKFERRY_DATA": str(shell.data), **variables})


def acting(shell: Shell, agent: str) -> tuple[str, str]:
    """The agent and the credential."""
    done = asked(shell, "--agent", agent)
    assert done.exception is None, done.exception
    name, token = done.output.split()
    return name, token


def address(shell: Shell) -> str:
    """Where the shell's daemon listens."""
    return str(json.loads((shell.data / "daemon.json").read_text())["url"])


def test_it_is_made_once_and_kept_for_the_agent_alone(bob: Shell) -> None:
    """The same credential is found again, by the handle too, in a file of mode 0600."""
    name, token = acting(bob, "writer")
    assert name == "writer"
    assert acting(bob, "@bob/writer") == (name, token)
    kept = bob.data / "programs" / "tester-writer.token"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    labels = [item["label"] for item in items(bob("token", "list", "--json"), "tokens")]
    assert labels.count("tester") == 1


def test_it_has_none_of_the_owners_powers(bob: Shell) -> None:
    """What only the owner may do is refused to it."""
    _, token = acting(bob, "writer")
    with LocalClient(address(bob), token) as program, pytest.raises(ApiError) as refused:
        program.get("/tokens")
    assert refused.value.code == "owner-only"


def test_a_revoked_one_is_made_anew(bob: Shell) -> None:
    """After the owner has ended it, the next start gets another."""
    assert bob("agent", "create", "ended").code == 0
    _, token = acting(bob, "ended")
    (made,) = [
        item for item in items(bob("token", "list", "--json"), "tokens") if item["agents"] == ["ended"]
    ]
    assert bob("token", "revoke", str(made["id"])).code == 0
    name, other = acting(bob, "ended")
    assert (name, other != token) == ("ended", True)


def test_a_damaged_file_is_made_anew(bob: Shell) -> None:
    """A file that holds no credential is as none."""
    _, token = acting(bob, "writer")
    (bob.data / "programs" / "tester-writer.token").write_text("\n\n")
    assert acting(bob, "writer")[1] not in ("", token)


def test_a_file_that_others_can_read_is_refused(bob: Shell) -> None:
    """What others may have read is not used, and the remedy is said."""
    acting(bob, "writer")
    kept = bob.data / "programs" / "tester-writer.token"
    kept.chmod(0o644)
    refused = asked(bob, "--agent", "writer").exception
    kept.chmod(0o600)
    assert isinstance(refused, CommandFailed)
    assert "chmod 600" in str(refused)


def test_a_named_one_outranks_it(bob: Shell) -> None:
    """TASKFERRY_LOCAL_API_TOKEN is taken as it is."""
    done = asked(bob, TASKFERRY_LOCAL_API_TOKEN="tfa_named")
    assert done.output == " tfa_named\n"


@pytest.mark.parametrize(
    ("agent", "words"),
    [
        ("", "Which agent?"),
        ("nobody", "There is no agent nobody"),
        ("@alice/writer", "There are:"),
        ("../x", "names no agent"),
    ],
)
def test_an_agent_that_is_not_meant_is_refused(bob: Shell, agent: str, words: str) -> None:
    """Where it is not one of this owner's, or not said which, those that there are are listed."""
    assert bob("agent", "create", f"one-of-several-{len(words)}{len(agent)}").code == 0
    refused = asked(bob, "--agent", agent).exception
    assert isinstance(refused, CommandFailed)
    assert words in str(refused)
