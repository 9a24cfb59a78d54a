"""The content of a message that is text alone, read and written without the general codec.

It has one deterministic encoding, so what is read here is what `decode_content` would read, and what is
written is what `encode_content` would write. Anything else is None: the general way then reads it, or says
what is wrong with it, or writes it.
"""

from __future__ import annotations

import re
from typing import Final

from ..ids import ConversationId, Hash
from ..limits import CAUSES, HOPS, TEXT_BYTES
from .content import Content
from .talk import TextMessage

__all__ = ["read_usual_text", "write_usual_text"]

# The head of a text: its length in the first byte, or in one or two more, or 65,536, which is the most.
_TO_TEXT: Final = re.compile(
    rb"([\xa6\xa7])\x63hop([\x00-\x10])\x64body\xa2\x64text"
    rb"(?:([\x61-\x77])|\x78([\x18-\xff])|\x79([\x01-\xff].)|\x7a\x00\x01\x00\x00)",
    re.DOTALL,
)
_TO_CAUSE: Final = re.compile(
    rb"\x65parts\x80\x64conv\x50(.{16})\x64type\x67message\x65cause([\x80-\x88])", re.DOTALL
)
_DIGEST: Final = b"\x58\x20"
_MINOR: Final = b"\x65minor\x00"
_REPLY: Final = b"\x65reply\x58\x20"
_WITH_REPLY: Final = b"\xa7"


def read_usual_text(raw: bytes) -> Content | None:
    """The content that `raw` encodes, if it is a message of text without parts, of this minor version."""
    head = _TO_TEXT.match(raw)
    if head is None:
        return None
    members, hop, tiny, short, long = head.groups()
    start = head.end()
    if long is not None:
        end = start + int.from_bytes(long, "big")
    elif short is not None:
        end = start + short[0]
    else:
        end = start + (tiny[0] & 0x1F if tiny is not None else TEXT_BYTES)
    rest = _TO_CAUSE.match(raw, end)
    if rest is None:
        return None
    conv, count = rest.groups()
    at = rest.end()
    cause: list[Hash] = []
    for _ in range(count[0] & 0x0F):
        if raw[at : at + 2] != _DIGEST:
            return None
        cause.append(Hash(raw[at + 2 : at + 34]))
        at += 34
    tail = raw[at:]
    reply = None
    if members == _WITH_REPLY:
        if len(tail) != len(_MINOR) + len(_REPLY) + 32 or not tail.startswith(_MINOR + _REPLY):
            return None
        reply = Hash(tail[-32:])
    elif tail != _MINOR:
        return None
    try:
        text = raw[start:end].decode()
    except UnicodeDecodeError:
        return None
    return Content(TextMessage(text), ConversationId(conv), hop[0], tuple(cause), reply)


def write_usual_text(content: Content) -> bytes | None:
    """The encoding of a content that `read_usual_text` reads; None for any other."""
    body, reply = content.body, content.reply
    if type(body) is not TextMessage or body.parts or body.extra or content.extra:
        return None
    if content.link is not None or type(content.minor) is not int or content.minor:
        return None
    try:
        text = body.text.encode()
    except UnicodeEncodeError:
        return None
    size, cause = len(text), content.cause
    if not 1 <= size <= TEXT_BYTES or type(content.hop) is not int or not 0 <= content.hop <= HOPS:
        return None
    if len(content.conv) != 16 or len(cause) > CAUSES or any(len(hash) != 32 for hash in cause):
        return None
    if reply is not None and len(reply) != 32:
        return None
    if size < 24:
        head = bytes((0x60 | size,))
    elif size < 0x100:
        head = bytes((0x78, size))
    else:
        head = b"\x79" + size.to_bytes(2, "big") if size < 0x10000 else b"\x7a" + size.to_bytes(4, "big")
    return b"".join(
        (
            *(b"\xa6" if reply is None else _WITH_REPLY, b"\x63hop", bytes((content.hop,))),
            *(b"\x64body\xa2\x64text", head, text, b"\x65parts\x80\x64conv\x50", content.conv),
            *(b"\x64type\x67message\x65cause", bytes((0x80 | len(cause),))),
            *[_DIGEST + hash for hash in cause],
            *(_MINOR, b"" if reply is None else _REPLY + reply),
        )
    )
