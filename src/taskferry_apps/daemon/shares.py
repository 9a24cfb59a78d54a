"""Posting to the owner's other devices what they lack, in envelopes of a bounded size.

What all of them are to know goes to all; what a new one is given of before is sealed to that one alone, for
the owner chose for each how much of it that is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from taskferry_protocol.ids import AccountId, AgentRef, DeviceId, Hash
from taskferry_protocol.limits import ENVELOPE_BYTES
from taskferry_protocol.messages import (
    DeviceShare,
    SharedAccount,
    SharedAgent,
    SharedCard,
    SharedConnection,
    SharedItem,
    SharedLabel,
    SharedMessage,
)
from taskferry_protocol.records import PeerConnection, PinnedAccount, SealedRecord, Trust

from .draft import Draft

__all__ = ["account_items", "connection_item", "message_items", "pinned_items", "share", "share_with"]

#: One share: several fit in the relay's window, and one is folded in a moment.
_SHARE_BYTES: Final = 150_000
_SHARE_ITEMS: Final = 64
_STATEMENTS: Final = 64
#: An envelope beyond this does not fit into another one with its padding.
_LARGEST: Final = ENVELOPE_BYTES - 6_000


def account_items(
    account: AccountId, name: str, statements: Sequence[bytes], trust: Trust, held: str = ""
) -> list[SharedItem]:
    """A pinned account as it is shared: its whole log, in parts that each fit into an envelope."""
    items: list[SharedItem] = []
    start = size = 0
    for end, raw in enumerate(statements):
        if end > start and (end - start >= _STATEMENTS or size + len(raw) > _SHARE_BYTES):
            items.append(SharedAccount(account, name, trust.value, held, start, tuple(statements[start:end])))
            start, size = end, 0
        size += len(raw)
    if start < len(statements):
        items.append(SharedAccount(account, name, trust.value, held, start, tuple(statements[start:])))
    return items


def pinned_items(pinned: PinnedAccount) -> list[SharedItem]:
    """An account as it stands here; of our own, nothing: each device has it from the relay."""
    if pinned.trust is Trust.OWN:
        return []
    record = pinned.record
    return account_items(record.account, record.name, record.statements, pinned.trust, record.held)


def connection_item(made: PeerConnection) -> SharedItem:
    """A connection as it stands here."""
    grants = tuple((grant.raw, grant.terms) for grant in made.grants)
    again = made.again_at if made.end_kind == "declined" else None
    return SharedConnection(
        made.request_raw, made.accept_raw, made.end_raw, made.note, made.created_at, grants, again
    )


def message_items(sealed: Iterable[SealedRecord]) -> list[SharedItem]:
    """Messages as they were sent, those apart that are too large to be passed on."""
    return [SharedMessage(kept.envelope, kept.key) for kept in sealed if len(kept.envelope) <= _LARGEST]


async def share(draft: Draft, items: Sequence[SharedItem]) -> None:
    """Post items to all of the owner's other devices, if there are any and they would believe this one."""
    state = (await draft.own_log()).state
    mine = state.devices.get(draft.core.device)
    if len(state.active_devices()) > 1 and mine is not None and mine.record.manage is not None:
        await _post(draft, AgentRef(draft.core.own, ""), items, 0, 0)


async def share_with(
    draft: Draft, device: DeviceId, items: Sequence[SharedItem], *, done: int = 0, total: int = 0
) -> Hash:
    """Post items to one other device, which no further one can open; the hash of the last envelope.

    `done` of `total` messages of history are through with them. Raises DaemonRefusal if it is gone.
    """
    return await _post(draft, AgentRef.to_device(draft.core.own, device), items, done, total)


async def _post(draft: Draft, to: AgentRef, items: Sequence[SharedItem], done: int, total: int) -> Hash:
    own = AgentRef(draft.core.own, "")
    posted = [await draft.post_quietly(DeviceShare(chunk, done, total), own, to) for chunk in _chunks(items)]
    return posted[-1].hash


def _chunks(items: Sequence[SharedItem]) -> Iterator[tuple[SharedItem, ...]]:
    chunk: list[SharedItem] = []
    size = 0
    for item in items:
        takes = _size(item)
        is_full = len(chunk) >= _SHARE_ITEMS or size + takes > _SHARE_BYTES
        if chunk and (is_full or _is_plain(item) is not _is_plain(chunk[-1])):
            yield tuple(chunk)
            chunk, size = [], 0
        chunk.append(item)
        size += takes
    yield tuple(chunk)


def _is_plain(item: SharedItem) -> bool:
    """Whether earlier programs read it, too: they set a message aside for one word that they do not know."""
    match item:
        case SharedConnection(again=again):
            return again is None
        case SharedLabel(at=at):
            return not at
        case _:
            return True


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
        case SharedLabel() | SharedAgent():
            return 256
