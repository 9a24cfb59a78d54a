"""Rows and bodies to the values that callers are shown. Nothing is decided in here."""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Mapping, Sequence
from typing import Final

import attrs

from taskferry_protocol.cards import Card
from taskferry_protocol.ids import AccountId, AgentRef, Hash
from taskferry_protocol.messages import Body, Content, TaskRequest, decode_content
from taskferry_protocol.records import (
    Direction,
    EventRecord,
    InboxState,
    MessageRecord,
    QuarantineRecord,
    TokenRecord,
)

from .barred import barred_by, connections_with_notes
from .bonds import Bond
from .cards import peer_cards
from .core import Core
from .delivery import deliveries
from .draft import Draft
from .grants import Allowance
from .identity_changes import trust_in
from .names import handle_of
from .quarantine_words import next_step
from .starting import may_start
from .views import (
    CardView,
    ConnectionView,
    EventView,
    GrantView,
    MessageView,
    QuarantineView,
    TokenView,
)

__all__ = [
    "connection_view",
    "connection_views",
    "event_view",
    "message_views",
    "payload_of",
    "quarantine_view",
    "token_view",
]

#: What only machines read: signed statements, grants, logs.
_MACHINERY: Final = frozenset({"statement", "grant", "terms", "log", "invite", "statements"})
_HASHES: Final = frozenset({"hash", "sha256", "blob", "task"})


def payload_of(body: Body) -> dict[str, object]:
    """A body as JSON: hashes in hexadecimal, other bytes in base64, what only machines read left out."""
    return {key: _json(key, value) for key, value in body.to_cbor().items() if key not in _MACHINERY}


def _json(key: str, value: object) -> object:
    match value:
        case bytes():
            return value.hex() if key in _HASHES else base64.b64encode(value).decode()
        case list() | tuple():
            return [_json(key, item) for item in value]
        case dict():
            return {str(name): _json(str(name), item) for name, item in value.items()}
        case _:
            return value


_STATES: Final = {
    InboxState.UNREAD: "unread",
    InboxState.READ: "read",
    InboxState.PROCESSED: "processed",
    InboxState.HELD: "held",
    InboxState.STOPPED: "held",
    InboxState.DROPPED: "dropped",
    InboxState.QUIET: "",
}


async def message_views(core: Core, messages: Sequence[MessageRecord]) -> tuple[MessageView, ...]:
    """Messages as shown, in their order."""
    trust = await trust_in(core.store, {message.peer.account for message in messages})
    titles = await _titles(core, messages)
    started = await may_start(core, messages)
    ladders = await deliveries(core, messages)
    views = []
    for message in messages:
        content = decode_content(message.content)
        views.append(
            MessageView(
                id=message.hash,
                direction=message.direction.value,
                type=message.type,
                mine=await handle_of(core, message.mine),
                peer=await handle_of(core, message.peer),
                conversation=message.conv,
                task=message.task,
                title=_title(content, message.task, titles),
                created_at=message.created_at,
                received_at=message.stored_at if message.direction is Direction.IN else None,
                state=_STATES[message.inbox] if message.direction is Direction.IN else "",
                trust=trust.get(message.peer.account, ""),
                payload=payload_of(content.body),
                delivery=ladders.get((message.hash, message.mine.name)),
                code=message.code,
                auto_start=message.hash in started,
            )
        )
    return tuple(views)


async def _titles(core: Core, messages: Sequence[MessageRecord]) -> Mapping[Hash, str]:
    tasks = {message.task for message in messages if message.task is not None}
    rows = await core.store.tasks(tasks)
    return {task: found[0].title for task, found in rows.items() if found}


def _title(content: Content, task: Hash | None, titles: Mapping[Hash, str]) -> str:
    if isinstance(content.body, TaskRequest):
        return content.body.title
    return titles.get(task, "") if task is not None else ""


async def connection_view(core: Core, bond: Bond, message: Hash | None = None) -> ConnectionView:
    """A connection as shown; `message` is the envelope of the step just taken, if there was one."""
    (shown,) = await connection_views(core, (bond,))
    return attrs.evolve(shown, message=message)


async def connection_views(core: Core, bonds: Sequence[Bond]) -> tuple[ConnectionView, ...]:
    """Connections as shown, in their order."""
    trust = await trust_in(core.store, {bond.record.peer.account for bond in bonds})
    cards = await peer_cards(core, {bond.record.peer for bond in bonds})
    draft = Draft(core)
    noted = await connections_with_notes(draft)
    return tuple(
        [
            await _connection_view(
                core,
                bond,
                trust,
                cards,
                len(await barred_by(draft, (bond.record.request,))) if bond.record.request in noted else 0,
            )
            for bond in bonds
        ]
    )


async def _connection_view(
    core: Core, bond: Bond, trust: Mapping[AccountId, str], cards: Mapping[AgentRef, Card], barred: int
) -> ConnectionView:
    record = bond.record
    return ConnectionView(
        id=record.request,
        mine=await handle_of(core, record.mine),
        peer=await handle_of(core, record.peer),
        state=record.state.value,
        end_kind=record.end_kind,
        note=record.note,
        trust=trust.get(record.peer.account, ""),
        given=_grant_view(bond.given),
        received=_grant_view(bond.received),
        created_at=record.created_at,
        updated_at=record.updated_at,
        invite=record.invite,
        invite_state=record.invite_state,
        expires_at=record.expires_at,
        again_at=record.again_at if record.end_kind == "declined" else None,
        card=_card_view(cards.get(record.peer)),
        ended_here=bond.ended_by_us,
        barred=barred,
    )


def _card_view(card: Card | None) -> CardView | None:
    if card is None:
        return None
    return CardView(card.version, card.display_name, card.tagline, card.description, card.capabilities)


def _grant_view(allowance: Allowance | None) -> GrantView | None:
    if allowance is None:
        return None
    grant, terms = allowance.grant, allowance.terms
    return GrantView(
        version=grant.version,
        classes=tuple(sorted(cls.value for cls in grant.classes)),
        rate_per_minute=grant.rate,
        largest_bytes=grant.largest,
        until=grant.until,
        auto_trigger=terms.auto_trigger if terms is not None else False,
        human_gate=terms.human_gate if terms is not None else True,
        task_budget=terms.task_budget if terms is not None else 0,
        largest_artifact=terms.largest_artifact if terms is not None else 0,
    )


async def quarantine_view(core: Core, item: QuarantineRecord, barred: Collection[Hash]) -> QuarantineView:
    """A quarantined item as shown, given what is barred."""
    peer = await handle_of(core, item.peer) if item.peer is not None else ""
    size, is_barred = len(item.envelope), item.hash in barred
    step = next_step(item.code, item.cls, peer, is_barred=is_barred)
    return QuarantineView(
        item.hash, peer, item.code, item.text, item.received_at, size, is_barred, str(item.place), step
    )


def event_view(event: EventRecord) -> EventView:
    """A line of the feed as shown; the refs stand in its text, too."""
    facts = json.loads(event.text)
    if event.refs:
        facts.setdefault("message_id", event.refs[0].hex())
    if len(event.refs) > 1:
        facts.setdefault("task_id", event.refs[1].hex())
    text = json.dumps(facts, ensure_ascii=False, separators=(",", ":"))
    return EventView(int(event.place), event.kind, event.agent, event.refs, text, event.at)


def token_view(token: TokenRecord) -> TokenView:
    """A credential as shown."""
    return TokenView(token.digest.hex()[:16], token.label, token.agents, token.created_at, token.revoked_at)
