"""Many messages in one request: each is sent, and answered, as if it had come by itself."""

from __future__ import annotations

import hashlib
from typing import Final

from ...bounds import BOUNDS
from ...port import DaemonService
from ...sending_port import NewMessage
from ..answers import Object, sent_object
from ..body import Json, canonical
from ..errors import error_object, refusal_for
from ..fields import Form, Listed, Nested, Text, Values, optional, required
from ..kinds import Peer
from ..schemas import ref
from ..table import BODY_WITH_FILES_BYTES, Call, Repeat, Route
from .messages import CAUSE, CONVERSATION, FROM, PAYLOAD, REPLY_TO, TEXT, said

__all__ = ["ROUTES"]

_TO: Final = required("to", Peer(), "One agent.")
_KEY: Final = optional(
    "key",
    Text(128, pattern="[!-~]{1,128}", wanted="1 to 128 printable ASCII characters without spaces"),
    "With a key, this message is sent once, however often the request comes.",
    "",
)
_ONE: Final = Form.of(FROM, _TO, TEXT, PAYLOAD, CONVERSATION, REPLY_TO, CAUSE, _KEY)
_MESSAGES: Final = required(
    "messages",
    Listed(Nested(_ONE), BOUNDS.messages_at_once, 1),
    "In the order in which they go.",
)


async def _send(daemon: DaemonService, call: Call) -> Object:
    wanted = [_message(one, number, call.key) for number, one in enumerate(call.body[_MESSAGES])]
    outcomes = await daemon.sending.many(call.known_caller, wanted)
    failed = sum(isinstance(one, Exception) for one in outcomes)
    results = [
        error_object(refusal_for(one)) if isinstance(one, Exception) else sent_object(one) for one in outcomes
    ]
    return {"results": results, "sent": len(outcomes) - failed, "failed": failed}


def _message(one: Values, number: int, key_of_all: str | None) -> NewMessage:
    text, parts = said(one[TEXT], one[PAYLOAD], f"messages[{number}].")
    about: list[Json] = [one[FROM], one[_TO], one[TEXT], one[PAYLOAD]]
    about += [one[CONVERSATION], one[REPLY_TO], one[CAUSE]]
    # No key that a message has itself has a space.
    key = one[_KEY] or (f"{key_of_all} {number}" if key_of_all is not None else "")
    digest = hashlib.sha256(canonical(about)).digest() if key else b""
    return NewMessage(
        one[FROM], one[_TO], text, parts, one[CONVERSATION], one[REPLY_TO], one[CAUSE], key, digest
    )


ROUTES: Final = (
    Route(
        method="POST",
        path="/messages/batch",
        name="send_messages",
        about="Send many messages outside any task; what became of each is told in its place.",
        handler=_send,
        answer=ref("SentMany"),
        body=Form.of(_MESSAGES),
        body_bytes=BODY_WITH_FILES_BYTES,
        repeat=Repeat.EACH,
    ),
)
