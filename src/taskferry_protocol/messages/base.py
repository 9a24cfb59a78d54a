"""What all message bodies share: their class, their table of fields, reading and writing by that table.

A body is open: keys that this version does not know are kept in `extra` (spec/messages.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import ClassVar, Final, Protocol, Self, TypeVar, cast

import attrs

from ..cbor import Value
from ..errors import LocalProtocolError
from ..shape import MapReader
from ..values import value

__all__ = ["Body", "MessageClass", "Presence", "Wire", "kept"]


class MessageClass(StrEnum):
    """What permissions and rates go by; all that a relay sees of a message's type."""

    ACCOUNT = "account"
    ARTIFACT = "artifact"
    CONNECTION = "connection"
    MESSAGE = "message"
    RECEIPT = "receipt"
    TASK = "task"


class Presence(StrEnum):
    """Whether a field must be there."""

    REQUIRED = "required"
    OPTIONAL = "optional"


_PLAIN: Final = frozenset({bool, bytes, int, str, type(None)})


def _encodable(value: object) -> object:
    """Tuples as arrays, what has a `to_cbor` by that, everything else as it is."""
    if type(value) in _PLAIN:
        return value  # nearly always; asking for a method costs more than all the rest
    if isinstance(value, tuple):
        return [_encodable(element) for element in value]
    # By the method's name: whether it is of a protocol takes as long to ask as to encode it.
    to_cbor = getattr(value, "to_cbor", None)
    return value if to_cbor is None else to_cbor()


@attrs.frozen
class Wire:
    """One field of a body: its key, how it is read, and the attribute that holds it.

    `read(value, field name)` raises RemoteProtocolError. An optional field that is None is left out.
    """

    key: str
    read: Callable[[Value, str], object]
    presence: Presence = Presence.REQUIRED
    attribute: str = attrs.field()

    @attribute.default
    def _same_as_key(self) -> str:
        return self.key


T_co = TypeVar("T_co", covariant=True)


class _Make(Protocol[T_co]):
    """A body's constructor, as the table sees it: the readers have checked every type already."""

    def __call__(self, **fields: object) -> T_co: ...


def _kept() -> dict[str, Value]:
    return {}


@value
class Body:
    """The typed content of a message. Subclasses say their type, their class and their fields.

    `extra` holds the members that this version does not know, as decoded.
    """

    type_name: ClassVar[str]
    message_class: ClassVar[MessageClass]
    wire: ClassVar[tuple[Wire, ...]]

    extra: Mapping[str, Value] = attrs.field(factory=_kept, kw_only=True)

    @classmethod
    def read(cls, value: Value, where: str) -> Self:
        """The body in a decoded map.

        Raises RemoteProtocolError: missing-field, wrong-type, bad-value, too-many, unknown-field (in a part).
        """
        required = (wire.key for wire in cls.wire if wire.presence is Presence.REQUIRED)
        reader = MapReader.open(value, where, required)
        fields = {wire.attribute: reader.read(wire.key, wire.read) for wire in cls.wire if wire.key in reader}
        make = cast("_Make[Self]", cls)
        unknown = reader.extra(wire.key for wire in cls.wire)  # noqa: S610 (no database is near)
        return make(**fields, extra=unknown)

    def to_cbor(self) -> dict[str, object]:
        """The map that is encoded. Raises LocalProtocolError where `extra` holds a key of this version."""
        members = dict(kept(self.extra, (wire.key for wire in self.wire)))
        for wire in self.wire:
            value: object = getattr(self, wire.attribute)
            if value is not None or wire.presence is Presence.REQUIRED:
                members[wire.key] = _encodable(value)
        return members


def kept(extra: Mapping[str, Value], known: Iterable[str]) -> Mapping[str, object]:
    """`extra` itself, which must not hide a known key. Raises LocalProtocolError."""
    hidden = sorted(extra.keys() & set(known))
    if hidden:
        raise LocalProtocolError(f"extra fields may not be named like known ones: {', '.join(hidden)}")
    return extra
