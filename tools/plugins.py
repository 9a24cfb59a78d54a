"""`python -m tools.plugins` writes the plugins in `integrations/`; with `--check` it fails if one is stale.

They are what `taskferry integrate` installs, with the bare command and the owner's only agent.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

from taskferry_apps.integrations.trees import (
    Acting,
    agent_plugin,
    claude_code_marketplace,
    claude_code_plugin,
    codex_marketplace,
    codex_plugin,
    hermes_plugin,
    openclaw_plugin,
)
from tools.generated import run

ROOT = Path(__file__).resolve().parents[1]
PLUGINS = ROOT / "integrations"
#: Written by hand; everything else below the folder is generated.
BY_HAND = {"README.md", "package.json", "package-lock.json"}


def wanted() -> dict[Path, str]:
    """The text of each file."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    acting = Acting(str(version))
    trees = {
        "claude-code": claude_code_plugin(acting),
        "codex": codex_plugin(acting),
        "agent-plugin": agent_plugin(acting),
        "openclaw": openclaw_plugin(acting),
        "hermes": hermes_plugin(acting),
    }
    found = {PLUGINS / folder / path: text for folder, tree in trees.items() for path, text in tree.items()}
    found[PLUGINS / ".claude-plugin" / "marketplace.json"] = claude_code_marketplace("./claude-code")
    found[PLUGINS / ".agents" / "plugins" / "marketplace.json"] = codex_marketplace("./codex")
    return found


def stray() -> list[Path]:
    """Files that nothing writes any more."""
    there = {
        path
        for path in PLUGINS.rglob("*")
        if path.is_file() and not {"node_modules", "__pycache__"} & set(path.parts)
    }
    return sorted(
        path for path in there - set(wanted()) if path.parent != PLUGINS or path.name not in BY_HAND
    )


if __name__ == "__main__":
    sys.exit(run("tools.plugins", wanted(), stray()))
