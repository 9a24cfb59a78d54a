"""The directory of public agents: what of a card it is found by, and what anybody may see of one.

An agent is listed where its owner has signed a card that says `public`, a device serves it, and its account
is neither held nor suspended. What cannot be verified when it is shown is not shown.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

import attrs

from taskferry_protocol.cards import Card, Visibility, read_card
from taskferry_protocol.errors import RemoteProtocolError
from taskferry_protocol.ids import AccountId, AgentRef, Instant
from taskferry_protocol.records import Place, PutSetting, RelayChange
from taskferry_protocol.records.operations import (
    DirectoryEntry,
    DirectoryQuery,
    ListAgent,
    ListedAgent,
    UnlistAgent,
)
from taskferry_stores.port import RelayStore, StoreFull

from .facts import Facts
from .limits import USUAL
from .view import Account

__all__ = ["QUERY_CHARS", "Directory", "Listing", "ListingPage", "listing_change", "word_of"]

PAGE: Final = USUAL.page_agents
LOOK: Final = USUAL.page_looks
#: As many where each fits that is not stopped.
LOOK_PLAIN: Final = 4 * PAGE
QUERY_CHARS: Final = USUAL.query_chars
_FILLED: Final = "directory/filled"
_STEP: Final = 256


@attrs.frozen
class Listing:
    """What is shown of a public agent, in its owner's words."""

    account: AccountId
    owner: str
    agent: str
    display_name: str
    tagline: str
    description: str
    capabilities: tuple[str, ...]
    tags: tuple[str, ...]
    at: Instant

    @property
    def handle(self) -> str:
        """`@owner/agent`."""
        return f"@{self.owner}/{self.agent}"


@attrs.frozen
class ListingPage:
    """Some of them; `next` is where to look on, None at the end. A page may be empty and have more behind."""

    listings: tuple[Listing, ...]
    next: Place | None


def word_of(kind: str, word: str) -> str:
    """How a capability (`cap`) or a tag is looked up, whatever case it is written in."""
    return f"{kind}:{word.casefold()}"


def listing_change(card: Card) -> RelayChange:
    """What a card that was taken means for the directory."""
    if card.visibility is not Visibility.PUBLIC:
        return UnlistAgent(card.agent)
    words = [word_of("cap", word) for word in card.capabilities] + [
        word_of("tag", word) for word in card.tags
    ]
    text = "\n".join((card.display_name, card.tagline, *card.capabilities, *card.tags)).casefold()
    return ListAgent(DirectoryEntry(card.agent, card.version, text, frozenset(words)))


class Directory:
    """Looks agents up."""

    def __init__(self, store: RelayStore, facts: Facts) -> None:
        self._store = store
        self._facts = facts

    async def find(self, text: str, capability: str, tag: str, before: Place | None) -> ListingPage:
        """A page of agents with this text, capability and tag, each empty for any; newest first."""
        words = {word_of(kind, word) for kind, word in (("cap", capability), ("tag", tag)) if word}
        query = DirectoryQuery(text.casefold(), frozenset(words))
        look = LOOK if query.text or len(words) > 1 else LOOK_PLAIN
        found = await self._store.directory(query, before, PAGE, look)
        accounts = await self._facts.shown({listed.card.agent.account for listed in found.agents})
        shown = [_shown(listed, accounts.get(listed.card.agent.account)) for listed in found.agents]
        return ListingPage(tuple([listing for listing in shown if listing is not None]), found.next)

    async def fill(self) -> None:
        """List, once, what was public before there was a directory; on a full disk, at the next start."""
        with suppress(StoreFull):
            await self._fill()

    async def _fill(self) -> None:
        if await self._store.settings((_FILLED,)):
            return
        after: AgentRef | None = None
        while cards := await self._store.public_cards(after, _STEP):
            after = cards[-1].agent
            accounts = await self._facts.accounts({card.agent.account for card in cards})
            changes: list[RelayChange] = []
            for record in cards:
                held = accounts.get(record.agent.account)
                try:
                    if held is not None:
                        changes.append(listing_change(read_card(record.raw, held.log)))
                except RemoteProtocolError:
                    continue  # signed by a device that may not any more
            await self._store.commit(changes)
        await self._store.commit([PutSetting(_FILLED, b"1")])


def _shown(listed: ListedAgent, held: Account | None) -> Listing | None:
    if held is None or not held.log.state.serving(listed.card.agent.name):
        return None
    try:
        card = read_card(listed.card.raw, held.log)
    except RemoteProtocolError:
        return None
    if card.visibility is not Visibility.PUBLIC:
        return None
    return Listing(
        card.agent.account,
        listed.owner,
        card.agent.name,
        card.display_name,
        card.tagline,
        card.description,
        card.capabilities,
        card.tags,
        card.at,
    )
