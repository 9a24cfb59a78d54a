"""What a browser is given that a command opens."""

from __future__ import annotations

import os
import webbrowser

import click
import pytest

from taskferry_apps.cli.way_in import show_page
from taskferry_apps.local_client import LocalClient


class Daemon(LocalClient):
    """One that lets a browser in."""

    def __init__(self) -> None:
        """It has no connection."""

    @property
    def url(self) -> str:
        """Where it is."""
        return "http://127.0.0.1:9"

    def post(self, path: str, body: object = None, **_: object) -> dict[str, object]:
        """A way in, once."""
        return {"path": "/in/once", "expires_at": "soon"}


@pytest.mark.parametrize("starts", [True, False])
def test_a_browser_inherits_none_of_our_settings(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], starts: bool
) -> None:
    """A credential may be among them, and a browser runs on for days; the command itself keeps them."""
    given: list[dict[str, str]] = []

    def opened(url: str) -> bool:
        given.append({"opened": url, **os.environ})
        return starts

    monkeypatch.setattr(webbrowser, "open", opened)
    monkeypatch.setenv("TASKFERRY_LOCAL_API_TOKEN", "tfo_secret")
    with click.Context(click.Command("open")):
        show_page(Daemon(), "/tasks", opened="It is there.")
    (inherited,) = given
    assert inherited["opened"] == "http://127.0.0.1:9/in/once"
    assert not [name for name in inherited if name.startswith("TASKFERRY")]
    assert inherited["PATH"] == os.environ["PATH"]
    assert os.environ["TASKFERRY_LOCAL_API_TOKEN"] == "tfo_secret"
    assert ("It is there." in capsys.readouterr().out) is starts
