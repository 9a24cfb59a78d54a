"""`/dashboard/programs`: what acts as the owner's agents: programs, their credentials, what wakes them."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Sequence
from typing import Final

from quart import Response

from ..port import DaemonRefusal
from ..views import TokenView
from ..wake_port import KINDS, NewWake
from .choices import choice, unknown_button
from .desk import Desk, Pressed
from .owner import OWNER
from .page import Page

__all__ = ["PAGES"]

_PLACE: Final = "/dashboard/programs"
_OPENCLAW: Final = "http://127.0.0.1:18789"
_LABEL_BYTES: Final = 64
#: A page stays readable; the command line lists the rest.
_MOST_SHOWN: Final = 100
_ENDED_SHOWN: Final = 20
_COMMAND_BYTES: Final = 16_384
#: What `taskferry integrate` brings TaskFerry into.
_RUNTIMES: Final = (
    ("claude-code", "Claude Code"),
    ("codex", "Codex"),
    ("openclaw", "OpenClaw"),
    ("hermes", "Hermes"),
)


async def _list(desk: Desk) -> Response:
    visitor = await desk.visit()
    daemon = desk.daemon
    agents = await daemon.agents(OWNER)
    tokens = await daemon.tokens(OWNER)
    wakes = await daemon.wakers.wakes(OWNER)
    runtimes = await daemon.runtimes.runtimes(OWNER, "")
    shown = _shown(tokens)
    return await desk.show(
        "programs.html",
        visitor,
        agents=agents,
        runtimes=runtimes[:_MOST_SHOWN],
        more_runtimes=max(0, len(runtimes) - _MOST_SHOWN),
        in_hand=await daemon.runtimes.in_hand(OWNER),
        tokens=shown,
        more_tokens=len(tokens) - len(shown),
        newest_token=_newest([token.id for token in tokens]),
        wakes=wakes,
        newest_wake=_newest([wake.id for wake in wakes]),
        openclaw=_OPENCLAW,
        integrations=_RUNTIMES,
        named=agents[0].name if len(agents) == 1 else "AGENT",
        data=_data_option(desk),
        mcp=desk.settings.mcp,
    )


def _shown(tokens: Sequence[TokenView]) -> list[TokenView]:
    """Credentials in force, then those that ended last; the newest first."""
    in_force = [token for token in reversed(tokens) if token.revoked_at is None]
    ended = sorted((token for token in tokens if token.revoked_at is not None), key=_ended_at, reverse=True)
    return [*in_force[:_MOST_SHOWN], *ended[:_ENDED_SHOWN]]


def _ended_at(token: TokenView) -> int:
    return token.revoked_at or 0


def _newest(ids: list[str]) -> str:
    """What a form knew of a list: one that is sent twice, or that is old, is told by it."""
    return f"{len(ids)}-{ids[-1] if ids else 'none'}"


def _data_option(desk: Desk) -> str:
    """What commands need beside, where the data directory is not the usual one."""
    if desk.settings.sources.get("data", "default") == "default":
        return ""
    return f" --data {shlex.quote(str(desk.settings.data))}"


async def _press(desk: Desk) -> Response:
    pressed = await desk.press()
    daemon = desk.daemon
    match pressed.form.get("do"):
        case "unbind":
            gone = await daemon.runtimes.unbind(OWNER, pressed.text("runtime", 64))
            return desk.done(pressed, f"{gone.name} is bound no more; what it had in hand is free.", _PLACE)
        case "make":
            return await _make_credential(desk, pressed)
        case "end":
            ended = await daemon.revoke_token(OWNER, pressed.text("token", 128))
            said = f"The credential {ended.label or ended.id[:8]} is ended: whoever holds it is refused now."
            return desk.done(pressed, said, _PLACE)
        case "wake":
            return await _add_wake(desk, pressed)
        case "forget":
            forgotten = await daemon.wakers.remove(OWNER, pressed.text("wake", 64))
            return desk.done(pressed, f"No more hints for {forgotten.agent} that way.", _PLACE)
        case "test":
            tried = await daemon.wakers.test(OWNER, pressed.text("wake", 64))
            way = f"The hint for {tried.agent} ({tried.kind})"
            said = f"{way} did not get through: {tried.failure}" if tried.failure else f"{way} got through."
            return desk.done(pressed, said, _PLACE)
        case _:
            raise unknown_button()


async def _make_credential(desk: Desk, pressed: Pressed) -> Response:
    daemon = desk.daemon
    known = _newest([token.id for token in await daemon.tokens(OWNER)])
    if pressed.form.get("known") != known:
        raise _sent_before("credential")
    chosen = [agent.name for agent in await daemon.agents(OWNER) if pressed.form.get(f"agent-{agent.name}")]
    if not chosen:
        raise DaemonRefusal(
            "missing-field",
            "No agent was chosen for the credential.",
            "Go back and choose one or more: a program acts as these and as nobody else.",
            detail={"field": "agents"},
        )
    secret, made = await daemon.create_token(OWNER, chosen, pressed.text("label", _LABEL_BYTES).strip())
    # On the answer itself, and on no page that could be asked for again.
    return desk.sheet.render(
        "secret.html",
        visitor=pressed.visitor.session,
        what=f"A credential for {', '.join(made.agents)}",
        secret=secret,
        use="Give it to the program as TASKFERRY_LOCAL_API_TOKEN.",
        warning="Whoever has it acts as these agents on this machine until you end it.",
        back=_PLACE,
    )


def _sent_before(what: str) -> DaemonRefusal:
    return DaemonRefusal(
        "conflict",
        f"That form was sent before, or another {what} was made meanwhile.",
        "Open the page again. A secret is shown once; where it was lost, end it and make another one.",
        status=409,
    )


# --- Wakes


async def _add_wake(desk: Desk, pressed: Pressed) -> Response:
    daemon = desk.daemon
    known = _newest([wake.id for wake in await daemon.wakers.wakes(OWNER)])
    if pressed.form.get("known") != known:
        raise _sent_before("wake")
    wake, secret = await daemon.wakers.add(OWNER, _wanted(pressed))
    if not secret:
        said = f"Kept: {wake.kind} for {wake.agent}. Try it with the button beside it."
        return desk.done(pressed, said, _PLACE)
    return desk.sheet.render(
        "secret.html",
        visitor=pressed.visitor.session,
        what=f"The secret of a webhook for {wake.agent}",
        secret=secret,
        use="It signs every call, as Standard Webhooks says. Give it to the program that takes the calls.",
        warning="Whoever has it can make calls that look like those of this daemon.",
        back=f"{_PLACE}#wakes",
    )


def _wanted(pressed: Pressed) -> NewWake:
    agent, kind = pressed.text("agent", 64), choice(pressed, "kind", KINDS)
    match kind:
        case "webhook":
            allowed = pressed.form.get("allow_private") == "yes"
            return NewWake(agent, kind, url=pressed.text("url", 2_048).strip(), allow_private=allowed)
        case "openclaw":
            url, secret = pressed.text("url", 2_048).strip(), pressed.text("secret", 512).strip()
            return NewWake(agent, kind, url=url or _OPENCLAW, secret=secret)
        case "codex":
            thread = pressed.text("thread", 256).strip()
            return NewWake(agent, kind, thread=thread, command=(_program("codex"),))
        case "desktop":
            name = "osascript" if sys.platform == "darwin" else "notify-send"
            return NewWake(agent, kind, command=(_program(name),))
        case _:
            words = [line.strip() for line in pressed.text("command", _COMMAND_BYTES).split("\n")]
            program, *arguments = [word for word in words if word] or [""]
            return NewWake(agent, kind, command=(_program(program) if program else "", *arguments))


def _program(name: str) -> str:
    """The whole path of a program. Raises DaemonRefusal(bad-value)."""
    found = name if name.startswith("/") else shutil.which(name)
    if found is None:
        raise DaemonRefusal(
            "bad-value", f"{name} is not here, as the daemon sees it.", "Install it, or name its whole path."
        )
    return found


PAGES: Final = (Page("GET", _PLACE, _list), Page("POST", _PLACE, _press))
