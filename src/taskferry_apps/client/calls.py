"""What an agent asks of its daemon beside tasks: who it is, connections, mail, approvals.

Each function describes one request; those whose first parameter is `mine` act for an agent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Concatenate, Final, ParamSpec, TypeVar

import attrs

from .binding import Binding, held, release, under
from .errors import NotAllowed
from .plans import Doing, Plan, Ties
from .requests import Answer, Request, as_object, get, listed, path_of, post, value_of
from .results import (
    Agent,
    Approval,
    Connection,
    ConnectionStep,
    Identity,
    InboxPage,
    Lease,
    Link,
    Message,
    MessagePage,
    Outgoing,
    Program,
    Sent,
    SentOne,
    Status,
)

__all__ = [
    "acknowledge",
    "agents",
    "approval",
    "approvals",
    "as_own",
    "ask_approval",
    "connections",
    "inbox",
    "message",
    "messages",
    "own_agent",
    "release",
    "request_connection",
    "send_message",
    "send_messages",
    "status",
    "use_approval",
    "whoami",
]

P = ParamSpec("P")
T = TypeVar("T")

#: The longest wait that one request may ask for.
LONGEST_WAIT_S: Final = 60


# --- Who ----------------------------------------------------------------------------------------------------


def status() -> Request[Status]:
    """How the daemon is: its account, and its link to the relay."""
    return get("/health", value_of(Status))


def agents() -> Request[tuple[Agent, ...]]:
    """The agents that this credential may act as."""
    return get("/agents", listed(Agent, "agents"))


def whoami() -> Plan[Identity]:
    """For whom this client may act, and which programs are bound to its agents."""
    told = yield from get("/whoami", value_of(_Told))
    now = yield from status()
    return Identity(
        told.owner.removeprefix("@"),
        now.account,
        (yield from agents()),
        told.credential,
        told.label,
        told.device,
        told.version,
        told.relay,
        told.runtimes,
    )


@attrs.frozen
class _Told:
    """What the daemon says in one answer; it names the agents, and not the account."""

    owner: str
    credential: str
    label: str
    device: str
    version: str
    relay: Link | None
    runtimes: tuple[Program, ...]


def own_agent(ties: Ties) -> Plan[str]:
    """The agent that a client acts as: the one it was made for, else the only one of its credential.

    Raises NotAllowed where there are several, or none.
    """
    if not ties.agent:
        mine = yield from agents()
        if len(mine) != 1:
            names = ", ".join(agent.name for agent in mine) or "none"
            raise NotAllowed(
                403,
                "which-agent",
                f"This credential is not for one agent: it may act as {names}.",
                'Say which: Client(agent="NAME")',
            )
        ties.agent = mine[0].name
    return ties.agent


def as_own(
    build: Callable[Concatenate[str, P], Doing[T]], ties: Ties, *args: P.args, **kwargs: P.kwargs
) -> Plan[T]:
    """What `build` describes, for the client's own agent."""
    mine = yield from own_agent(ties)
    return (yield from build(mine, *args, **kwargs))


# --- Connections --------------------------------------------------------------------------------------------


def connections(mine: str, *, state: str = "") -> Request[tuple[Connection, ...]]:
    """The agent's connections and requests for them; `state` is one of Connection's."""
    return get("/connections", listed(Connection, "connections"), agent=mine, state=state)


def request_connection(
    mine: str, to: str, message: str = "", *, key: str | None = None
) -> Request[ConnectionStep]:
    """Ask the owner of `to`, `@owner/agent`, for a connection. That owner decides."""
    body = {"from": mine, "to": to, "message": message}
    return post("/connections/request", value_of(ConnectionStep), body, key)


# --- Mail ---------------------------------------------------------------------------------------------------


def send_messages(
    mine: str, messages: Sequence[Outgoing], *, key: str | None = None
) -> Request[tuple[SentOne, ...]]:
    """Send up to 256 messages in one request; what became of each, in their order.

    One that is refused keeps none of the others back. Sent again under the same key, none goes twice.
    """
    bodies = [
        {
            name: value
            for name, value in {"from": mine, **attrs.asdict(one, recurse=False)}.items()
            if value not in (None, "")
        }
        for one in messages
    ]
    return post("/messages/batch", listed(SentOne, "results"), {"messages": bodies}, key)


def send_message(
    mine: str,
    to: str | Sequence[str],
    text: str = "",
    *,
    payload: Mapping[str, object] | None = None,
    conversation: str = "",
    reply_to: str = "",
    key: str | None = None,
) -> Request[Sent]:
    """Send a message outside any task, to one agent or several; `payload` is JSON that goes with it."""
    body = {
        "from": mine,
        "to": to if isinstance(to, str) else list(to),
        "text": text,
        "payload": payload,
        "conversation": conversation,
        "reply_to": reply_to,
    }
    return post("/messages/send", value_of(Sent), body, key)


def inbox(
    mine: str,
    *,
    wait: int = 0,
    cursor: str = "",
    limit: int = 50,
    header_only: bool = False,
    processed: bool = False,
    runtime: Binding | None = None,
    take: bool = True,
) -> Plan[InboxPage]:
    """What has arrived for this agent and is not marked as processed, oldest first; with `processed`, all.

    Waits up to `wait` seconds, 60 at most, while there is nothing. What is given counts as read. With
    `runtime`, what that bound program may have, and no other from now on; each item then has a `lease`.
    With `take=False` it only looks, and what it sees is whoever's who takes it first.
    """
    wait = min(wait, LONGEST_WAIT_S)

    def asked() -> Request[InboxPage]:
        return get(
            "/inbox",
            value_of(InboxPage),
            wait_s=wait,
            agent=mine,
            unprocessed=not processed,
            wait=wait,
            cursor=cursor,
            limit=limit,
            header_only=header_only,
            runtime=runtime.id if runtime is not None else "",
            take=None if take or runtime is None else False,
        )

    if runtime is None:
        return (yield from asked())
    return (yield from under(runtime, asked))


def messages(mine: str, *, cursor: str = "", limit: int = 50) -> Request[MessagePage]:
    """The agent's messages of both directions, newest first. Looking marks nothing."""
    return get("/messages", value_of(MessagePage), agent=mine, cursor=cursor, limit=limit)


def message(id: str) -> Request[Message]:
    """One message; of an outgoing one, how far it has come."""
    return get(path_of("messages", id), value_of(Message))


def acknowledge(id: str, lease: Lease | None = None) -> Plan[None]:
    """Mark a received message as processed; again is no error.

    With an item's `lease`, as the program that has it. Raises TakenOver.
    """
    request: Request[None] = post(path_of("messages", id, "ack"), _done, {})
    yield from held(request, lease)


def _done(answer: Answer) -> None:
    as_object(answer)


# --- The owner's word ---------------------------------------------------------------------------------------


def ask_approval(
    mine: str,
    kind: str,
    what: str,
    *,
    why: str = "",
    task: str = "",
    expires_in: int = 3_600,
    key: str | None = None,
) -> Request[Approval]:
    """Ask the owner before doing something; what is decided ahead is answered at once.

    `kind` is local-files, shell, paid-calls, mail, uploads, code-changes, deletions or delegation, `what`
    exactly what is to be done. The question is over after `expires_in` seconds.
    """
    body = {"from": mine, "class": kind, "what": what, "why": why, "task_id": task, "expires_in": expires_in}
    return post("/approvals", value_of(Approval, "approval"), body, key)


def approvals(mine: str, *, state: str = "", limit: int = 50) -> Request[tuple[Approval, ...]]:
    """What this agent has asked, newest first."""
    return get("/approvals", listed(Approval, "approvals"), agent=mine, state=state, limit=limit)


def approval(id: str, *, wait: int = 0) -> Request[Approval]:
    """One question; waits up to `wait` seconds, 60 at most, while it is not answered."""
    wait = min(wait, LONGEST_WAIT_S)
    return get(path_of("approvals", id), value_of(Approval, "approval"), wait_s=wait, wait=wait)


def use_approval(
    id: str, kind: str, what: str, *, task: str = "", key: str | None = None
) -> Request[Approval]:
    """Take what was approved, for exactly what was asked; once, unless it was approved for a whole task."""
    body = {"class": kind, "what": what, "task_id": task}
    return post(path_of("approvals", id, "use"), value_of(Approval, "approval"), body, key)
