"""What a case module yields, and how it is written down."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Json = str | int | bool | None | Sequence["Json"] | Mapping[str, "Json"]
ACCEPT = "accept"


@dataclass(frozen=True)
class Vector:
    """One scenario: its place in `spec/vectors/` and its members in the order written."""

    area: str
    name: str
    members: Mapping[str, Json]

    @property
    def path(self) -> str:
        """The file below `spec/vectors/`."""
        return f"{self.area}/{self.name}.json"

    def text(self) -> str:
        """The file's content."""
        return json.dumps(self.members, indent=1, ensure_ascii=False) + "\n"


def vector(
    area: str,
    name: str,
    kind: str,
    section: str,
    comment: str,
    expect: str,
    *,
    now_ms: int | None = None,
    **members: Json,
) -> Vector:
    """A vector of an area; `members` are its inputs and what is decoded, in order."""
    top: dict[str, Json] = {"spec": section, "comment": comment, "kind": kind}
    if now_ms is not None:
        top["now_ms"] = now_ms
    decoded = {"decoded": members.pop("decoded")} if "decoded" in members else {}
    return Vector(area, name, {**top, **members, "expect": expect, **decoded})


def hexes(items: Sequence[bytes]) -> list[str]:
    """Byte strings as vectors write them."""
    return [item.hex() for item in items]
