"""Messages: sending them, looking at them, and marking them as processed."""

from __future__ import annotations

from typing import Final

from taskferry_protocol.limits import TEXT_BYTES
from taskferry_protocol.messages import Part

from ...history_port import MessageSearch
from ...port import DaemonRefusal, DaemonService
from ...views import Sent
from ..answers import Object, message_object, sent_object
from ..errors import error_object, refusal
from ..fields import Choice, Form, OneOrMore, Text, Whole, optional, required, wrong_type
from ..holds import FENCE, RUNTIME, hold_of
from ..kinds import ID, AnyJson, OwnAgent, Peer, ReadAgent
from ..parts import json_part
from ..schemas import ref
from ..shapes import SEARCH_BYTES, searched_page
from ..table import Call, Repeat, Route

__all__ = ["CAUSE", "CONVERSATION", "FROM", "PAYLOAD", "REPLY_TO", "ROUTES", "TEXT", "said"]

#: One message is sealed to each; for more there are channels.
_RECIPIENTS: Final = 32
_JSON_ONLY: Final = "(The message is the attached JSON.)"

FROM: Final = required("from", OwnAgent(), "The agent of yours that sends.")
_TO: Final = required("to", OneOrMore(Peer(), _RECIPIENTS), "One agent, or a list of them.")
_TYPE: Final = optional("type", Choice(("message",)), "Tasks have paths of their own.", "message")
TEXT: Final = optional("text", Text(TEXT_BYTES), "What is said.", "")
PAYLOAD: Final = optional("payload", AnyJson(), "A JSON object that goes with it, or instead.", None)
CONVERSATION: Final = optional("conversation", Text(32), "The conversation that it belongs to.", "")
REPLY_TO: Final = optional("reply_to", Text(64), "The message that it answers.", "")
CAUSE: Final = optional("cause", Text(64), "The message or task that led to this one.", "")
_ID: Final = required("id", ID, "The message's id, or at least 8 digits of it.")
_AGENT: Final = optional("agent", ReadAgent(), "Only those of one agent of yours.", None)
_CURSOR: Final = optional("cursor", Text(256), "Where to go on.", "")
_LIMIT: Final = optional("limit", Whole(1, 200), "How many at most.", 50)
_SEARCH: Final = optional("search", Text(SEARCH_BYTES), "Only those that have all these words.", "")


async def _send(daemon: DaemonService, call: Call) -> Object:
    body = call.body
    text, parts = said(body[TEXT], body[PAYLOAD])
    conversation = body[CONVERSATION]
    sent: list[Sent] = []
    failed: dict[str, DaemonRefusal] = {}
    for peer in dict.fromkeys(body[_TO]):
        try:
            one = await daemon.send_message(
                call.known_caller,
                body[FROM],
                peer,
                text,
                parts,
                conversation,
                body[REPLY_TO],
                body[CAUSE],
            )
        except DaemonRefusal as refused:
            # What has gone to others is not taken back: the caller is told who is missing, and why.
            failed[peer] = refused
            continue
        conversation = conversation or one.conversation.hex()
        sent.append(one)
    if not sent:
        raise next(iter(failed.values()))
    answer = {**sent_object(sent[0]), "message_ids": [one.message.hex() for one in sent]}
    answer["warnings"] = [warning for one in sent for warning in one.warnings]
    if failed:
        answer["failed"] = [
            {"to": peer, "error": error_object(refused)["error"]} for peer, refused in failed.items()
        ]
    return answer


def said(text: str, payload: object, where: str = "") -> tuple[str, tuple[Part, ...]]:
    """What a message says, as text and parts; `where` is the place of its fields. Raises DaemonRefusal."""
    if payload is None:
        if not text:
            raise refusal(
                "missing-field", "A message says something.", "Give text, or payload.", field=f"{where}text"
            )
        return text, ()
    if not isinstance(payload, dict):
        raise wrong_type(f"{where}payload", "an object")
    return text or _JSON_ONLY, (json_part(payload, f"{where}payload"),)


async def _list(daemon: DaemonService, call: Call) -> Object:
    query, caller, agent = call.query, call.known_caller, call.query[_AGENT] or ""
    cut = False
    if query[_SEARCH]:
        search = MessageSearch(query[_SEARCH], agent)
        found = await daemon.history.messages(caller, search, query[_CURSOR], query[_LIMIT])
        messages, cursor, cut = found.messages, found.cursor, found.cut
    else:
        page = await daemon.messages(caller, agent, query[_CURSOR], query[_LIMIT])
        messages, cursor = page.messages, page.cursor
    shown = [message_object(message) for message in messages]
    return {"messages": shown, "cursor": cursor, "more": bool(cursor), "cut": cut}


async def _show(daemon: DaemonService, call: Call) -> Object:
    return message_object(await daemon.message(call.known_caller, call.path[_ID].lower()))


async def _acknowledge(daemon: DaemonService, call: Call) -> Object:
    message = await daemon.acknowledge(call.known_caller, call.path[_ID].lower(), hold_of(call.body))
    return {"ok": True, "id": message.id.hex(), "state": "processed"}


ROUTES: Final = (
    Route(
        method="POST",
        path="/messages/send",
        name="send_message",
        about="Send a message outside any task.",
        handler=_send,
        answer=ref("SentMessage"),
        body=Form.of(FROM, _TO, _TYPE, TEXT, PAYLOAD, CONVERSATION, REPLY_TO, CAUSE),
        repeat=Repeat.ONCE,
    ),
    Route(
        method="GET",
        path="/messages",
        name="list_messages",
        about="Outgoing and incoming messages, newest first.",
        handler=_list,
        answer=searched_page("messages", ref("Message")),
        query=Form.of(_SEARCH, _AGENT, _CURSOR, _LIMIT),
    ),
    Route(
        method="GET",
        path="/messages/{id}",
        name="show_message",
        about="One message; of an outgoing one, how far it has come.",
        handler=_show,
        answer=ref("Message"),
        parameters=Form.of(_ID),
    ),
    Route(
        method="POST",
        path="/messages/{id}/ack",
        name="acknowledge_message",
        about="Mark a message as processed; again is no error.",
        handler=_acknowledge,
        answer=ref("Acknowledged"),
        parameters=Form.of(_ID),
        body=Form.of(RUNTIME, FENCE),
    ),
)
