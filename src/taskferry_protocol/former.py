"""Former agents: a name that no device served for a while, and that is given anew, is another agent's.

Which of them an envelope means is told by the logs that it quotes, so each machine tells it alike.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Final

from .accounts import AccountLog
from .errors import RejectCode, RemoteProtocolError
from .former_names import former
from .header import Header
from .ids import AgentRef
from .messages.base import MessageClass

__all__ = ["agent_then", "check_same_agents", "made_before", "made_since"]

#: What counts whoever has the name now: a handle is all that a stranger knows, an end is a statement of its
#: own, and a receipt says what it is of.
_BY_NAME: Final = frozenset({MessageClass.CONNECTION, MessageClass.RECEIPT, MessageClass.ACCOUNT})


def made_before(log: AccountLog, name: str, length: int) -> int:
    """How many agents of that name there had been after `length` statements, the one of then included."""
    return bisect_right(log.state.made.get(name, ()), length)


def made_since(log: AccountLog, name: str, length: int) -> bool:
    """Whether who had `name` after `length` statements is another than who has it, or had it last."""
    return 0 < made_before(log, name, length) < len(log.state.made.get(name, ()))


def agent_then(log: AccountLog, agent: AgentRef, length: int) -> AgentRef:
    """Who of the account of `log` was meant by an agent's name after `length` statements."""
    if agent.account != log.account or not made_since(log, agent.name, length):
        return agent
    return former(agent, made_before(log, agent.name, length))


def check_same_agents(header: Header, mine: AccountLog, sender: AccountLog | None) -> None:
    """Nothing if the two agents of an envelope are those that have their names now.

    What one said that was withdrawn is no word of the next, and what was said to it is not said to the next.
    Raises RemoteProtocolError(unknown-agent).
    """
    if header.cls in _BY_NAME:
        return
    if sender is not None and made_since(sender, header.from_.name, header.log.length):
        raise RemoteProtocolError(RejectCode.UNKNOWN_AGENT, "from an agent that was withdrawn", field="from")
    if header.to.account == mine.account and made_since(mine, header.to.name, header.to_log.length):
        raise RemoteProtocolError(RejectCode.UNKNOWN_AGENT, "to an agent that was withdrawn", field="to")
