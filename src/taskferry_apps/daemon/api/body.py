"""Strict JSON in: one meaning a text, bounded in depth and numbers, or an exact refusal (RFC 8259).

What Python's parser lets pass is refused here: repeated names, NaN, infinities, half surrogate pairs.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Final, NoReturn, TypeAlias

from ..bounds import BOUNDS
from .errors import refusal

__all__ = ["JSON_DEPTH", "Json", "canonical", "compact", "parse_json"]

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

JSON_DEPTH: Final = BOUNDS.json_depth
#: What every language's 64-bit integers hold; larger ones would change on their way.
_WHOLE_LIMIT: Final = 2**63
_DIGITS: Final = 19
_SHOWN_NAME: Final = 64


class _Refused(ValueError):
    """Why the parser's hooks stop; the field is named where there is one."""

    def __init__(self, text: str, field: str = "") -> None:
        super().__init__(text)
        self.field = field


def parse_json(raw: bytes) -> Json:
    """The value that `raw` stands for. Raises DaemonRefusal: malformed, too-deep, bad-value."""
    try:
        text = raw.decode("utf-8")
        value: Json = _DECODER.decode(text)
    except _Refused as error:
        raise refusal("malformed", f"{error}.", "Send other JSON.", field=error.field) from error
    except UnicodeDecodeError as error:
        raise refusal("malformed", "The body is not UTF-8.", "Send JSON in UTF-8.") from error
    except RecursionError as error:
        raise _too_deep() from error
    except ValueError as error:
        raise refusal("malformed", f"The body is not JSON: {error}.", "Send one JSON value.") from error
    _check_depth(value)
    if "\\u" in text:
        _check_surrogates(value)
    return value


def compact(value: object) -> bytes:
    """JSON without spaces, names in the order in which they stand."""
    return _COMPACT.encode(value).encode()


def canonical(value: Json) -> bytes:
    """The same with sorted names: equal values give equal bytes."""
    return json.dumps(
        value, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")
    ).encode()


def _unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise _Refused("A name stands twice in one object", name[:_SHOWN_NAME])
            seen.add(name)
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise _Refused(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise _Refused("A number is too large")
    return number


def _whole(text: str) -> int:
    # The digits are counted first: converting very many of them takes long, or fails.
    if len(text.removeprefix("-")) > _DIGITS or not -_WHOLE_LIMIT <= (number := int(text)) < _WHOLE_LIMIT:
        raise _Refused("A whole number has more than 64 bits")
    return number


# Made once: `json.loads` and `json.dumps` make one each time that they are not asked for the default.
_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_unique, parse_constant=_refuse_constant, parse_float=_finite, parse_int=_whole
)
_COMPACT: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _children(value: Json) -> Iterable[Json]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _check_depth(value: Json) -> None:
    level: list[Json] = [value]
    for _ in range(JSON_DEPTH + 1):
        level = [child for parent in level for child in _children(parent)]
        if not level:
            return
    raise _too_deep()


def _too_deep() -> Exception:
    return refusal("too-deep", f"The JSON is nested deeper than {JSON_DEPTH}.", "Send flatter JSON.")


def _check_surrogates(value: Json) -> None:
    waiting: list[Json] = [value]
    while waiting:
        item = waiting.pop()
        texts = list(item) if isinstance(item, dict) else [item]
        if any(isinstance(text, str) and not _encodable(text) for text in texts):
            raise refusal("malformed", "A text holds half a surrogate pair.", "Send whole characters.")
        waiting.extend(_children(item))


def _encodable(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)
