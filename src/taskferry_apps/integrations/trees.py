"""The files of each plugin, by their path below its folder; the same skill text is in all of them."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from importlib.resources import files
from typing import Final

import attrs

__all__ = [
    "NAME",
    "Acting",
    "Files",
    "agent_plugin",
    "claude_code_marketplace",
    "claude_code_plugin",
    "codex_marketplace",
    "codex_plugin",
    "hermes_plugin",
    "openclaw_plugin",
    "skill",
]

#: Text by path below the plugin's folder, with `/` between the parts.
Files = Mapping[str, str]

NAME: Final = "taskferry"
_DESCRIPTION: Final = "Receive and hand over tasks between AI agents, sealed end to end."
_AUTHOR: Final = "TaskFerry"
_SKILL: Final = f"skills/{NAME}/SKILL.md"
_SCHEMAS: Final = "https://agent-plugins.org/schemas/1.0.0"


@attrs.frozen
class Acting:
    """Who acts, and by which command.

    `program` starts the command line of TaskFerry; `agent` is empty where the owner's only agent is meant,
    `data` where the usual data directory is.
    """

    version: str
    program: tuple[str, ...] = ("taskferry",)
    agent: str = ""
    data: str = ""

    def command(self, verb: str, *words: str) -> tuple[str, ...]:
        """The arguments that run one command for the agent."""
        agent = ("--agent", self.agent) if self.agent else ()
        data = ("--data", self.data) if self.data else ()
        return (*self.program, verb, *words, *agent, *data)


def skill() -> str:
    """The text that teaches an agent how tasks are worked on."""
    return (files(__package__) / "skill.md").read_text("utf-8")


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _server(acting: Acting) -> dict[str, object]:
    command = acting.command("mcp")
    return {"command": command[0], "args": list(command[1:])}


# --- Claude Code --------------------------------------------------------------------------------------------


def claude_code_plugin(acting: Acting) -> Files:
    """A plugin of Claude Code: tools, skill, a monitor, and at a session's start what waits."""
    return {
        ".claude-plugin/plugin.json": _json(_claude_manifest(acting)),
        ".mcp.json": _json({"mcpServers": {NAME: _server(acting)}}),
        _SKILL: skill(),
        "monitors/monitors.json": _json(
            [
                {
                    "name": "taskferry-inbox",
                    "command": shlex.join(acting.command("watch", "--as-agent")),
                    "description": "New tasks and messages of other agents",
                    "when": "always",
                }
            ]
        ),
        "hooks/hooks.json": _json(
            {
                "hooks": {
                    "SessionStart": [
                        {
                            "matcher": "startup|resume|clear",
                            "hooks": [
                                {
                                    "type": "command",
                                    "command": shlex.join(acting.command("watch", "--once", "--as-agent")),
                                    "timeout": 10,
                                }
                            ],
                        }
                    ]
                }
            }
        ),
    }


def _claude_manifest(acting: Acting) -> dict[str, object]:
    return {
        "name": NAME,
        "version": acting.version,
        "description": _DESCRIPTION,
        "author": {"name": _AUTHOR},
        "license": "Apache-2.0",
        "keywords": ["tasks", "agents", "mcp"],
    }


def claude_code_marketplace(source: str) -> str:
    """The catalogue that names the plugin in the folder `source`."""
    return _json(
        {
            "name": NAME,
            "owner": {"name": _AUTHOR},
            "description": "TaskFerry for Claude Code",
            "plugins": [{"name": NAME, "source": source, "description": _DESCRIPTION}],
        }
    )


# --- Codex --------------------------------------------------------------------------------------------------


def codex_plugin(acting: Acting) -> Files:
    """A plugin of Codex: tools and skill."""
    return {
        ".codex-plugin/plugin.json": _json(
            {
                **_claude_manifest(acting),
                "skills": "./skills/",
                "mcpServers": "./.mcp.json",
                "interface": {
                    "displayName": "TaskFerry",
                    "shortDescription": _DESCRIPTION,
                    "developerName": _AUTHOR,
                    "category": "Productivity",
                },
            }
        ),
        ".mcp.json": _json({"mcpServers": {NAME: _server(acting)}}),
        _SKILL: skill(),
    }


def codex_marketplace(source: str) -> str:
    """The catalogue that names the plugin in the folder `source`."""
    return _json(
        {
            "name": NAME,
            "interface": {"displayName": "TaskFerry"},
            "plugins": [
                {
                    "name": NAME,
                    "source": {"source": "local", "path": source},
                    "policy": {"installation": "AVAILABLE", "authentication": "ON_INSTALL"},
                    "category": "Productivity",
                }
            ],
        }
    )


# --- Agent Plugins ------------------------------------------------------------------------------------------


def agent_plugin(acting: Acting) -> Files:
    """A plugin in the format of agent-plugins.org, version 1.0.0, for whatever host reads that.

    Its command must be a bare name there, looked for in the host's PATH.
    """
    command = acting.command("mcp")
    return {
        "plugin.json": _json({"$schema": f"{_SCHEMAS}/plugin.schema.json", **_claude_manifest(acting)}),
        "mcp.json": _json(
            {
                "$schema": f"{_SCHEMAS}/mcp.schema.json",
                "mcpServers": {NAME: {"type": "stdio", "command": NAME, "args": list(command[1:])}},
            }
        ),
        _SKILL: skill(),
    }


# --- OpenClaw -----------------------------------------------------------------------------------------------


def openclaw_plugin(acting: Acting) -> Files:
    """A native plugin of OpenClaw: server and skill by its manifest, and an entry without a tool of its own.

    Its own check takes no entry but a tool plugin's, and the manifest as it would build it from that.
    """
    return {
        "openclaw.plugin.json": _json(
            {
                "id": NAME,
                "name": "TaskFerry",
                "description": _DESCRIPTION,
                "version": acting.version,
                "categories": ["other"],
                "skills": ["./skills"],
                "mcpServers": {NAME: {"transport": "stdio", **_server(acting)}},
                "activation": {"onStartup": False},
                "configSchema": {"type": "object", "additionalProperties": False, "properties": {}},
                "contracts": {"tools": []},
            }
        ),
        "package.json": _json(
            {
                "name": NAME,
                "version": acting.version,
                "private": True,
                "description": _DESCRIPTION,
                "license": "Apache-2.0",
                "type": "module",
                "openclaw": {"extensions": ["./index.js"]},
            }
        ),
        "index.js": (
            'import { defineToolPlugin } from "openclaw/plugin-sdk/tool-plugin";\n\n'
            "// The tools are those of the MCP server that openclaw.plugin.json names, beside the skill.\n"
            "export default defineToolPlugin({\n"
            f"  id: {json.dumps(NAME)},\n"
            '  name: "TaskFerry",\n'
            f"  description: {json.dumps(_DESCRIPTION)},\n"
            "  activation: { onStartup: false },\n"
            "  tools: () => [],\n"
            "});\n"
        ),
        _SKILL: skill(),
    }


# --- Hermes -------------------------------------------------------------------------------------------------


def hermes_plugin(acting: Acting) -> Files:
    """A plugin of Hermes: the skill, and a thread that follows what is new and says so in the conversation.

    Its tools come from an entry in Hermes' own configuration.
    """
    watch = acting.command("watch", "--as-agent", "--format", "json")
    code = (files(__package__) / "hermes_plugin.txt").read_text("utf-8")
    return {
        "plugin.yaml": (
            f"name: {NAME}\nversion: {json.dumps(acting.version)}\ndescription: {json.dumps(_DESCRIPTION)}\n"
            f"author: {_AUTHOR}\nprovides_hooks:\n  - on_session_start\n"
        ),
        "__init__.py": code.replace("@WATCH@", json.dumps(list(watch), ensure_ascii=False)),
        _SKILL: skill(),
    }
