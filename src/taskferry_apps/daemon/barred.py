"""Barred events, kept in mind: set aside for want of permission, and looked at again once there is more.

What is in mind of a connection is noted in the very commit that sets it aside, with what was allowed then. It
is looked at again, oldest first and each in a commit of its own, when the owner's word on that connection is
another: so a daemon that ends between two of them goes on where it was.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from typing import Final, Self

import attrs

from taskferry_protocol.barred import is_barred
from taskferry_protocol.envelope import Envelope
from taskferry_protocol.ids import Hash, Instant, sha256
from taskferry_protocol.inbound import Quarantine
from taskferry_protocol.records import ConnectionState, DropSetting, PutSetting

from .bonds import Bond, bonds_between, relation
from .bounds import BOUNDS
from .draft import Draft

__all__ = [
    "MOST_ITEMS",
    "Item",
    "Note",
    "barred_by",
    "connections_with_notes",
    "keep_note",
    "note_barred",
    "read_note",
    "said",
]

MOST_ITEMS: Final = BOUNDS.barred_items
MOST_BYTES: Final = BOUNDS.barred_bytes
#: The setting that names the connections of which something is noted.
_CONNECTIONS: Final = "barred"


@attrs.frozen
class Item:
    """One barred event: what it takes in quarantine, and until when it may come back."""

    hash: Hash
    size: int
    expires_at: Instant


@attrs.frozen
class Note:
    """What is barred of one connection, oldest first.

    `said` is what the owner had said of the connection when the first `judged` of them were looked at.
    """

    said: str
    judged: int = 0
    items: tuple[Item, ...] = ()

    @property
    def is_due(self) -> bool:
        """Whether some have still to be looked at."""
        return self.judged < len(self.items)

    def by(self, word: str) -> Self:
        """The same by what the owner says now: if that is something else, all are to be looked at."""
        return self if word == self.said else attrs.evolve(self, said=word, judged=0)

    def passing(self) -> Self:
        """The next one stays barred."""
        return attrs.evolve(self, judged=self.judged + 1)

    def without_next(self) -> Self:
        """The next one is none any more."""
        return attrs.evolve(self, items=(*self.items[: self.judged], *self.items[self.judged + 1 :]))

    def with_item(self, item: Item, now: Instant) -> Self:
        """With one more that was looked at, if there is room once those whose time is over are gone."""
        lives = [one.expires_at > now for one in self.items]
        items = tuple(one for one, alive in zip(self.items, lives, strict=True) if alive)
        judged = sum(lives[: self.judged])
        size = sum(one.size for one in items) + item.size
        if len(items) >= MOST_ITEMS or size > MOST_BYTES or any(one.hash == item.hash for one in items):
            return attrs.evolve(self, judged=judged, items=items)
        if judged == len(items):
            judged += 1
        return attrs.evolve(self, judged=judged, items=(*items, item))


def said(bond: Bond) -> str:
    """Which words of the owner's say what the peer of a connection may send."""
    record = bond.record
    mine = [(one.raw, one.terms) for one in record.grants if one.grantor == record.mine]
    return sha256(b"".join(sha256(part) for one in sorted(mine) for part in one)).hex()


def _key(request: Hash) -> str:
    return f"barred {request.hex()}"


async def connections_with_notes(draft: Draft) -> tuple[Hash, ...]:
    """The connections of which something is noted, as their requests."""
    raw = await draft.setting(_CONNECTIONS)
    return tuple(Hash(bytes.fromhex(text)) for text in json.loads(raw)) if raw else ()


async def read_note(draft: Draft, request: Hash) -> Note | None:
    """What is noted of a connection."""
    raw = await draft.setting(_key(request))
    if not raw:
        return None
    read = json.loads(raw)
    items = (Item(Hash(bytes.fromhex(hash)), size, Instant(until)) for hash, size, until in read["items"])
    return Note(read["said"], read["judged"], tuple(items))


async def keep_note(draft: Draft, request: Hash, note: Note | None) -> None:
    """Note this of a connection; nothing is kept of one of which nothing is barred."""
    noted = await connections_with_notes(draft)
    if note is None or not note.items:
        draft.add(DropSetting(_key(request)))
        if request in noted:
            _name(draft, (one for one in noted if one != request))
        return
    items = [[item.hash.hex(), item.size, item.expires_at] for item in note.items]
    text = json.dumps({"said": note.said, "judged": note.judged, "items": items}, separators=(",", ":"))
    draft.add(PutSetting(_key(request), text.encode()))
    if request not in noted:
        _name(draft, (*noted, request))


def _name(draft: Draft, requests: Iterable[Hash]) -> None:
    names = [request.hex() for request in requests]
    draft.add(PutSetting(_CONNECTIONS, json.dumps(names).encode()) if names else DropSetting(_CONNECTIONS))


async def note_barred(draft: Draft, item: Quarantine, envelope: Envelope, size: int) -> None:
    """Keep in mind what was set aside of an envelope, if it is barred."""
    header = envelope.header
    bonds = await bonds_between(draft.core.store, header.to, header.from_)
    if not is_barred(item, relation(bonds)):
        return
    bond = next(one for one in reversed(bonds) if one.record.state is ConnectionState.ACCEPTED)
    note = await read_note(draft, bond.record.request) or Note(said(bond))
    kept = note.with_item(Item(item.hash, size, header.expires_at), draft.now)
    await keep_note(draft, bond.record.request, kept)


async def barred_by(draft: Draft, requests: Sequence[Hash] | None = None) -> Collection[Hash]:
    """All that is barred and whose time is not over, of these connections or of all."""
    wanted = await connections_with_notes(draft) if requests is None else requests
    notes = [await read_note(draft, request) for request in wanted]
    return {
        item.hash for note in notes if note is not None for item in note.items if item.expires_at > draft.now
    }
