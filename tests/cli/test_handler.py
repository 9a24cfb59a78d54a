"""`taskferry handler`: what each system is told, and on Linux that its own programs take it."""

from __future__ import annotations

import os
import plistlib
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from taskferry_apps.url_handler import HandlerFailed, handler_for
from taskferry_apps.url_handler.applet import applet_script, with_links
from taskferry_apps.url_handler.desktop_entry import FILE_NAME, MIME_TYPE, desktop_entry, without_default
from taskferry_apps.url_handler.registry import command_line, registry_values

COMMAND = ["/opt/task ferry/taskferry", "open", "--browser"]
ODD = ['/opt/a b/c"d/e\\f/g`h/i$j/50%u', "open"]
LINK = "taskferry://relay.example/invite/x#account=a&secret=s"
TOOLS = Path(__file__).parents[2] / "tools"


# --- What is told


def exec_line(command):
    """The `Exec` value of an entry, as the file has it."""
    lines = desktop_entry(command).splitlines()
    return next(line.removeprefix("Exec=") for line in lines if line.startswith("Exec="))


def test_desktop_entry_opens_these_links_and_shows_no_window():
    """One link, behind --, to a program that no menu shows."""
    assert desktop_entry(["/usr/bin/taskferry", "open", "--browser"]).splitlines() == [
        "[Desktop Entry]",
        "Type=Application",
        "Version=1.0",
        "Name=TaskFerry links",
        "Comment=Shows whom an invite leads to, and asks before anything is sent",
        "Exec=/usr/bin/taskferry open --browser -- %u",
        "NoDisplay=true",
        "Terminal=false",
        "MimeType=x-scheme-handler/taskferry;",
    ]


@pytest.mark.parametrize("command", [COMMAND, ODD, ["", "x"]])
def test_desktop_entry_keeps_odd_paths_whole(command):
    """Unescaped as the specification says, the arguments are those that were given."""
    value = exec_line(command).replace("\\\\", "\\")
    # What is left is quoted as in a shell, but for $ and `, which a shell escapes alike.
    words = [word.replace("%%", "%") for word in shlex.split(value)]
    expected = [word.replace("\\`", "`").replace("\\$", "$") for word in words]
    assert expected == [*command, "--", "%u"]


@pytest.mark.parametrize("tell", [desktop_entry, applet_script, command_line])
def test_no_system_is_told_of_a_command_with_a_line_break(tell):
    """It could end the value, and begin another."""
    with pytest.raises(ValueError, match="control character"):
        tell(["/opt/x\nExec=evil", "open"])


def test_taking_the_default_back_leaves_others_alone():
    """Only our name goes, from our kind of link."""
    before = (
        "[Default Applications]\n"
        f"{MIME_TYPE}={FILE_NAME}\n"
        "text/html=firefox.desktop\n"
        "[Added Associations]\n"
        f"{MIME_TYPE}={FILE_NAME};other.desktop;\n"
    )
    assert without_default(before) == (
        "[Default Applications]\ntext/html=firefox.desktop\n[Added Associations]\n"
        f"{MIME_TYPE}=other.desktop;\n"
    )
    assert without_default("") == ""


def test_applet_hands_the_link_to_standard_input():
    """The link reaches the program as input, and every word of the command is quoted for the shell."""
    script = applet_script(['/Applications/Task "Ferry"/taskferry', "open"])
    assert "on open location theLink" in script
    assert '"printf %s " & quoted form of theLink & " | "' in script
    assert 'quoted form of "/Applications/Task \\"Ferry\\"/taskferry"' in script
    assert script.count("quoted form of") == 4
    assert 'quoted form of "-"' in script


def test_applet_is_registered_for_the_scheme():
    """Its own keys survive."""
    info = with_links({"CFBundleExecutable": "applet"})
    assert plistlib.loads(plistlib.dumps(info)) == info
    assert info["CFBundleExecutable"] == "applet"
    assert info["CFBundleURLTypes"] == [
        {"CFBundleURLName": "TaskFerry link", "CFBundleURLSchemes": ["taskferry"]}
    ]


def test_registry_gets_three_values():
    """Below the user's own classes alone."""
    values = registry_values(["C:\\Program Files\\TaskFerry\\taskferry.exe", "open", "--browser"])
    assert values == (
        ("Software\\Classes\\taskferry", "", "URL:TaskFerry link"),
        ("Software\\Classes\\taskferry", "URL Protocol", ""),
        (
            "Software\\Classes\\taskferry\\shell\\open\\command",
            "",
            '"C:\\Program Files\\TaskFerry\\taskferry.exe" "open" "--browser" -- "%1"',
        ),
    )


def test_registry_command_cannot_be_broken_out_of():
    """A closing backslash is doubled, and a quote is refused."""
    assert command_line(["C:\\x\\"]) == '"C:\\x\\\\" -- "%1"'
    with pytest.raises(ValueError, match="quote"):
        command_line(['C:\\"evil'])


def test_unknown_system_is_told_how_to_do_without():
    """A sentence with the other way."""
    with pytest.raises(HandlerFailed, match="taskferry open -"):
        handler_for("plan9")


# --- On Linux, for real


@pytest.fixture
def desktop(tmp_path, monkeypatch):
    """A user's empty folders, and the desktop's own programs."""
    missing = [name for name in ("xdg-mime", "update-desktop-database") if shutil.which(name) is None]
    if missing:
        done = subprocess.run(
            [TOOLS / "debian-packages", "xdg-utils", "desktop-file-utils"],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode and os.environ.get("CI"):
            pytest.fail(done.stderr)
        if done.returncode:
            pytest.skip(f"{' and '.join(missing)} cannot be had: {done.stderr.strip()}")
    for name, folder in (("HOME", "home"), ("XDG_DATA_HOME", "data"), ("XDG_CONFIG_HOME", "config")):
        (tmp_path / folder).mkdir()
        monkeypatch.setenv(name, str(tmp_path / folder))
    for name in ("XDG_CURRENT_DESKTOP", "DESKTOP_SESSION", "KDE_FULL_SESSION", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.mark.skipif(sys.platform != "linux", reason="another system's programs")
def test_desktop_learns_who_opens_links_and_forgets_it(desktop):
    """Registered, asked for by the desktop's own program, and undone without a trace."""
    handler = handler_for()
    assert handler.installed() == ""
    place = handler.install(["/usr/bin/true", "open", "--browser"])
    assert handler.installed() == place
    asked = subprocess.run(
        ["xdg-mime", "query", "default", MIME_TYPE], capture_output=True, text=True, check=True
    )
    assert asked.stdout.strip() == FILE_NAME
    handler.install(["/usr/bin/true", "open"])
    assert handler.remove() is True
    assert handler.remove() is False
    assert handler.installed() == ""
    assert FILE_NAME not in (desktop / "config" / "mimeapps.list").read_text()
    if shutil.which("desktop-file-validate"):
        entry = desktop / FILE_NAME
        entry.write_text(desktop_entry(COMMAND))
        subprocess.run(["desktop-file-validate", str(entry)], check=True)


@pytest.mark.skipif(sys.platform != "linux", reason="another system's programs")
def test_clicked_link_reaches_the_program_as_one_argument(desktop, monkeypatch):
    """`xdg-open`, as a browser calls it, starts what was registered; shell signs in the link stay text."""
    program = desktop / "program"
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {desktop}/got\n')
    program.chmod(0o755)
    monkeypatch.setenv("DISPLAY", ":99")
    handler_for().install([str(program), "open", "--browser"])
    link = f"{LINK}&x=$(touch {desktop}/evil)"
    subprocess.run(["xdg-open", link], check=True, capture_output=True, timeout=30)
    assert (desktop / "got").read_text().splitlines() == ["open", "--browser", "--", link]
    assert not (desktop / "evil").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="another system's programs")
def test_command_registers_itself(desktop):
    """Where it stands, and for the data directory that was named."""
    environment = {**os.environ, "TASKFERRY_DATA": str(desktop / "my data")}

    def run(*words):
        return subprocess.run(
            [sys.executable, "-m", "taskferry_apps.cli", "handler", *words],
            capture_output=True,
            text=True,
            check=True,
            env=environment,
        ).stdout

    assert "Not registered" in run("status")
    assert "from now on" in run("install")
    entry = (desktop / "data" / "applications" / FILE_NAME).read_text()
    assert f'open --browser --data "{desktop}/my data" -- %u' in entry
    assert "Registered" in run("status")
    assert "no longer" in run("remove")
