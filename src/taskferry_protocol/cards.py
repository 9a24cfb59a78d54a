"""Agent cards: they describe an agent and grant nothing (spec/identity.md section 5)."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import attrs

from .accounts import AccountLog
from .cbor import Value
from .crypto import Kind, SigningKey
from .documents import authorize, open_document, recall_document, sign_document
from .errors import RejectCode, RemoteProtocolError
from .ids import AgentRef, Instant, LogPosition
from .limits import CARD_BYTES
from .shape import MapReader, as_array, as_text, check_ascending

__all__ = ["Card", "Visibility", "card_stands", "read_card", "recall_card", "sign_card"]

DISPLAY_NAME_BYTES: Final = 80
TAGLINE_BYTES: Final = 160
DESCRIPTION_BYTES: Final = 4_096
WORDS: Final = 32
WORD_BYTES: Final = 64

_FIELDS: Final = (
    "agent",
    "version",
    "at",
    "log",
    "display_name",
    "tagline",
    "description",
    "capabilities",
    "tags",
    "visibility",
)


class Visibility(StrEnum):
    """Whether relays may show the card to anybody."""

    PUBLIC = "public"
    PRIVATE = "private"


@attrs.frozen
class Card:
    """An agent's description in its owner's words; a higher `version` replaces a lower one."""

    agent: AgentRef
    version: int
    at: Instant
    log: LogPosition
    display_name: str = ""
    tagline: str = ""
    description: str = ""
    capabilities: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    visibility: Visibility = Visibility.PRIVATE


def sign_card(card: Card, key: SigningKey) -> bytes:
    """The signed card. Reading it back by `read_card` tells whether it keeps the rules."""
    return sign_document(
        Kind.CARD,
        {
            "agent": [card.agent.account, card.agent.name],
            "version": card.version,
            "at": card.at,
            "log": [card.log.length, card.log.head],
            "display_name": card.display_name,
            "tagline": card.tagline,
            "description": card.description,
            "capabilities": list(card.capabilities),
            "tags": list(card.tags),
            "visibility": card.visibility.value,
        },
        key,
    )


def read_card(raw: bytes, log: AccountLog) -> Card:
    """A card that the account of `log` signed.

    Raises RemoteProtocolError: the codes of signatures, encoding and shape, unknown-version, then
    wrong-account, not-authorized, not-an-extension.
    """
    signed, reader = open_document(raw, Kind.CARD, _FIELDS, log, limit=CARD_BYTES)
    card = _card(reader)
    authorize(log, card.agent.account, signed, card.log)
    return card


def card_stands(raw: bytes, log: AccountLog) -> bool:
    """Whether a card that was taken is still the word of somebody who may say it.

    Where it is not, any card that is takes its place: a thief may have used up the last version.
    """
    try:
        read_card(raw, log)
    except RemoteProtocolError:
        return False
    return True


def recall_card(raw: bytes) -> Card:
    """A card that this side verified when it took it, also if the machine that signed it was put out since.

    For this owner's own, which others take no word of from here. Raises RemoteProtocolError as `read_card`,
    without the codes of signatures and authority.
    """
    _, reader = recall_document(raw, _FIELDS)
    return _card(reader)


def _card(reader: MapReader) -> Card:
    return Card(
        reader.agent("agent"),
        reader.uint("version", low=1),
        reader.time("at"),
        reader.position("log"),
        reader.text("display_name", most=DISPLAY_NAME_BYTES),
        reader.text("tagline", most=TAGLINE_BYTES),
        reader.text("description", most=DESCRIPTION_BYTES),
        reader.read("capabilities", _words),
        reader.read("tags", _words),
        _visibility(reader),
    )


def _words(value: Value, field: str) -> tuple[str, ...]:
    items = as_array(value, field, most=WORDS)
    words = tuple(as_text(item, field, least=1, most=WORD_BYTES) for item in items)
    check_ascending(words, field)
    return words


def _visibility(reader: MapReader) -> Visibility:
    text = reader.text("visibility", most=DISPLAY_NAME_BYTES)
    try:
        return Visibility(text)
    except ValueError as error:
        raise RemoteProtocolError(RejectCode.BAD_VALUE, "public or private", field="visibility") from error
