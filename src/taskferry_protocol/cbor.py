"""Strict deterministic CBOR (RFC 8949 section 4.2.1; spec/taskferry.md section 2). Sole importer of cbor2.

`encode` writes the one form there is; `decode` refuses every other. The fast path lets cbor2 read, checks
exact types and compares a re-encoding; only a refused input is walked a second time, to find the exact code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NoReturn, cast

import cbor2

from .errors import LocalProtocolError, RejectCode, RemoteProtocolError
from .limits import CBOR_DEPTH, CBOR_ITEMS, FRAME_BYTES, UINT_LIMIT

__all__ = ["Value", "decode", "encode"]

Value = int | bytes | str | bool | None | list["Value"] | dict[str, "Value"]
"""What CBOR becomes in here: exactly these types, no subclass, no float."""


def encode(value: object) -> bytes:
    """The deterministic encoding of `value`: int, bytes, str, bool, None, lists and text-keyed maps of them.

    Raises LocalProtocolError for anything else.
    """
    try:
        # Length-first order (RFC 7049) equals bytewise order while all keys are of one major type, as here.
        return cbor2.dumps(value, canonical=True)
    except (cbor2.CBOREncodeError, TypeError, ValueError, OverflowError) as error:
        raise LocalProtocolError(f"cannot be encoded: {error}") from error


def decode(data: bytes, *, limit: int = FRAME_BYTES, items: int = CBOR_ITEMS) -> Value:
    """The value that `data` is the deterministic encoding of: at most `limit` bytes and `items` items.

    Raises RemoteProtocolError with too-large, too-many, malformed, too-deep, forbidden-item or not-canonical.
    """
    if len(data) > limit:
        raise RemoteProtocolError(RejectCode.TOO_LARGE, f"{len(data)} bytes, {limit} allowed")
    # An item takes a byte at least, so what is short need not be counted.
    if len(data) > items and _has_more_items(data, items):
        raise RemoteProtocolError(RejectCode.TOO_MANY, f"{items} items are allowed")
    try:
        value = cbor2.loads(
            data,
            max_depth=CBOR_DEPTH,
            allow_indefinite=False,
            allow_duplicate_keys=False,
            semantic_decoders=_REFUSE_TAGS,
            tag_hook=_refuse_tag,
        )
        if _plain(value) and cbor2.dumps(value, canonical=True) == data:
            return cast("Value", value)
    except (cbor2.CBORError, ValueError, TypeError, OverflowError, RecursionError, LookupError, MemoryError):
        pass  # the second look below says exactly what is wrong
    _diagnose(data)


def _has_more_items(data: bytes, most: int) -> bool:
    """Whether more than `most` items begin in `data`, by their heads alone. Ill-formed ones count too."""
    at, end = 0, len(data)
    for _ in range(most):
        if at >= end:
            return False
        head = data[at]
        number = head & 0x1F
        at += 1
        if 24 <= number < 28:
            size = 1 << (number - 24)
            number = int.from_bytes(data[at : at + size], "big")
            at += size
        if head >> 5 in (2, 3) and head & 0x1F < 28:
            at += number
    return at < end


class _TagSeen(ValueError):
    """A tag where none may stand."""


def _refuse_tag(*_: object) -> NoReturn:
    raise _TagSeen


# cbor2 gives meaning to these tags before any hook sees them: dates, bignums, regular expressions, cycles.
_REFUSE_TAGS: Final = dict.fromkeys(
    (0, 1, 2, 3, 4, 5, 25, 28, 29, 30, 35, 36, 37, 52, 54, 100, 256, 258, 260, 261, 1004, 43000, 55799),
    _refuse_tag,
)


def _plain(value: object, room: int = CBOR_DEPTH) -> bool:
    # cbor2 lets an empty array or map stand one level below max_depth, so levels are counted here too.
    kind = type(value)
    if kind is int:
        return -UINT_LIMIT <= cast("int", value) < UINT_LIMIT
    if kind is bytes or kind is str or kind is bool or value is None:
        return True
    if kind is list and room:
        return all(_plain(member, room - 1) for member in cast("list[object]", value))
    if kind is dict and room:
        for key, member in cast("dict[object, object]", value).items():
            if type(key) is not str or not _plain(member, room - 1):
                return False
        return True
    return False


def _diagnose(data: bytes) -> NoReturn:
    """Walk the bytes once more and raise the first fault by precedence."""
    worst = _Walk(data).run()
    if worst is None:
        raise RemoteProtocolError(RejectCode.MALFORMED, "not an encoding that this version reads")
    raise RemoteProtocolError(worst, _WORDS[worst])


_WORDS: Final[Mapping[RejectCode, str]] = {
    RejectCode.MALFORMED: "truncated, ill-formed, or followed by other bytes",
    RejectCode.TOO_DEEP: f"nested deeper than {CBOR_DEPTH}",
    RejectCode.FORBIDDEN_ITEM: "a float, a tag, a simple value or a key that is not text",
    RejectCode.NOT_CANONICAL: "not the deterministic encoding",
}
_PRECEDENCE: Final[Sequence[RejectCode]] = tuple(_WORDS)


class _Malformed(Exception):
    """The walk cannot go on."""


class _Bottomless(Exception):
    """Nested so deep that what follows does not matter."""


class _Walk:
    """One pass over well-formed CBOR, iterative in memory bounded by the nesting limit, collecting faults."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._faults: set[RejectCode] = set()

    def run(self) -> RejectCode | None:
        try:
            self._item(1)
            if self._at != len(self._data):
                raise _Malformed
        except _Bottomless:
            return RejectCode.TOO_DEEP
        except _Malformed:
            return RejectCode.MALFORMED
        return next((code for code in _PRECEDENCE if code in self._faults), None)

    def _take(self, count: int) -> bytes:
        end = self._at + count
        if end > len(self._data):
            raise _Malformed
        piece = self._data[self._at : end]
        self._at = end
        return piece

    def _head(self) -> tuple[int, int, int | None]:
        first = self._take(1)[0]
        major, info = first >> 5, first & 0x1F
        if info < 24:
            return major, info, info
        if info < 28:
            size = 1 << (info - 24)
            number = int.from_bytes(self._take(size), "big")
            shortest = 24 if size == 1 else 1 << (4 * size)
            if major != 7 and number < shortest:
                self._faults.add(RejectCode.NOT_CANONICAL)
            return major, info, number
        if info == 31 and major in (2, 3, 4, 5):
            self._faults.add(RejectCode.NOT_CANONICAL)
            return major, info, None
        raise _Malformed

    def _item(self, depth: int) -> int:
        """Walk one item, and give its major type."""
        if depth > 3 * CBOR_DEPTH:
            # Far past the limit already: say so instead of following the nesting down.
            raise _Bottomless
        major, info, number = self._head()
        if major in (2, 3):
            self._string(major, number)
        elif major in (4, 5):
            if depth > CBOR_DEPTH:
                self._faults.add(RejectCode.TOO_DEEP)
            if major == 4:
                self._array(number, depth)
            else:
                self._map(number, depth)
        elif major == 6:
            self._faults.add(RejectCode.FORBIDDEN_ITEM)
            self._item(depth + 1)
        elif major == 7:
            self._simple(info, number)
        return major

    def _string(self, major: int, number: int | None) -> None:
        if number is None:
            while not self._break():
                inner, _, size = self._head()
                if inner != major or size is None:
                    raise _Malformed
                self._text(major, self._take(size))
        else:
            self._text(major, self._take(number))

    @staticmethod
    def _text(major: int, piece: bytes) -> None:
        if major == 3:
            try:
                piece.decode()
            except UnicodeDecodeError as error:
                raise _Malformed from error

    def _break(self) -> bool:
        if self._at < len(self._data) and self._data[self._at] == 0xFF:
            self._at += 1
            return True
        return False

    def _array(self, number: int | None, depth: int) -> None:
        if number is None:
            while not self._break():
                self._item(depth + 1)
            return
        self._enough(number)
        for _ in range(number):
            self._item(depth + 1)

    def _map(self, number: int | None, depth: int) -> None:
        before: bytes | None = None
        if number is not None:
            self._enough(number)
        count = 0
        while number is None or count < number:
            if number is None and self._break():
                return
            start = self._at
            if self._item(depth + 1) != 3:
                self._faults.add(RejectCode.FORBIDDEN_ITEM)
            key = self._data[start : self._at]
            if before is not None and key <= before:
                self._faults.add(RejectCode.NOT_CANONICAL)
            before = key
            self._item(depth + 1)
            count += 1

    def _enough(self, number: int) -> None:
        # Each element takes a byte at least, so a forged count ends here and not in a long loop.
        if number > len(self._data) - self._at:
            raise _Malformed

    def _simple(self, info: int, number: int | None) -> None:
        if info in (20, 21, 22):
            return
        if info == 24 and number is not None and number < 32:
            raise _Malformed
        self._faults.add(RejectCode.FORBIDDEN_ITEM)
