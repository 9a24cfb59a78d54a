"""The values inside frames: windows, cursors, outcomes, mailbox entries (spec/session.md section 2).

Each has `to_cbor`, what is encoded, and an `as_…` reader with the codes of spec/taskferry.md section 2.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, assert_never

import attrs

from .cbor import Value
from .errors import EnvelopeRejected, RejectCode, RemoteProtocolError
from .ids import Hash
from .limits import BATCH, FRAME_BYTES, WINDOW_BYTES, WINDOW_ENTRIES
from .shape import MapReader, as_array, as_bytes, as_pair, as_uint
from .values import value

__all__ = [
    "DETAIL_TEXT_BYTES",
    "FIELD_BYTES",
    "STATEMENT_PAGE_BYTES",
    "Cursor",
    "Detail",
    "Entry",
    "Mail",
    "Notice",
    "Outcome",
    "ParcelAccepted",
    "Refusal",
    "Window",
    "as_code",
    "as_cursor",
    "as_entries",
    "as_outcomes",
    "as_refusal",
    "as_statements",
    "as_window",
    "clip",
    "outcomes_to_cbor",
    "statement_page",
]

#: People read one sentence beside a code; nobody sends an essay, nor what they were sent.
DETAIL_TEXT_BYTES: Final = 512
FIELD_BYTES: Final = 128
GENERATION_BYTES: Final = 16
SEALED_BYTES: Final = 80
#: Statements that travel together leave room for whatever else stands in their frame.
STATEMENT_PAGE_BYTES: Final = 3 * FRAME_BYTES // 4
#: What all the outcomes of a batch may take: the frame less its head.
_OUTCOMES_BYTES: Final = FRAME_BYTES - 64
_CODES: Final[Mapping[str, RejectCode]] = {code.value: code for code in RejectCode}


def clip(text: str, most: int) -> str:
    """`text` cut to at most `most` bytes of UTF-8, never within a character. Never raises."""
    return text.encode("utf-8", "replace")[:most].decode("utf-8", "ignore")


def as_code(value: Value, field: str) -> RejectCode:
    """One of the codes of spec/taskferry.md section 4; any other text is bad-value."""
    if type(value) is not str:
        raise RemoteProtocolError(RejectCode.WRONG_TYPE, "a code expected", field=field)
    code = _CODES.get(value)
    if code is None:
        raise RemoteProtocolError(RejectCode.BAD_VALUE, "not a code of this version", field=field)
    return code


def as_statements(value: Value, field: str) -> tuple[bytes, ...]:
    """At most 256 byte strings; what stands in them is for `fold` to judge."""
    return tuple([as_bytes(statement, field) for statement in as_array(value, field, most=BATCH)])


def statement_page(statements: Iterable[bytes]) -> tuple[bytes, ...]:
    """As many of the first statements as travel in one frame: at most 256, and 768 KiB together."""
    page: list[bytes] = []
    size = 0
    for statement in statements:
        size += len(statement)
        if len(page) == BATCH or size > STATEMENT_PAGE_BYTES:
            break
        page.append(statement)
    return tuple(page)


# --- Windows and cursors ------------------------------------------------------------------------------------


@attrs.frozen
class Window:
    """How much may be under way: entries (or parcels), and the bytes of the frames that carry them."""

    entries: int = WINDOW_ENTRIES
    size: int = WINDOW_BYTES

    def to_cbor(self) -> list[object]:
        """The pair as it is encoded."""
        return [self.entries, self.size]


def as_window(value: Value, field: str) -> Window:
    """A pair of positive numbers."""
    entries, size = as_pair(value, field)
    return Window(as_uint(entries, field, low=1), as_uint(size, field, low=1))


@attrs.frozen
class Cursor:
    """The last offset of a mailbox that a device has committed, and the generation that it was counted in."""

    generation: bytes
    offset: int

    def to_cbor(self) -> list[object]:
        """The pair as it is encoded."""
        return [self.generation, self.offset]


def as_cursor(value: Value, field: str) -> Cursor:
    """A generation of 16 bytes and an offset."""
    generation, offset = as_pair(value, field)
    return Cursor(as_bytes(generation, field, size=GENERATION_BYTES), as_uint(offset, field))


# --- Outcomes -----------------------------------------------------------------------------------------------


@attrs.frozen
class Detail:
    """What helps the refused to do better. `retry_after` in ms; `statements` stand from index `start` on."""

    retry_after: int | None = None
    statements: tuple[bytes, ...] | None = None
    start: int | None = None
    field: str = ""
    text: str = ""

    def to_cbor(self) -> dict[str, object]:
        """The map as it is encoded; texts over their limits are cut."""
        members: dict[str, object] = {}
        if self.retry_after is not None:
            members["retry_after"] = self.retry_after
        if self.statements is not None:
            members["statements"] = list(self.statements)
        if self.start is not None:
            members["from"] = self.start
        if self.field:
            members["field"] = clip(self.field, FIELD_BYTES)
        if self.text:
            members["text"] = clip(self.text, DETAIL_TEXT_BYTES)
        return members

    @classmethod
    def read(cls, value: Value, where: str) -> Detail:
        """The detail of a decoded map."""
        reader = MapReader(value, where, (), ("retry_after", "statements", "from", "field", "text"))
        return cls(
            retry_after=reader.uint("retry_after") if "retry_after" in reader else None,
            statements=reader.read("statements", as_statements) if "statements" in reader else None,
            start=reader.uint("from") if "from" in reader else None,
            field=reader.text("field", least=1, most=FIELD_BYTES) if "field" in reader else "",
            text=reader.text("text", least=1, most=DETAIL_TEXT_BYTES) if "text" in reader else "",
        )


@value
class ParcelAccepted:
    """Committed by the relay. `place` is its running number for the sending device; it proves nothing."""

    place: int


@attrs.frozen
class Refusal:
    """A parcel or a call was refused; programs go by the code alone."""

    code: RejectCode
    detail: Detail = Detail()

    def to_cbor(self) -> list[object]:
        """The triple as it is encoded."""
        return [1, self.code.value, self.detail.to_cbor()]

    @classmethod
    def of(cls, error: RemoteProtocolError) -> Refusal:
        """The refusal that says what `error` says, its detail included."""
        given = error.detail if isinstance(error, EnvelopeRejected) else {}
        retry, statements, start = given.get("retry_after"), given.get("statements"), given.get("from")
        detail = Detail(
            retry_after=retry if isinstance(retry, int) else None,
            statements=tuple(statements) if isinstance(statements, list | tuple) else None,
            start=start if isinstance(start, int) else None,
            field=error.field,
            text=error.text,
        )
        return cls(error.code, detail)


Outcome = ParcelAccepted | Refusal
"""What became of one parcel."""


def as_refusal(value: list[Value], field: str) -> Refusal:
    """`[1, code, detail]`, whose first element was looked at already."""
    if len(value) != 3:
        raise RemoteProtocolError(RejectCode.BAD_VALUE, "must have three elements", field=field)
    return Refusal(as_code(value[1], f"{field}.code"), Detail.read(value[2], f"{field}.detail"))


def _as_outcome(value: Value, field: str) -> Outcome:
    members = as_array(value, field, least=2, most=3)
    if as_uint(members[0], field, high=1) == 1:
        return as_refusal(members, field)
    if len(members) != 2:
        raise RemoteProtocolError(RejectCode.BAD_VALUE, "must have two elements", field=field)
    return ParcelAccepted(as_uint(members[1], f"{field}.place"))


def as_outcomes(value: Value, field: str) -> tuple[Outcome, ...]:
    """The outcomes of one batch."""
    return tuple([_as_outcome(item, field) for item in as_array(value, field, least=1, most=BATCH)])


def outcomes_to_cbor(outcomes: Iterable[Outcome]) -> list[list[object]]:
    """The outcomes as they are encoded, statements left out where all would not fit into one frame."""
    encoded: list[list[object]] = []
    left = _OUTCOMES_BYTES - BATCH * (FIELD_BYTES + DETAIL_TEXT_BYTES + 128)
    for outcome in outcomes:
        match outcome:
            case ParcelAccepted(place=place):
                encoded.append([0, place])
            case Refusal(code=code, detail=detail) if detail.statements is not None:
                size = sum([len(statement) + 3 for statement in detail.statements])
                if size > left:
                    encoded.append(Refusal(code, attrs.evolve(detail, statements=None, start=None)).to_cbor())
                else:
                    left -= size
                    encoded.append(outcome.to_cbor())
            case Refusal():
                encoded.append(outcome.to_cbor())
            case _:
                assert_never(outcome)
    return encoded


# --- Mailbox entries ----------------------------------------------------------------------------------------


@value
class Mail:
    """An envelope in a mailbox, with the wrapped key of the mailbox's device (80 bytes)."""

    offset: int
    envelope: bytes = attrs.field(repr=False)
    sealed: bytes = attrs.field(repr=False)

    def to_cbor(self) -> list[object]:
        """The entry as it is encoded."""
        return [self.offset, 0, self.envelope, self.sealed]

    @property
    def size(self) -> int:
        """At least the bytes that the entry takes in a frame."""
        return 32 + len(self.envelope) + len(self.sealed)


@attrs.frozen
class Notice:
    """The relay could not deliver an envelope that this device sent: hearsay, never proof."""

    offset: int
    hash: Hash
    code: RejectCode

    def to_cbor(self) -> list[object]:
        """The entry as it is encoded."""
        return [
            self.offset,
            1,
            {"kind": "undeliverable", "hash": self.hash, "code": self.code.value},
        ]

    @property
    def size(self) -> int:
        """At least the bytes that the entry takes in a frame."""
        return 128


Entry = Mail | Notice
"""What a mailbox holds."""


def _as_notice(value: Value, offset: int, field: str) -> Notice:
    reader = MapReader(value, field, ("kind", "hash", "code"))
    if reader.text("kind", least=1, most=32) != "undeliverable":
        raise RemoteProtocolError(RejectCode.BAD_VALUE, "not a kind of notice", field=reader.field("kind"))
    return Notice(offset, reader.hash("hash"), reader.read("code", as_code))


def as_entries(value: Value, field: str) -> tuple[Entry, ...]:
    """Mailbox entries, 1 to 256; whether their offsets rise is for the session to judge."""
    entries: list[Entry] = []
    for item in as_array(value, field, least=1, most=BATCH):
        members = as_array(item, field, least=3, most=4)
        offset = as_uint(members[0], field)
        kind = as_uint(members[1], field, high=1)
        if len(members) != 4 - kind:
            raise RemoteProtocolError(RejectCode.BAD_VALUE, "of another length than its kind", field=field)
        if kind == 0:
            envelope = as_bytes(members[2], field)
            entries.append(Mail(offset, envelope, as_bytes(members[3], field, size=SEALED_BYTES)))
        else:
            entries.append(_as_notice(members[2], offset, f"{field}.notice"))
    return tuple(entries)
