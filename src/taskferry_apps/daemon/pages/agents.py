"""`/dashboard/agents`: the owner's agents, making one, and how freely each acts, in words."""

from __future__ import annotations

from typing import Final

from quart import Response

from ..port import CardChange, DaemonRefusal, NewAgent
from ..views import AgentView
from .choices import choice, unknown_button
from .desk import Desk, Pressed
from .owner import OWNER
from .page import Page

__all__ = ["PAGES"]

_PLACE: Final = "/dashboard/agents"
_TEXT_BYTES: Final = 4_096

#: How freely an agent acts, and what that means.
_MODES: Final = (
    ("open", "Tasks wait for you where the permission of their sender says so."),
    (
        "guarded",
        "Every task that comes waits for you, and so does every task and connection that the agent asks for.",
    ),
    ("read-only", "The agent reads and waits, and sends nothing."),
)
#: Classes of action about which an agent's program asks before it acts.
_CLASSES: Final = (
    ("local-files", "reading and writing files of this machine"),
    ("shell", "running commands"),
    ("paid-calls", "calls that cost money"),
    ("mail", "sending mail or messages elsewhere"),
    ("uploads", "giving files out"),
    ("code-changes", "changing code"),
    ("deletions", "deleting something"),
    ("delegation", "asking other agents for work"),
)
_ANSWERS: Final = (("ask", "you are asked"), ("always", "always allowed"), ("never", "never allowed"))


async def _list(desk: Desk) -> Response:
    visitor = await desk.visit()
    daemon = desk.daemon
    modes = {mode.agent: mode for mode in await daemon.gates.modes(OWNER)}
    return await desk.show(
        "agents.html",
        visitor,
        agents=await daemon.agents(OWNER),
        connected=await daemon.connected(OWNER),
        modes=modes,
    )


async def _create(desk: Desk) -> Response:
    pressed = await desk.press()
    wanted = NewAgent(
        pressed.text("name", 64).strip(),
        display_name=pressed.text("display_name", 256).strip(),
        tagline=pressed.text("tagline", 512).strip(),
        description=pressed.text("description", _TEXT_BYTES).strip(),
        public=pressed.form.get("public") == "yes",
    )
    made = await desk.daemon.create_agent(OWNER, wanted)
    return desk.done(pressed, f"{made.handle} is made.", f"{_PLACE}/{made.name}")


async def _one(desk: Desk, name: str) -> Response:
    visitor = await desk.visit()
    agent = await _find(desk, name)
    said = await desk.daemon.gates.modes(OWNER)
    return await desk.show(
        "agent.html",
        visitor,
        agent=agent,
        mode=next((mode for mode in said if mode.agent == agent.handle), None),
        connected=(await desk.daemon.connected(OWNER)).get(agent.name, 0),
        # Asked for by its name they would count as a sign of life of the agent.
        runtimes=[one for one in await desk.daemon.runtimes.runtimes(OWNER, "") if one.agent == agent.name],
        modes=_MODES,
        classes=_CLASSES,
        answers=_ANSWERS,
    )


async def _find(desk: Desk, name: str) -> AgentView:
    for agent in await desk.daemon.agents(OWNER):
        if agent.name == name:
            return agent
    raise DaemonRefusal(
        "not-found", "You have no agent of that name.", "Go back to the list of your agents.", status=404
    )


async def _change(desk: Desk, name: str) -> Response:
    pressed = await desk.press()
    agent = await _find(desk, name)
    gates = desk.daemon.gates
    match pressed.form.get("do"):
        case "mode":
            mode = choice(pressed, "mode", [word for word, _ in _MODES])
            made = await gates.set_mode(OWNER, agent.name, mode)
            said = f"{agent.handle} is {made.mode} from now on."
        case "tell":
            tells = choice(pressed, "tells", ("all", "nothing")) == "all"
            await gates.set_telling(OWNER, agent.name, tells=tells)
            said = f"Who sends to {agent.handle} is told {'all' if tells else 'nothing'} from now on."
        case "card":
            said = await _change_card(desk, agent, pressed)
        case "policies":
            said = await _decide_ahead(desk, agent, pressed)
        case "withdraw":
            await desk.daemon.withdraw_agent(OWNER, agent.name)
            return desk.done(pressed, f"{agent.handle} is withdrawn; its peers are told.", _PLACE)
        case _:
            raise unknown_button()
    return desk.done(pressed, said, f"{_PLACE}/{agent.name}")


async def _change_card(desk: Desk, agent: AgentView, pressed: Pressed) -> str:
    """Sign the card anew. DaemonRefusal(conflict) if it is another one than the form began with."""
    if pressed.form.get("version") != str(agent.version):
        raise DaemonRefusal(
            "conflict",
            "The card was changed meanwhile; nothing was changed now.",
            "Load the page again, look at it, and press then.",
            status=409,
        )
    words = pressed.text("capabilities", _TEXT_BYTES).split(",")
    change = CardChange(
        display_name=pressed.text("display_name", 256).strip(),
        tagline=pressed.text("tagline", 512).strip(),
        description=pressed.text("description", _TEXT_BYTES).strip(),
        capabilities=tuple(word.strip() for word in words if word.strip()),
        public=pressed.form.get("public") == "yes",
    )
    made = await desk.daemon.edit_agent(OWNER, agent.name, change)
    if made.version == agent.version:
        return "The card is as it was."
    return f"The card of {made.handle} is signed anew; those connected with it are told."


async def _decide_ahead(desk: Desk, agent: AgentView, pressed: Pressed) -> str:
    """Set what differs from what the form showed. DaemonRefusal(conflict) if that is not so any more."""
    gates = desk.daemon.gates
    now = next(mode.policies for mode in await gates.modes(OWNER) if mode.agent == agent.handle)
    answers = [word for word, _ in _ANSWERS]
    wanted = {action: choice(pressed, action, answers) for action, _ in _CLASSES}
    for action in wanted:
        if pressed.form.get(f"was-{action}") != now.get(action, "ask"):
            raise DaemonRefusal(
                "conflict",
                "What you decided ahead was changed meanwhile; nothing was changed now.",
                "Load the page again, look at it, and press then.",
                status=409,
            )
    changed = [action for action, policy in wanted.items() if policy != now.get(action, "ask")]
    for action in changed:
        await gates.set_policy(OWNER, agent.name, action, wanted[action])
    return f"Decided ahead: {', '.join(f'{action} {wanted[action]}' for action in changed) or 'as before'}."


PAGES: Final = (
    Page("GET", _PLACE, _list),
    Page("POST", _PLACE, _create),
    Page("GET", f"{_PLACE}/<name>", _one),
    Page("POST", f"{_PLACE}/<name>", _change),
)
