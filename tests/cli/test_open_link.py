"""What `taskferry open` says where a link leads to an agent that nobody is left to connect with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

import pytest
from click.testing import CliRunner

from taskferry_apps.cli.outcome import CommandFailed, Exit

LINK = "taskferry://relay.example/invite/CODE#account=A&secret=S"


class Daemon:
    """One that knows where the link leads, and these agents of its owner."""

    def __init__(self, *agents: dict[str, str]) -> None:
        self.agents = list(agents)

    def post(self, _path: str, _body: dict[str, str]) -> dict[str, object]:
        """Keep the link."""
        return {"id": "1", "relay": "relay.example"}

    def get(self, _path: str) -> dict[str, object]:
        """Where it leads."""
        return {"peer": "@bob/helper", "agents": self.agents}


@pytest.mark.parametrize(
    ("agents", "said", "code"),
    [
        (
            [{"name": "requester", "state": "accepted"}],
            "Your agents are all connected with @bob/helper already. See: taskferry connections",
            Exit.REFUSED,
        ),
        (
            [],
            "You have no agent yet that could connect. Make one: taskferry agent create NAME",
            Exit.FAILED,
        ),
    ],
    ids=["connected already", "no agent"],
)
def test_a_link_that_no_agent_is_left_for_says_why(
    monkeypatch: pytest.MonkeyPatch, agents: list[dict[str, str]], said: str, code: Exit
) -> None:
    """Connected already is no reason to make another agent; without any agent, that is the next step."""

    @contextmanager
    def client() -> Iterator[Daemon]:
        yield Daemon(*agents)

    module = import_module("taskferry_apps.cli.open_link")
    monkeypatch.setattr(module, "local_client", client)
    ran = CliRunner().invoke(module.open_link, ["-", "--no-browser"], input=LINK)
    assert isinstance(ran.exception, CommandFailed)
    assert (str(ran.exception), ran.exception.code) == (said, code)


@pytest.mark.parametrize(
    ("problem", "code"),
    [("bad-link", Exit.USAGE), ("setup-link", Exit.USAGE), ("wrong-relay", Exit.REFUSED)],
)
def test_a_link_that_is_wrong_is_told_from_one_that_is_not_for_this_machine(
    monkeypatch: pytest.MonkeyPatch, problem: str, code: Exit
) -> None:
    """A value of the command line is wrong, or this daemon refuses; the sentence is the daemon's."""

    class Doubtful(Daemon):
        def post(self, _path: str, _body: dict[str, str]) -> dict[str, object]:
            told = {"code": problem, "message": "No.", "next": "Do this."}
            return {"id": "1", "relay": "relay.example", "problem": told}

    @contextmanager
    def client() -> Iterator[Daemon]:
        yield Doubtful()

    module = import_module("taskferry_apps.cli.open_link")
    monkeypatch.setattr(module, "local_client", client)
    ran = CliRunner().invoke(module.open_link, ["-", "--no-browser"], input=LINK)
    assert isinstance(ran.exception, CommandFailed)
    assert (str(ran.exception), ran.exception.code) == ("No. Do this.", code)
