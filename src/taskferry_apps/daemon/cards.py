"""Agents' cards: the owner changes one's own, and a connected owner's newer ones are kept.

A card's version only rises. What is older than the one held never replaces it, whoever brings it; only where
nobody stands any more by the one that is held, any other does.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping
from typing import Final

import attrs

from taskferry_protocol.accounts import AccountLog
from taskferry_protocol.audit import AuditKind
from taskferry_protocol.cards import Card, Visibility, card_stands, read_card, recall_card, sign_card
from taskferry_protocol.errors import RejectCode, RemoteProtocolError
from taskferry_protocol.ids import AgentRef, Instant
from taskferry_protocol.inbound import Standing
from taskferry_protocol.limits import UINT_LIMIT
from taskferry_protocol.messages import CardUpdate, SharedCard
from taskferry_protocol.records import CardRecord, ConnectionState, PutCard

from .arrival import Arrival
from .audience import connected_owners
from .bonds import all_bonds
from .core import Core
from .draft import Draft, refusal_of
from .names import no_agent, require_owner
from .port import Caller, CardChange, DaemonRefusal
from .publications import Publication, Subject, note
from .shares import share

__all__ = ["Cards", "peer_cards", "replacing", "sign_again", "sign_next", "take_card", "version_after"]

#: The highest version that a card can have.
LAST_VERSION: Final = UINT_LIMIT - 1
#: What can be changed, as the audit log names it.
_NAMED: Final = ("display_name", "tagline", "description", "capabilities", "visibility")


class Cards:
    """Changes the cards of this owner's agents."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def edit(self, caller: Caller, name: str, change: CardChange) -> None:
        """Sign the next version of an agent's card, unless nothing in it changes.

        Its owner's machines, the accounts that the agent is connected with and the relay are told.
        DaemonRefusal: owner-only, not-found, locked, and the codes of what a card may not say.
        """
        require_owner(caller)
        core = self._core
        async with core.lock:
            draft = Draft(core)
            log = await draft.own_log()
            if name not in log.state.agents or name not in {one.name for one in await core.store.agents()}:
                # An agent that another machine alone serves is shown, and changed, there.
                raise no_agent(name, "agent")
            ref = core.agent(name)
            record = (await core.store.cards((ref,))).get(ref)
            held = recall_card(record.raw) if record is not None else Card(ref, 0, draft.now, log.position)
            card = _changed(held, change)
            if card == held and record is not None and card_stands(record.raw, log):
                return
            core.check_may_sign()
            card = await _publish(draft, log, card)
            draft.audit(
                AuditKind.CARD_CHANGED,
                ref.name,
                version=card.version,
                changed=" ".join(name for name in _NAMED if getattr(card, name) != getattr(held, name)),
                visibility=card.visibility.value,
            )
            await draft.commit()
        core.outgoing.ring()


async def sign_again(draft: Draft, log: AccountLog) -> None:
    """Sign the cards anew that a machine signed which was put out: nobody else takes its word any more.

    DaemonRefusal where this device may not sign for the account.
    """
    core = draft.core
    refs = [core.agent(name) for name in sorted(log.state.agents)]
    for record in (await core.store.cards(refs)).values():
        if not card_stands(record.raw, log):
            await _publish(draft, log, recall_card(record.raw))


async def _publish(draft: Draft, log: AccountLog, card: Card) -> Card:
    """Sign a card's next version, and tell whoever shows it."""
    ref = card.agent
    card, raw = await sign_next(draft, log, card)
    await share(draft, (SharedCard(raw),))
    await _tell_connected(draft, ref, raw)
    await note(draft, Publication(Subject.CARD, ref.name.encode()))
    draft.tell("agent", ref.name, state="edited", version=card.version)
    return card


def _changed(card: Card, change: CardChange) -> Card:
    words, public = change.capabilities, change.public
    return attrs.evolve(
        card,
        display_name=card.display_name if change.display_name is None else change.display_name,
        tagline=card.tagline if change.tagline is None else change.tagline,
        description=card.description if change.description is None else change.description,
        capabilities=card.capabilities if words is None else tuple(sorted(set(words))),
        visibility=card.visibility if public is None else _visibility(is_public=public),
    )


def _visibility(*, is_public: bool) -> Visibility:
    return Visibility.PUBLIC if is_public else Visibility.PRIVATE


async def sign_next(draft: Draft, log: AccountLog, card: Card) -> tuple[Card, bytes]:
    """Sign what a card says as the agent's next version, and keep it; the card and its bytes.

    DaemonRefusal where it breaks the rules; conflict where there is no next version.
    """
    held = (await draft.core.store.cards((card.agent,))).get(card.agent)
    fallen = replacing(held, log)
    if held is not None and held.version >= LAST_VERSION and not fallen:
        raise DaemonRefusal(
            "conflict",
            "One of your devices has signed this card with the last version that there is.",
            "Only one in a thief's hands does that. Find it: taskferry device list; put it out: "
            "taskferry device revoke ID; then change the card.",
            status=409,
        )
    last = held.version if held is not None else 0
    # A machine that goes on from a backup does not know how far it had come.
    version = version_after(max(last, min(draft.core.sequence_floor, LAST_VERSION - 1)), draft.now)
    card = attrs.evolve(card, version=version, at=draft.now, log=log.position)
    raw = sign_card(card, draft.core.manage)
    try:
        read_card(raw, log)
    except RemoteProtocolError as error:
        raise refusal_of(error) from error
    draft.add(PutCard(_record(card, raw), instead_of=fallen))
    return card, raw


def version_after(last: int, now: Instant) -> int:
    """The number of the next card. After the last one there is, one that nobody counts up to one by one."""
    return last + 1 if last < LAST_VERSION else now


def replacing(held: CardRecord | None, log: AccountLog) -> bytes:
    """The bytes of a card that any other replaces, since nobody stands by it any more; else nothing."""
    return held.raw if held is not None and not card_stands(held.raw, log) else b""


def _record(card: Card, raw: bytes) -> CardRecord:
    return CardRecord(card.agent, card.version, card.visibility is Visibility.PUBLIC, raw)


async def _tell_connected(draft: Draft, agent: AgentRef, raw: bytes) -> None:
    for account in await connected_owners(draft, agent.name):
        await draft.post_quietly(CardUpdate(raw), AgentRef(draft.core.own, ""), AgentRef(account, ""))


# --- Other owners' ------------------------------------------------------------------------------------------


async def take_card(arrival: Arrival, body: CardUpdate) -> None:
    """Keep a peer's newer card, of an agent that one of ours is connected with; an older one changes nothing.

    Raises RemoteProtocolError: the codes of a card, unknown-agent, not-connected.
    """
    arrival.keep()
    if arrival.decision.standing is Standing.COPY:
        return  # this owner's own: it comes among what devices share
    draft, account = arrival.draft, arrival.peer.account
    log = await draft.log(account)
    if log is None:
        raise RemoteProtocolError(RejectCode.UNKNOWN_ACCOUNT, "its log is not held")
    card = read_card(body.card, log)
    if not log.state.serving(card.agent.name):
        raise RemoteProtocolError(RejectCode.UNKNOWN_AGENT, "no device serves it", field="agent")
    bonds = await all_bonds(draft.core.store)
    if not any(
        bond.record.peer == card.agent and bond.record.state is ConnectionState.ACCEPTED for bond in bonds
    ):
        raise RemoteProtocolError(RejectCode.NOT_CONNECTED, "no agent here is connected with that one")
    held = (await draft.core.store.cards((card.agent,))).get(card.agent)
    fallen = replacing(held, log)
    if held is None or fallen or held.version < card.version:
        draft.add(PutCard(_record(card, body.card), instead_of=fallen))


async def peer_cards(core: Core, agents: Collection[AgentRef]) -> Mapping[AgentRef, Card]:
    """What peers' owners last said of their agents here, checked; left out where that is nothing."""
    found: dict[AgentRef, Card] = {}
    for agent, record in (await core.store.cards(agents)).items():
        log = await core.logs.get(agent.account)
        if log is None:
            continue
        with contextlib.suppress(RemoteProtocolError):
            found[agent] = read_card(record.raw, log)
    return found
