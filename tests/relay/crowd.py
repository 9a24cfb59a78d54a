"""A relay's database with very many accounts: real logs and cards, so that every page does all its work."""

from __future__ import annotations

from taskferry_apps.relay.directory import listing_change
from taskferry_protocol.cards import Card, Visibility, sign_card
from taskferry_protocol.ids import DeviceId, Instant, MessageId, sha256
from taskferry_protocol.records import (
    AppendStatements,
    CardRecord,
    NameKeys,
    PutCard,
    PutSetting,
    RelayChange,
    StoreEnvelope,
)
from taskferry_stores.port import RelayStore

from .people import Person, person

GROUP = 250
CAN = ("drafting", "review", "research", "translation")
TAGS = ("go", "python", "rust", "sql", "legal")


async def settle(store: RelayStore, count: int, now: Instant) -> None:
    """`count` owners with a public agent each; for every tenth, mail waits."""
    changes: list[RelayChange] = [PutSetting("directory/filled", b"1")]
    for n in range(count):
        changes += _joining(person(f"owner{n:06}", n + 1, now), n, now)
        if n % GROUP == GROUP - 1 or n == count - 1:
            await store.commit(changes)
            changes = []


def _joining(who: Person, n: int, now: Instant) -> list[RelayChange]:
    log = who.log
    card = Card(
        who.agent,
        1,
        Instant(now - n * 60_000),
        log.position,
        f"Agent {n}",
        f"Does the work that number {n} is known for",
        "It reads what it is given, asks when something is unclear, and hands in what was agreed.\n" * 2,
        tuple(sorted({CAN[n % 4], CAN[n % 3]})),
        tuple(sorted({TAGS[n % 5], TAGS[n % 2]})),
        Visibility.PUBLIC,
    )
    raw = sign_card(card, who.manage)
    device = DeviceId(who.keys.signing.public)
    changes: list[RelayChange] = [
        AppendStatements(log.account, who.name, None, 0, log.statements, log.position),
        NameKeys(log.account, frozenset({bytes(device)})),
        PutCard(CardRecord(who.agent, 1, True, raw)),
        listing_change(card),
    ]
    if n % 10 == 0:
        at = Instant(now - n * 100)
        changes += [
            StoreEnvelope(
                device,
                MessageId(n.to_bytes(8, "big") + k.to_bytes(8, "big")),
                who.agent,
                k + 1,
                sha256(b"%d %d" % (n, k)),
                at,
                Instant(now + 86_400_000),
                at,
                b"sealed" * 100,
                ((device, bytes(80)),),
            )
            for k in range(1 + n % 7)
        ]
    return changes
