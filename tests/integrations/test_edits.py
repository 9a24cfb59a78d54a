"""Other programs' configuration: our entry goes in and out, and everything else stays as it was."""

from __future__ import annotations

import tomllib

import pytest
import yaml  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from taskferry_apps.integrations.edits import CannotEdit, with_toml_server, with_yaml_server, without_block

COMMAND = ("/opt/task ferry/bin/taskferry", "mcp", "--agent", "writer", "--data", '/home/b"ö\\b/data')

TOMLS = [
    "",
    "# only a comment",
    'model = "x"\n\n[mcp_servers.other]\ncommand = "other" # theirs\n',
    'model = "x"\r\n[tools]\r\nweb = true\r\n',
    "[mcp_servers]\n",
    '[projects."/a b"]\ntrust_level = "trusted"',
]
YAMLS = [
    "",
    "# only a comment\nmodel: x\n",
    "mcp_servers:\n  other:\n    command: other  # theirs\nmodel: x\n",
    "model: x\nmcp_servers: # mine\n      other: {command: a}\n      # more\nz: |\n  mcp_servers:\n   text\n",
    "mcp_servers:\n\nmodel: x",
    "plugins:\n  enabled:\n  - taskferry\nlist:\n- a\n- b",
    "model: x\r\nmcp_servers:\r\n  other:\r\n    command: other\r\n",
]


@pytest.mark.parametrize("text", TOMLS)
def test_toml_keeps_everything_and_gains_the_server(text):
    """Read by TOML's own reader, only our server is new; taken out again, the text is the old one."""
    new = with_toml_server(text, COMMAND)
    before, after = tomllib.loads(text), tomllib.loads(new)
    assert after["mcp_servers"].pop("taskferry") == {"command": COMMAND[0], "args": list(COMMAND[1:])}
    assert after == {**before, "mcp_servers": before.get("mcp_servers", {})}
    assert without_block(new) in {text, text + "\n"}
    assert with_toml_server(new, COMMAND) == new or text == ""


@pytest.mark.parametrize("text", YAMLS)
def test_yaml_keeps_everything_and_gains_the_server(text):
    """Read by a YAML reader, only our server is new; taken out again, the text is the old one."""
    new = with_yaml_server(text, COMMAND)
    before, after = yaml.safe_load(text) or {}, yaml.safe_load(new)
    assert after["mcp_servers"].pop("taskferry") == {"command": COMMAND[0], "args": list(COMMAND[1:])}
    assert (after.pop("mcp_servers") or {}) == (before.pop("mcp_servers", None) or {})
    assert after == before
    assert without_block(new) in {text, text + "\n"}


@pytest.mark.parametrize(
    "text",
    [
        "model = \n",
        'mcp_servers = {other = {command = "x"}}\n',
        '[mcp_servers.taskferry]\ncommand = "theirs"\n',
        "mcp_servers = 3\n",
        "# >>> taskferry integrate >>>\nmodel = 1\n",
    ],
)
def test_toml_that_cannot_be_changed_safely_is_refused(text):
    """Broken, written in one line, with an entry of that name, or with half of our marks."""
    with pytest.raises(CannotEdit):
        with_toml_server(text, COMMAND)


@pytest.mark.parametrize(
    "text",
    [
        "{a: 1}\n",
        "- a\nb: {\n}\n",
        "mcp_servers: {}\n",
        "mcp_servers: {other: {command: x}}\n",
        "mcp_servers:\n  taskferry:\n    command: theirs\n",
        "mcp_servers:\n  other:\n    command: x\n  'taskferry':\n    command: theirs\n",
        "mcp_servers:\n\tother: x\n",
        "a: 1\n---\nb: 2\n",
        '"mcp_servers":\n  a: {}\n',
        "mcp_servers:\n  a: {}\nmcp_servers:\n  b: {}\n",
    ],
)
def test_yaml_that_cannot_be_changed_safely_is_refused(text):
    """What only a full reader of YAML would understand is left to its owner."""
    with pytest.raises(CannotEdit):
        with_yaml_server(text, COMMAND)


@pytest.mark.parametrize("edit", [with_toml_server, with_yaml_server])
def test_a_command_cannot_leave_its_quotes(edit):
    """A line break in a path is refused before it is written anywhere."""
    with pytest.raises(CannotEdit):
        edit("", ("/opt/a\n[evil]", "mcp"))


@given(st.text(max_size=200))
def test_any_toml_is_extended_or_refused(text):
    """Whatever stands in the file: a valid file with everything of before, or a refusal."""
    try:
        new = with_toml_server(text, COMMAND)
    except CannotEdit:
        return
    assert "taskferry" in tomllib.loads(new)["mcp_servers"]
