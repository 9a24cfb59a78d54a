"""What every relay store promises about tickets and applications."""

import attrs
import trio

from taskferry_protocol.ids import Hash, Instant
from taskferry_protocol.records import (
    ApplicationRecord,
    Counted,
    Done,
    DropApplication,
    DropTicket,
    GrantApplication,
    PutApplication,
    PutTicket,
    RedeemTicket,
    RequireUnreserved,
    SweepSignUps,
    TicketRecord,
)
from taskferry_stores import rules
from taskferry_stores.port import ConflictKind, StoreConflict
from taskferry_stores.sqlite import open_relay_store

from .conftest import RELAYS
from .samples import GENERATION, NOW, account, append, refused, sha

LATER = Instant(NOW + 1_000)
OVER = Instant(NOW + 60_000)


def ticket(text, name="", **changes):
    """An unused ticket, open for a minute."""
    return attrs.evolve(TicketRecord(sha(text), name, NOW, OVER, b"", f"note of {text}"), **changes)


def redeem(text, who, at=LATER):
    """An account that comes in by a ticket."""
    return [append(who), RedeemTicket(sha(text), account(who), who, at)]


def application(text: str, name: str = "carol") -> ApplicationRecord:
    """Somebody waits for a mail."""
    return ApplicationRecord(sha(text), name, b"email of " + text.encode(), OVER)


async def test_a_ticket_comes_back_as_it_was_stored(relay):
    """By digest and in the list, with everything that it says."""
    first, second = ticket("one", "alice"), ticket("two", email=b"digest")
    assert await relay.commit([PutTicket(first), PutTicket(second)]) == (Done(), Done())
    assert await relay.ticket(sha("one")) == first
    assert await relay.ticket(sha("three")) is None
    ordered = tuple(sorted((first, second), key=lambda record: record.digest))
    assert await relay.tickets(None, 10) == ordered
    assert await relay.tickets(ordered[0].digest, 10) == ordered[1:]
    assert await relay.tickets(None, 1) == ordered[:1]


async def test_a_ticket_takes_effect_once(relay):
    """It is bound to the account that came in by it, and whoever comes next is not taken at all."""
    await relay.commit([PutTicket(ticket("one"))])
    await relay.commit(redeem("one", "alice"))
    held = await relay.ticket(sha("one"))
    assert (held.account, held.used_at) == (account("alice"), LATER)
    await refused(relay, ConflictKind.TICKET_USED, *redeem("one", "bob"))
    assert await relay.accounts([account("bob")]) == {}
    assert await relay.commit([DropTicket(sha("one"))]) == (Counted(0),)


async def test_of_two_who_race_one_comes_in(relay):
    """Both commits wait in one group, and exactly one of them is stored."""
    await relay.commit([PutTicket(ticket("one"))])
    outcomes: dict[str, object] = {}

    async def come(who: str) -> None:
        try:
            outcomes[who] = await relay.commit(redeem("one", who))
        except StoreConflict as conflict:
            outcomes[who] = conflict.kind

    async with trio.open_nursery() as nursery:
        for who in ("alice", "bob"):
            nursery.start_soon(come, who)
    assert sorted(map(str, outcomes.values())) == sorted(
        map(str, [(Done(), Done()), ConflictKind.TICKET_USED])
    )
    assert len(await relay.accounts([account("alice"), account("bob")])) == 1


async def test_a_ticket_that_does_not_fit_lets_nobody_in(relay):
    """Unknown, over and for another name are told apart."""
    await relay.commit([PutTicket(ticket("one", "alice"))])
    await refused(relay, ConflictKind.UNKNOWN, *redeem("none", "alice"))
    await refused(relay, ConflictKind.TICKET_OVER, *redeem("one", "alice", OVER))
    await refused(relay, ConflictKind.WRONG_NAME, *redeem("one", "bob"))
    await relay.commit(redeem("one", "alice", Instant(OVER - 1)))


async def test_an_open_ticket_keeps_its_name(relay):
    """Nobody else gets a ticket for it or comes in under it, until the ticket is used, dropped or over."""
    await relay.commit([PutTicket(ticket("one", "alice"))])
    assert await relay.reserved(["alice", "bob", ""], LATER) == {"alice"}
    assert await relay.reserved(["alice"], OVER) == frozenset()
    await refused(relay, ConflictKind.RESERVED, PutTicket(ticket("two", "alice")))
    await refused(relay, ConflictKind.RESERVED, append("alice"), RequireUnreserved("alice", LATER))
    await relay.commit([PutTicket(ticket("any"))])
    await refused(relay, ConflictKind.RESERVED, *redeem("any", "alice"))
    await relay.commit([RequireUnreserved("alice", OVER), RequireUnreserved("bob", LATER)])
    assert await relay.commit([DropTicket(sha("one"))]) == (Counted(1),)
    await relay.commit(redeem("any", "alice"))
    assert await relay.reserved(["alice"], LATER) == frozenset()
    await refused(relay, ConflictKind.NAME_TAKEN, PutTicket(ticket("three", "alice")))


async def test_an_address_is_known_once_its_ticket_was_used(relay):
    """A ticket alone does not make it so, and tickets without an address have none in common."""
    await relay.commit([PutTicket(ticket("one", email=b"digest")), PutTicket(ticket("two"))])
    assert await relay.ticket_of_email(b"digest") is None
    await relay.commit(redeem("one", "alice"))
    await relay.commit(redeem("two", "bob"))
    assert (await relay.ticket_of_email(b"digest")).account == account("alice")
    assert await relay.ticket_of_email(b"") is None


async def test_an_application_becomes_one_ticket(relay):
    """Its code works once; a name that has gone meanwhile leaves the application for another try."""
    await relay.commit([PutApplication(application("code")), append("carol")])
    assert await relay.application(sha("code")) == application("code")
    await refused(relay, ConflictKind.NAME_TAKEN, GrantApplication(sha("code"), ticket("one", "carol")))
    assert await relay.application(sha("code")) == application("code")
    await relay.commit([GrantApplication(sha("code"), ticket("one", "dora"))])
    assert await relay.application(sha("code")) is None
    assert await relay.ticket(sha("one")) == ticket("one", "dora")
    await refused(relay, ConflictKind.UNKNOWN, GrantApplication(sha("code"), ticket("two")))


async def test_an_address_has_one_open_ticket(relay):
    """A second one takes the first one's place, and may have its name; used ones stay."""
    await relay.commit([PutApplication(application(code)) for code in ("a", "b")])
    await relay.commit([GrantApplication(sha("a"), ticket("one", "dora", email=b"digest"))])
    await relay.commit([GrantApplication(sha("b"), ticket("two", "dora", email=b"digest"))])
    assert await relay.ticket(sha("one")) is None
    await relay.commit([append("dora"), RedeemTicket(sha("two"), account("dora"), "dora", LATER)])
    await relay.commit([PutApplication(application("c"))])
    await relay.commit([GrantApplication(sha("c"), ticket("three", email=b"digest"))])
    assert (await relay.ticket(sha("two"))).account == account("dora")


async def test_an_application_is_over_at_its_time(relay):
    """From that moment on it grants nothing; dropping one that is gone changes nothing."""
    await relay.commit([PutApplication(application("code"))])
    late = ticket("one", created_at=OVER, expires_at=Instant(OVER + 1))
    await refused(relay, ConflictKind.UNKNOWN, GrantApplication(sha("code"), late))
    await relay.commit([DropApplication(sha("code")), DropApplication(sha("code"))])
    assert await relay.application(sha("code")) is None


async def test_what_is_over_is_swept_in_steps(relay):
    """Used tickets stay, as do open ones; the rest goes at most so many at a time."""
    await relay.commit([PutTicket(ticket(f"{n}")) for n in range(3)])
    await relay.commit([PutTicket(ticket("open", expires_at=Instant(OVER + 5))), PutTicket(ticket("used"))])
    await relay.commit([PutApplication(application("code"))])
    await relay.commit(redeem("used", "alice"))
    before = Instant(OVER + 1)
    assert await relay.commit([SweepSignUps(Instant(OVER), 10)]) == (Counted(0),)
    assert await relay.commit([SweepSignUps(before, 2)]) == (Counted(3),)
    assert await relay.commit([SweepSignUps(before, 2)]) == (Counted(1),)
    assert {record.note for record in await relay.tickets(None, 10)} == {"note of open", "note of used"}
    assert await relay.application(sha("code")) is None


async def test_unused_tickets_and_applications_are_bounded(relay, monkeypatch):
    """Whoever asks for ever more of them is refused; used tickets do not count."""
    monkeypatch.setattr(rules, "UNUSED_TICKETS", 2)
    monkeypatch.setattr(rules, "APPLICATIONS", 1)
    await relay.commit([PutTicket(ticket("one")), PutTicket(ticket("two")), PutApplication(application("a"))])
    await refused(relay, ConflictKind.TOO_MANY, PutTicket(ticket("three")))
    await refused(relay, ConflictKind.TOO_MANY, PutApplication(application("b")))
    await relay.commit(redeem("one", "alice"))
    await relay.commit([PutTicket(ticket("three"))])


async def test_tickets_survive_a_restart(tmp_path):
    """Used and unused ones are on disk as they were."""
    for kind in RELAYS:
        if kind == "memory":
            continue
        async with RELAYS[kind](tmp_path) as store:
            await store.commit([PutTicket(ticket("one", "alice")), PutApplication(application("code"))])
            await store.commit(redeem("one", "alice"))
        async with RELAYS[kind](tmp_path) as store:
            assert (await store.ticket(sha("one"))).account == account("alice")
            assert await store.application(sha("code")) == application("code")


async def test_the_file_holds_no_ticket(tmp_path):
    """What is kept of a ticket does not give it back."""
    async with open_relay_store(tmp_path / "relay.db", generation=GENERATION) as store:
        await store.commit([PutTicket(ticket("the secret itself", note=""))])
        assert (await store.ticket(Hash(sha("the secret itself")))) is not None
    assert b"the secret itself" not in (tmp_path / "relay.db").read_bytes()
