"""Other programs' configuration with our entry in it, between two marks: pure, text in and text out.

What cannot be read for certain is refused, and left as it is.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Sequence
from typing import Final

from .trees import NAME

__all__ = ["CannotEdit", "with_toml_server", "with_yaml_server", "without_block"]

_BEGIN: Final = "# >>> taskferry integrate >>>"
_END: Final = "# <<< taskferry integrate <<<"
_BLOCK: Final = re.compile(
    rf"^[ ]*{re.escape(_BEGIN)}\r?\n.*?^[ ]*{re.escape(_END)}(?:\r?\n|\Z)", re.MULTILINE | re.DOTALL
)
_CONTROLS: Final = re.compile("[\x00-\x1f\x7f-\x9f]")


class CannotEdit(Exception):
    """The file cannot be changed without the risk of breaking it; the text says why, without its content."""


def _block(lines: Sequence[str], indent: str, ending: str) -> str:
    return "".join(f"{indent}{line}{ending}" for line in (_BEGIN, *lines, _END))


def _ending(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _quoted(word: str) -> str:
    """A string as JSON, TOML and YAML all read it. Raises CannotEdit for control characters."""
    if _CONTROLS.search(word):
        raise CannotEdit("The command holds a control character.")
    return json.dumps(word, ensure_ascii=False)


def without_block(text: str) -> str:
    """The text without our block. Raises CannotEdit where it is not there, or has lost one of its marks."""
    rest, count = _BLOCK.subn("", text)
    if not count:
        raise CannotEdit("Our entry is not there any more, or has lost the marks around it.")
    if _BEGIN in rest or _END in rest:
        raise CannotEdit("A mark of ours is there without the other.")
    return rest


def _without_ours(text: str) -> str:
    return without_block(text) if _BEGIN in text or _END in text else text


def with_toml_server(text: str, command: Sequence[str]) -> str:
    """A `config.toml` of Codex with our MCP server at its end. Raises CannotEdit."""
    rest = _without_ours(text)
    before = _toml(rest, "It is not valid TOML")
    servers = before.get("mcp_servers", {})
    if not isinstance(servers, dict) or NAME in servers:
        raise CannotEdit(f"It has an entry `mcp_servers.{NAME}` that is not ours.")
    ending = _ending(rest)
    block = _block(
        [
            f"[mcp_servers.{NAME}]",
            f"command = {_quoted(command[0])}",
            f"args = [{', '.join(_quoted(word) for word in command[1:])}]",
        ],
        "",
        ending,
    )
    new = rest + ("" if not rest or rest.endswith("\n") else ending) + block
    after = _toml(new, "Our entry cannot be added to it")
    wanted = {**before, "mcp_servers": {**servers, NAME: {"command": command[0], "args": list(command[1:])}}}
    if after != wanted:
        raise CannotEdit("Our entry would change another one.")
    return new


def _toml(text: str, problem: str) -> dict[str, object]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise CannotEdit(f"{problem}.") from None


_SERVERS: Final = re.compile(r"^mcp_servers[ ]*:(.*)$", re.MULTILINE)
#: A line that begins at the margin and can be told from the others without reading all of YAML.
_TOP: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*[ ]*:([ ].*)?|#.*|- .*|-")


def with_yaml_server(text: str, command: Sequence[str]) -> str:
    """A `config.yaml` of Hermes with our MCP server first among them. Raises CannotEdit.

    Only a plain mapping is taken, with `mcp_servers` absent or in lines of its own.
    """
    rest = _without_ours(text)
    lines = rest.replace("\r\n", "\n").split("\n")
    if any(line and not line[0].isspace() and not _TOP.fullmatch(line) for line in lines):
        raise CannotEdit("It is no plain YAML mapping.")
    if any("\t" in line[: len(line) - len(line.lstrip())] for line in lines):
        raise CannotEdit("It is indented with tabs.")
    found = list(_SERVERS.finditer(rest))
    if len(found) > 1:
        raise CannotEdit("It has `mcp_servers` twice.")
    ending = _ending(rest)
    server = [
        f"{NAME}:",
        f"  command: {_quoted(command[0])}",
        f"  args: [{', '.join(_quoted(word) for word in command[1:])}]",
    ]
    if not found:
        block = _block(["mcp_servers:", *(f"  {line}" for line in server)], "", ending)
        return rest + ("" if not rest or rest.endswith("\n") else ending) + block
    value = found[0][1].strip()
    if value and not value.startswith("#"):
        raise CannotEdit("Its `mcp_servers` is not written in lines of its own.")
    at = rest.find("\n", found[0].start()) + 1
    if not at:
        return rest + ending + _block(server, "  ", ending)
    return rest[:at] + _block(server, _child_indent(rest[at:]), ending) + rest[at:]


def _child_indent(below: str) -> str:
    """How far the servers that are there are indented. Raises CannotEdit if ours is among them."""
    indent = ""
    for line in below.splitlines():
        words = line.strip()
        if not words or words.startswith("#"):
            continue
        width = len(line) - len(line.lstrip(" "))
        if not width or (indent and width < len(indent)):
            break
        indent = indent or " " * width
        if width == len(indent) and words.split(":")[0].strip("\"' ") == NAME:
            raise CannotEdit(f"It has an entry `mcp_servers.{NAME}` that is not ours.")
    return indent or "  "
