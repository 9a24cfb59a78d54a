"""The kinds of value that this API knows beyond plain JSON: agents, ids, times, files."""

from __future__ import annotations

import base64
import binascii
import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

import attrs

from taskferry_protocol.errors import RemoteProtocolError
from taskferry_protocol.former_names import is_former
from taskferry_protocol.ids import Handle, Hash, Instant, is_name
from taskferry_protocol.limits import TIME_LIMIT

from .body import Json
from .fields import Kind, Schema, Text, bad_value, wrong_type

__all__ = [
    "ID",
    "AnyJson",
    "Base64",
    "HexHash",
    "MaybeOwnAgent",
    "Moment",
    "OwnAgent",
    "Peer",
    "ReadAgent",
    "time_text",
]

_NAME: Final = "[a-z0-9][a-z0-9_-]{0,31}"

#: The id of a message or task, or enough of its beginning.
ID: Final = Text(64, 8, pattern="[0-9a-fA-F]{8,64}", wanted="8 to 64 hexadecimal digits")


def _agent_text(value: Json, where: str) -> str:
    if not isinstance(value, str):
        raise wrong_type(where, "a text")
    return value


@attrs.frozen
class Peer(Kind[str]):
    """Somebody's agent, `@owner/name`."""

    @property
    def schema(self) -> Schema:
        """A handle."""
        return {"type": "string", "pattern": f"^@{_NAME}/{_NAME}$", "examples": ["@bob/writer"]}

    def read(self, value: Json, where: str) -> str:
        """The handle itself."""
        text = _agent_text(value, where)
        try:
            return str(Handle.parse(text))
        except RemoteProtocolError:
            raise bad_value(where, "A handle looks like @owner/agent, in small letters.") from None


@attrs.frozen
class OwnAgent(Kind[str]):
    """An agent of this owner, `name` or `@owner/name`."""

    @property
    def schema(self) -> Schema:
        """A name or a handle."""
        return {"type": "string", "pattern": f"^(?:@{_NAME}/)?{_NAME}$", "examples": ["writer"]}

    def read(self, value: Json, where: str) -> str:
        """The text itself."""
        text = _agent_text(value, where)
        if text.startswith("@"):
            return Peer().read(text, where)
        if not is_name(text):
            raise bad_value(where, "An agent is named by 1 to 32 of a-z, 0-9, _ and -, or as @owner/name.")
        return text


@attrs.frozen
class MaybeOwnAgent(Kind[str | None]):
    """An agent of this owner; an empty text stands for none."""

    @property
    def schema(self) -> Schema:
        """A name, a handle, or nothing."""
        return {"type": "string", "pattern": f"^(?:(?:@{_NAME}/)?{_NAME})?$", "examples": ["writer"]}

    def read(self, value: Json, where: str) -> str | None:
        """The text, None if it is empty."""
        return None if value == "" else OwnAgent().read(value, where)


@attrs.frozen
class ReadAgent(Kind[str | None]):
    """An agent of this owner, or a former one, `name~1`, of which one reads; an empty text is for none."""

    @property
    def schema(self) -> Schema:
        """A name, a handle, or nothing."""
        pattern = f"^(?:(?:@{_NAME}/)?{_NAME}(?:~[1-9][0-9]{{0,3}})?)?$"
        return {"type": "string", "pattern": pattern, "examples": ["writer"]}

    def read(self, value: Json, where: str) -> str | None:
        """The text, None if it is empty."""
        if isinstance(value, str) and is_former(value.rpartition("/")[2]):
            OwnAgent().read(value.partition("~")[0], where)
            return value
        return MaybeOwnAgent().read(value, where)


@attrs.frozen
class AnyJson(Kind[Json]):
    """Any JSON value but null."""

    @property
    def schema(self) -> Schema:
        """No constraint."""
        return {}

    def read(self, value: Json, where: str) -> Json:
        """The value itself."""
        return value


@attrs.frozen
class HexHash(Kind[Hash]):
    """A whole hash in hexadecimal."""

    @property
    def schema(self) -> Schema:
        """64 digits."""
        return {"type": "string", "pattern": "^[0-9a-fA-F]{64}$"}

    def read(self, value: Json, where: str) -> Hash:
        """The 32 bytes."""
        if not isinstance(value, str):
            raise wrong_type(where, "a text")
        if not re.fullmatch("[0-9a-fA-F]{64}", value, re.ASCII):
            raise bad_value(where, f"{where} must be 64 hexadecimal digits.")
        return Hash(bytes.fromhex(value))


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
#: The last millisecond that RFC 3339 can write; a peer may name later ones.
_LAST: Final = 253_402_300_799_999
_TIME: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?(?:[Zz]|[+-][0-9]{2}:[0-9]{2})",
    re.ASCII,
)


@attrs.frozen
class Moment(Kind[Instant]):
    """A time with its offset from UTC (RFC 3339)."""

    @property
    def schema(self) -> Schema:
        """A date-time."""
        return {"type": "string", "format": "date-time"}

    def read(self, value: Json, where: str) -> Instant:
        """UTC milliseconds."""
        if not isinstance(value, str):
            raise wrong_type(where, "a text")
        wanted = bad_value(where, f"{where} must be a time such as 2030-01-31T12:00:00Z.")
        if not _TIME.fullmatch(value):
            raise wanted
        try:
            instant = (datetime.fromisoformat(value.upper()) - _EPOCH) // timedelta(milliseconds=1)
        except (ValueError, OverflowError):
            raise wanted from None
        if not 0 <= instant < TIME_LIMIT:
            raise wanted
        return Instant(instant)


@lru_cache(maxsize=1_024)
def time_text(at: Instant) -> str:
    """RFC 3339 in UTC with milliseconds."""
    at_utc = _EPOCH + timedelta(milliseconds=min(at, _LAST))
    return at_utc.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


@attrs.frozen
class Base64(Kind[bytes]):
    """Bytes in base64 (RFC 4648 section 4)."""

    @property
    def schema(self) -> Schema:
        """Encoded content."""
        return {"type": "string", "contentEncoding": "base64"}

    def read(self, value: Json, where: str) -> bytes:
        """The bytes. Padding is needed, line breaks are not allowed."""
        if not isinstance(value, str):
            raise wrong_type(where, "base64 in a text")
        try:
            return base64.b64decode(value.encode("ascii"), validate=True)
        except (binascii.Error, UnicodeEncodeError):
            raise bad_value(where, f"{where} is not base64.") from None
