"""What brings TaskFerry into each program that agents run in: by its own installer, if that is here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final

import attrs

from .edits import with_toml_server, with_yaml_server
from .steps import EditFile, KeepFile, RunProgram, Step, WriteFolder
from .trees import (
    NAME,
    Acting,
    claude_code_marketplace,
    claude_code_plugin,
    codex_marketplace,
    codex_plugin,
    hermes_plugin,
    openclaw_plugin,
    skill,
)

__all__ = ["RUNTIMES", "Surroundings", "steps_for"]


@attrs.frozen
class Surroundings:
    """What there is on this machine: `own` is a folder of ours, `find` the path of a program or None."""

    home: Path
    own: Path
    environment: Mapping[str, str]
    find: Callable[[str], str | None]

    def folder(self, variable: str, name: str) -> Path:
        """Where a program keeps its settings: what its variable says, or a folder of its name at home."""
        named = self.environment.get(variable)
        return Path(named).expanduser() if named else self.home / name


def _below(folder: str, files: Mapping[str, str]) -> dict[str, str]:
    return {f"{folder}/{path}": text for path, text in files.items()}


def _claude_code(acting: Acting, here: Surroundings) -> list[Step]:
    plugin = claude_code_plugin(acting)
    claude = here.find("claude")
    if claude is None:
        # A plugin in this folder is loaded by itself when Claude Code starts.
        return [WriteFolder(here.folder("CLAUDE_CONFIG_DIR", ".claude") / "skills" / NAME, plugin)]
    root = here.own / "claude-code"
    catalogue = {".claude-plugin/marketplace.json": claude_code_marketplace(f"./{NAME}")}
    return [
        WriteFolder(root, {**catalogue, **_below(NAME, plugin)}),
        KeepFile(here.folder("CLAUDE_CONFIG_DIR", ".claude") / "settings.json"),
        RunProgram(
            (claude, "plugin", "marketplace", "add", str(root)),
            (claude, "plugin", "marketplace", "remove", NAME),
        ),
        RunProgram(
            (claude, "plugin", "install", f"{NAME}@{NAME}"), (claude, "plugin", "uninstall", f"{NAME}@{NAME}")
        ),
    ]


def _codex(acting: Acting, here: Surroundings) -> list[Step]:
    codex = here.find("codex")
    if codex is None:
        return [
            WriteFolder(here.home / ".agents" / "skills" / NAME, {"SKILL.md": skill()}),
            EditFile(
                here.folder("CODEX_HOME", ".codex") / "config.toml",
                partial(with_toml_server, command=acting.command("mcp")),
            ),
        ]
    root = here.own / "codex"
    catalogue = {".agents/plugins/marketplace.json": codex_marketplace(f"./plugins/{NAME}")}
    return [
        WriteFolder(root, {**catalogue, **_below(f"plugins/{NAME}", codex_plugin(acting))}),
        KeepFile(here.folder("CODEX_HOME", ".codex") / "config.toml"),
        RunProgram(
            (codex, "plugin", "marketplace", "add", str(root)),
            (codex, "plugin", "marketplace", "remove", NAME),
        ),
        RunProgram((codex, "plugin", "add", f"{NAME}@{NAME}"), (codex, "plugin", "remove", f"{NAME}@{NAME}")),
    ]


def _openclaw(acting: Acting, here: Surroundings) -> list[Step]:
    plugin = openclaw_plugin(acting)
    openclaw = here.find("openclaw")
    if openclaw is None:
        return [WriteFolder(here.folder("OPENCLAW_STATE_DIR", ".openclaw") / "extensions" / NAME, plugin)]
    root = here.own / "openclaw"
    return [
        WriteFolder(root, plugin),
        # It asks on a terminal before it takes a plugin from a folder; the owner has just said so.
        RunProgram(
            (openclaw, "plugins", "install", "--force", "--accept-capabilities", str(root)),
            (openclaw, "plugins", "uninstall", NAME, "--force"),
        ),
    ]


def _hermes(acting: Acting, here: Surroundings) -> list[Step]:
    home = here.folder("HERMES_HOME", ".hermes")
    hermes = here.find("hermes")
    steps: list[Step] = [WriteFolder(home / "plugins" / NAME, hermes_plugin(acting))]
    if hermes is not None:
        steps.append(KeepFile(home / "config.yaml"))
        steps.append(
            RunProgram(
                (hermes, "plugins", "enable", NAME, "--no-allow-tool-override"),
                (hermes, "plugins", "disable", NAME),
            )
        )
    # Its own `mcp add` asks on a terminal. This comes last: enabling rewrites the file, our marks with it.
    steps.append(
        EditFile(home / "config.yaml", partial(with_yaml_server, command=acting.command("mcp"))),
    )
    return steps


RUNTIMES: Final[Mapping[str, Callable[[Acting, Surroundings], list[Step]]]] = {
    "claude-code": _claude_code,
    "codex": _codex,
    "openclaw": _openclaw,
    "hermes": _hermes,
}


def steps_for(runtime: str, acting: Acting, here: Surroundings) -> list[Step]:
    """The steps for one of `RUNTIMES`, in order."""
    return RUNTIMES[runtime](acting, here)
