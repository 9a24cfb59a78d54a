"""Posting to the owner's other devices what they lack, in envelopes of a bounded size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from taskferry_protocol.ids import AccountId, AgentRef, Hash
from taskferry_protocol.messages import (
    DeviceShare,
    SharedAccount,
    SharedCard,
    SharedConnection,
    SharedItem,
    SharedLabel,
    SharedMessage,
)
from taskferry_protocol.records import Trust

from .draft import Draft

__all__ = ["account_items", "share"]

#: One share: several fit in the relay's window, and one is folded in a moment.
_SHARE_BYTES: Final = 150_000
_SHARE_ITEMS: Final = 64
_STATEMENTS: Final = 64


def account_items(
    account: AccountId, name: str, statements: Sequence[bytes], trust: Trust, held: str = ""
) -> list[SharedItem]:
    """A pinned account as it is shared: its whole log, a part an item."""
    return [
        SharedAccount(account, name, trust.value, held, start, tuple(statements[start : start + _STATEMENTS]))
        for start in range(0, len(statements), _STATEMENTS)
    ]


async def share(draft: Draft, items: Sequence[SharedItem], *, done: int = 0, total: int = 0) -> Hash | None:
    """Post items to the owner's other devices, if there are any; the hash of the last envelope."""
    log = await draft.own_log()
    if len(log.state.active_devices()) < 2:
        return None
    own, last = AgentRef(draft.core.own, ""), None
    for chunk in _chunks(items):
        posted = await draft.post_quietly(DeviceShare(chunk, done, total), own, own)
        last = posted.hash
    return last


def _chunks(items: Sequence[SharedItem]) -> Iterator[tuple[SharedItem, ...]]:
    chunk: list[SharedItem] = []
    size = 0
    for item in items:
        takes = _size(item)
        if chunk and (len(chunk) >= _SHARE_ITEMS or size + takes > _SHARE_BYTES):
            yield tuple(chunk)
            chunk, size = [], 0
        chunk.append(item)
        size += takes
    yield tuple(chunk)


def _size(item: SharedItem) -> int:
    match item:
        case SharedAccount(statements=statements):
            return 512 + sum(map(len, statements))
        case SharedCard(card=card):
            return 64 + len(card)
        case SharedConnection(request=request, accept=accept, end=end, grants=grants):
            return 2_048 + len(request) + len(accept) + len(end) + sum(len(g) + len(t) for g, t in grants)
        case SharedMessage(envelope=envelope):
            return 128 + len(envelope)
        case SharedLabel():
            return 256
