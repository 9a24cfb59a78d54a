"""What each kind of wake sends: pure. The agent's name and a count, and nothing that somebody else wrote."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Final

import attrs

from taskferry_protocol.ids import Instant

__all__ = ["CommandCall", "HookRecord", "HttpCall", "call_for", "new_secret"]

_SIGNS: Final = "whsec_"
_MACOS: Final = (
    "on run argv",
    'display notification (item 1 of argv) with title "TaskFerry"',
    "end run",
)


@attrs.frozen
class HookRecord:
    """A wake as it is kept."""

    id: str
    agent: str
    kind: str
    url: str
    command: tuple[str, ...]
    thread: str
    secret: str
    allow_private: bool
    created_at: int
    newest: int = 0
    hints: int = 0
    hinted_at: int | None = None
    failure: str = ""

    @property
    def target(self) -> str:
        """Where it goes, for people."""
        match self.kind:
            case "webhook" | "openclaw":
                return self.url
            case "codex":
                return f"thread {self.thread}"
            case "command":
                return self.command[0]
            case _:
                return "this desktop"


@attrs.frozen
class HttpCall:
    """A POST of JSON."""

    url: str
    headers: Mapping[str, str]
    body: bytes
    allow_private: bool


@attrs.frozen
class CommandCall:
    """A program, called without a shell, with these variables besides its usual ones."""

    command: tuple[str, ...]
    variables: Mapping[str, str]


def new_secret(random: bytes) -> str:
    """A secret of Standard Webhooks."""
    return _SIGNS + base64.b64encode(random).decode()


def call_for(
    hook: HookRecord, count: int, message: str, now: Instant, platform: str
) -> HttpCall | CommandCall:
    """What to do for one hint; `message` is its own id."""
    words = f"TaskFerry: {count} new for {hook.agent}. Look into the inbox."
    variables = {"TASKFERRY_WAKE_AGENT": hook.agent, "TASKFERRY_WAKE_COUNT": str(count)}
    match hook.kind:
        case "webhook":
            body = json.dumps(
                {"type": "taskferry.wake", "data": {"agent": hook.agent, "count": count}},
                separators=(",", ":"),
            ).encode()
            return HttpCall(hook.url, _signed(hook.secret, message, now, body), body, hook.allow_private)
        case "openclaw":
            body = json.dumps({"text": words, "mode": "now"}).encode()
            headers = {"authorization": f"Bearer {hook.secret}", "content-type": "application/json"}
            return HttpCall(f"{hook.url.rstrip('/')}/hooks/wake", headers, body, hook.allow_private)
        case "codex":
            queue = ("queue", "--thread", hook.thread, "--message", words, "--resume")
            return CommandCall((*hook.command, *queue), {})
        case "desktop" if platform == "darwin":
            script = tuple(word for line in _MACOS for word in ("-e", line))
            return CommandCall((*hook.command, *script, words), {})
        case "desktop":
            return CommandCall((*hook.command, "--app-name=TaskFerry", "TaskFerry", words), {})
        case _:
            return CommandCall(hook.command, variables)


def _signed(secret: str, message: str, now: Instant, body: bytes) -> dict[str, str]:
    """The headers of Standard Webhooks (standardwebhooks.com), version 1."""
    seconds = str(now // 1000)
    try:
        key = base64.b64decode(secret.removeprefix(_SIGNS), validate=True)
    except binascii.Error:
        key = secret.encode()
    signed = f"{message}.{seconds}.".encode() + body
    signature = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return {
        "content-type": "application/json",
        "webhook-id": message,
        "webhook-timestamp": seconds,
        "webhook-signature": f"v1,{signature}",
    }
