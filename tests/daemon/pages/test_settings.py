"""The page of settings: every value and where it came from, no secret, and the checks."""

from __future__ import annotations

import attrs

from taskferry_apps.daemon.api import create_api
from taskferry_apps.settings import DaemonSettings, load_daemon
from taskferry_apps.shown_settings import MEANINGS, shown_settings

from .browsing import sign_in

PLACE = "/dashboard/settings"
SECRET = "tft_" + "s" * 40


def test_every_setting_has_a_meaning():
    """None is left out, and none is invented."""
    assert set(MEANINGS) == {field.name for field in attrs.fields(DaemonSettings)} - {"sources"}


def test_settings_are_shown_with_their_origin_and_without_secrets(tmp_path):
    """Flag, environment, file and default."""
    file = tmp_path / "taskferry.toml"
    file.write_text('[daemon]\nlog = "warning"\n')
    settings = load_daemon(
        {"addr": "127.0.0.1:5000"}, {"TASKFERRY_RELAY_TOKEN": SECRET, "TASKFERRY_MCP": "no"}, file
    )
    shown = {one.name: one for one in shown_settings(settings)}
    told = {name: (one.value, one.source) for name, one in shown.items()}
    assert told["addr"] == ("127.0.0.1:5000", "flag")
    assert told["mcp"] == ("no", "environment TASKFERRY_MCP")
    assert told["log"] == ("warning", f"file {file}")
    assert told["relay_token"] == ("set, not shown", "environment TASKFERRY_RELAY_TOKEN")
    assert told["relay"] == ("not set", "default")
    assert SECRET not in repr(shown)


async def test_page_shows_them_all(alice):
    """Values, origins, meanings, the relay, versions and places; and no secret."""
    settings = load_daemon(
        {}, {"TASKFERRY_RELAY_TOKEN": SECRET, "TASKFERRY_LOCAL_API_TOKEN": "tfo_" + "o" * 43}
    )
    browser = await sign_in(attrs.evolve(alice.api, app=create_api(alice.api.daemon, settings)))
    text = await browser.page(PLACE)
    for name in MEANINGS:
        assert f"<code>{name}</code>" in text
    for words in (
        'id="relay"',
        "environment TASKFERRY_RELAY_TOKEN",
        "set, not shown",
        "connected",
        "daemon.db",
    ):
        assert words in text
    assert SECRET not in text
    assert "ooooo" not in text


async def test_checks_run_when_asked(alice):
    """With a remedy where something is wrong, and the doctor's words; not again by themselves."""
    text = await alice.page(f"{PLACE}/checks")
    for words in ("@alice, 1 device", "audit log", "account log", ">ok</span>"):
        assert words in text
    assert (await alice.get(f"{PLACE}/checks", HX_Request="true")).status == 204
