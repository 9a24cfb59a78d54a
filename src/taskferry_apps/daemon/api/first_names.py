"""The names by which the first published programs read an answer, beside ours. See docs/compatibility.md.

They stand here and nowhere else. None differs from one of ours by case alone: readers that look at no case
(Go, PowerShell) take two such names for one.
"""

from __future__ import annotations

from ..views import AgentView, MessageView, Status

__all__ = ["agent_names", "message_names", "status_names"]


def status_names(status: Status) -> dict[str, object]:
    """Of `GET /health`, with a credential."""
    return {
        "client_id": status.owner,
        "device_id": "" if status.device is None else status.device.hex(),
        "relay_connected": status.relay is not None and status.relay.connected,
    }


def agent_names(agent: AgentView) -> dict[str, object]:
    """Of an agent. Its id is what the inbox takes as `agent_id`."""
    return {"agent_id": agent.handle, "public_profile": agent.public}


def message_names(message: MessageView, version: int | None) -> dict[str, object]:
    """Of an item in the inbox, where it is asked for by `agent_id`; what they call Type is our `type`.

    `version` is the number of the version that an artifact is, None for all else. The content is not told
    twice: of it, the programs read that number alone.
    """
    return {
        "MessageID": message.id.hex(),
        "TaskID": "" if message.task is None else message.task.hex(),
        "Sender": message.peer,
        "Plaintext": {} if version is None else {"version": version},
    }
