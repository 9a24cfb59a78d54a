"""Plain messages, receipts, and what the devices of accounts tell each other."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

import attrs

from ..cbor import Value
from ..errors import RejectCode, RemoteProtocolError
from ..ids import Hash, Instant
from ..limits import RECEIPT_ITEMS
from ..shape import as_array, as_text
from ..values import value
from .base import Body, MessageClass, Presence, Wire
from .fields import count, digest, flag, instant, octets, prose, statements
from .parts import Part, read_parts

__all__ = ["AccountUpdate", "CardUpdate", "GrantDigest", "Outcome", "Receipt", "ReceiptItem", "TextMessage"]

#: Statements in one `account_update`.
UPDATE_STATEMENTS: Final = 64
#: A code is a short word; one that this version does not know is kept and shown.
CODE_BYTES: Final = 64


@value
class TextMessage(Body):
    """Something said, outside any task: 1 to 65,536 bytes of text, and parts."""

    type_name = "message"
    message_class = MessageClass.MESSAGE
    wire = (Wire("text", prose(least=1)), Wire("parts", read_parts))

    text: str
    parts: tuple[Part, ...] = ()


class Outcome(StrEnum):
    """What became of a message at its recipient."""

    APPLIED = "applied"
    DUPLICATE = "duplicate"
    QUARANTINED = "quarantined"
    OFFERED = "offered"
    READ = "read"
    PROCESSED = "processed"


@value
class ReceiptItem:
    """The word on one envelope. `code` is text: a later version's code survives."""

    hash: Hash
    outcome: Outcome
    code: str | None = None

    def to_cbor(self) -> list[object]:
        """The triple that is encoded."""
        return [self.hash, self.outcome.value, self.code]


def _item(value: Value, field: str) -> ReceiptItem:
    if type(value) is not list:
        raise RemoteProtocolError(RejectCode.WRONG_TYPE, "an array expected", field=field)
    if len(value) != 3:
        raise RemoteProtocolError(RejectCode.BAD_VALUE, "must have three elements", field=field)
    about, outcome, code = value
    envelope = digest(about, field)
    word = as_text(outcome, field, most=CODE_BYTES)
    if word not in _OUTCOMES:
        raise RemoteProtocolError(RejectCode.BAD_VALUE, "not an outcome", field=field)
    known = None if code is None else as_text(code, field, least=1, most=CODE_BYTES)
    return ReceiptItem(envelope, _OUTCOMES[word], known)


_OUTCOMES: Final = {outcome.value: outcome for outcome in Outcome}


def _items(value: Value, field: str) -> Sequence[ReceiptItem]:
    listed = as_array(value, field, least=1, most=RECEIPT_ITEMS)
    return tuple(_item(item, f"{field}[{index}]") for index, item in enumerate(listed))


@value
class Receipt(Body):
    """What became of 1 to 256 messages, said and signed by their recipient. Never receipted itself.

    `tells` says whether the recipient's owner lets it be told that its agent was offered a message, has
    read or has processed it; None where nothing is said. `seen` is when the agent last ran, to the minute.
    """

    type_name = "receipt"
    message_class = MessageClass.RECEIPT
    wire = (
        Wire("items", _items),
        Wire("tells", flag, Presence.OPTIONAL),
        Wire("seen", instant, Presence.OPTIONAL),
    )

    items: tuple[ReceiptItem, ...]
    tells: bool | None = None
    seen: Instant | None = None


@attrs.frozen
class AccountUpdate(Body):
    """Statements of the sender's log from index `start` on, 1 to 64 of them, in order."""

    type_name = "account_update"
    message_class = MessageClass.ACCOUNT
    wire = (
        Wire("statements", statements(most=UPDATE_STATEMENTS)),
        Wire("from", count, attribute="start"),
    )

    statements: tuple[bytes, ...]
    start: int


@attrs.frozen
class CardUpdate(Body):
    """A newer card of an agent of the sender's account, as signed; the highest version counts."""

    type_name = "card_update"
    message_class = MessageClass.ACCOUNT
    wire = (Wire("card", octets),)

    card: bytes = attrs.field(repr=False)


@attrs.frozen
class GrantDigest(Body):
    """A digest of the owner's current grants, so that a withdrawal that was kept back is noticed."""

    type_name = "grant_digest"
    message_class = MessageClass.ACCOUNT
    wire = (Wire("digest", digest), Wire("count", count))

    digest: Hash
    count: int
