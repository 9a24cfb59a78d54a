"""What the relay still has to be told beside the mail: cards, connections, grants, ends, invites.

The list is durable: whoever changes one of them notes it in the same commit, and it is struck out once the
relay has it. What is noted is a name, so that always the newest is published.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import attrs

from taskferry_protocol.cbor import decode, encode
from taskferry_protocol.records import PutSetting
from taskferry_stores.port import DaemonStore

from .core import Core
from .draft import Draft

__all__ = ["Publication", "Subject", "note", "noted", "strike"]

_KEY: Final = "publish"


class Subject(StrEnum):
    """What is to be published."""

    CARD = "card"
    CONNECTION = "connection"
    GRANT = "grant"
    END = "end"
    INVITE = "invite"


@attrs.frozen
class Publication:
    """One thing to publish: a card by its agent's name (ASCII), an invite by its id, all else by the hash of
    its request.
    """

    subject: Subject
    key: bytes


async def noted(store: DaemonStore) -> tuple[Publication, ...]:
    """What is to be published, oldest first."""
    return _decode((await store.settings((_KEY,))).get(_KEY))


def _decode(raw: bytes | None) -> tuple[Publication, ...]:
    if raw is None:
        return ()
    rows = decode(raw)
    if not isinstance(rows, list):
        raise ValueError("the list of publications is damaged")
    return tuple(_read(row) for row in rows)


def _read(row: object) -> Publication:
    match row:
        case [str(subject), bytes(key)]:
            return Publication(Subject(subject), key)
        case _:
            raise ValueError("the list of publications is damaged")


def _keep(rows: tuple[Publication, ...]) -> PutSetting:
    return PutSetting(_KEY, encode([[row.subject.value, row.key] for row in rows]))


async def note(draft: Draft, *more: Publication) -> None:
    """Add to the list in this draft; what is on it already moves to its end."""
    rows = _decode(await draft.setting(_KEY))
    draft.add(_keep((*(row for row in rows if row not in more), *more)))


async def strike(core: Core, done: Publication) -> None:
    """Take one off the list, as it is published or never will be; the caller holds the core's lock."""
    rows = await noted(core.store)
    if done in rows:
        await core.commit((_keep(tuple(row for row in rows if row != done)),))
