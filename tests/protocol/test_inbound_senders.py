"""The daemon's decision on senders that lie, break their terms, or are gone."""

from __future__ import annotations

import pytest

from taskferry_protocol.errors import RejectCode
from taskferry_protocol.ids import Hash, Instant, LogPosition
from taskferry_protocol.inbound import (
    Apply,
    Directory,
    NeedLog,
    Quarantine,
    Relation,
    receive,
)
from taskferry_protocol.permissions import RateState
from taskferry_protocol.records import Seen
from taskferry_protocol.sealing import wrap_for

from .deliveries import code_of, decided, decided_on, facts_of, seen_as
from .owners import NOW, entropy_of, plain_device
from .world import (
    DAY,
    MINUTE,
    World,
    asked_for,
    introduced,
    receipted,
    said,
    submitted,
    updated,
)


def test_one_key_for_me_and_another_for_my_colleague_is_found_out(world: World) -> None:
    """The commitment in the signed header holds for everybody."""
    sealed = world.sealed(said())
    (wrap,) = wrap_for(b"o" * 32, [world.bob.laptop.encryption.public], entropy_of("other"))
    decision = receive(sealed.envelope, wrap.sealed, facts_of(world), now=NOW)
    assert code_of(decision) is RejectCode.BAD_COMMIT


def test_an_id_or_number_used_twice_is_equivocation(world: World) -> None:
    """Both are signed, so both are proof; neither is applied after the first."""
    first, second = world.sealed(said("yes"), seq=7), world.sealed(said("no"), seq=7)
    by_seq = decided(world, second, seen=Seen(by_seq=seen_as(first.envelope)))
    assert code_of(by_seq) is RejectCode.EQUIVOCATION
    by_id = decided(world, second, seen=Seen(by_id=seen_as(first.envelope)))
    assert code_of(by_id) is RejectCode.EQUIVOCATION
    assert isinstance(by_id, Quarantine)
    assert by_id.envelope == second.envelope


def test_a_device_of_nobody_is_unknown(world: World) -> None:
    """A key that never stood in the account's log signs for nobody."""
    sealed = world.sealed(said(), by=plain_device("mallory").signing)
    assert code_of(decided(world, sealed)) is RejectCode.UNKNOWN_DEVICE


def test_a_revoked_device_is_gone_whatever_it_quotes(world: World) -> None:
    """A thief quotes the log from before the theft; the newest log held counts."""
    sealed = world.sealed(said(), by=world.phone.signing)
    assert isinstance(decided(world, sealed), Apply)
    world.alice.revoke(world.phone)
    assert code_of(decided(world, sealed)) is RejectCode.DEVICE_GONE


def test_what_a_device_sent_before_it_retired_still_counts(world: World) -> None:
    """And what it sends afterwards does not, nor for an agent that it never served."""
    before = world.sealed(said(), by=world.phone.signing)
    as_other = world.sealed(said(), by=world.phone.signing, from_=world.alice.agent("writer"))
    world.alice.retire(world.phone)
    after = world.sealed(said(), by=world.phone.signing)
    assert isinstance(decided(world, before), Apply)
    assert code_of(decided(world, as_other)) is RejectCode.UNKNOWN_AGENT
    assert code_of(decided(world, after)) is RejectCode.DEVICE_GONE


def test_a_device_speaks_only_for_the_agents_it_serves_now(world: World) -> None:
    """An agent that the owner moved to another device is not spoken for by the old one."""
    sealed = world.sealed(said(), by=world.phone.signing)
    world.alice.serve("coder", world.alice.laptop)
    assert code_of(decided(world, sealed)) is RejectCode.UNKNOWN_AGENT


def test_a_position_on_another_branch_is_looked_into(world: World) -> None:
    """The pinned branch may be a thief's: the whole log is asked for, and only in vain is it refused."""
    sealed = world.sealed(said(), log=LogPosition(2, Hash(bytes(32))))
    need = decided(world, sealed)
    assert need == NeedLog(sealed.envelope, world.alice.log.account, 0)
    vain = decided(world, sealed, directory=Directory.EXHAUSTED)
    assert code_of(vain) is RejectCode.NOT_AN_EXTENSION
    held = frozenset({world.alice.log.account})
    assert isinstance(decided(world, sealed, held=held), NeedLog)
    vain = decided(world, sealed, held=held, directory=Directory.EXHAUSTED)
    assert code_of(vain) is RejectCode.ACCOUNT_HELD


def test_what_a_relay_or_time_can_mend_is_not_remembered(world: World) -> None:
    """A spoilt wrap or a log kept back says nothing of the envelope; what its sender signed does."""
    sealed = world.sealed(said())
    spoilt = receive(sealed.envelope, bytes(80), facts_of(world), now=NOW)
    withheld = decided(
        world,
        world.sealed(said(), log=LogPosition(9, Hash(bytes(32)))),
        directory=Directory.EXHAUSTED,
    )
    assert [code_of(spoilt), code_of(withheld)] == [RejectCode.BAD_WRAP, RejectCode.NOT_AN_EXTENSION]
    refused = decided_on(world, said(), relation=Relation.BLOCKED)
    assert code_of(refused) is RejectCode.NOT_PERMITTED
    assert isinstance(spoilt, Quarantine)
    assert isinstance(withheld, Quarantine)
    assert isinstance(refused, Quarantine)
    assert (spoilt.lasts, withheld.lasts, refused.lasts) == (False, False, True)


def test_a_forked_account_is_not_heard(world: World) -> None:
    """Until its recovery key settles it."""
    held = frozenset({world.alice.log.account})
    assert code_of(decided_on(world, said(), held=held)) is RejectCode.ACCOUNT_HELD


def test_more_than_the_granted_rate_is_quarantined(world: World) -> None:
    """Neither clock allows it, and turning that of writing back and forth gains nothing."""
    grant, rate, arrived = world.granted(rate=2), None, None
    for at in (NOW, NOW - 10 * MINUTE):
        sealed = world.sealed(said(), at=Instant(at))
        decision = decided(world, sealed, grant=grant, rate=rate, arrived=arrived)
        assert isinstance(decision, Apply)
        rate, arrived = decision.rate, decision.arrived
    for at in (NOW, NOW - 10 * MINUTE, NOW + 4 * MINUTE):
        sealed = world.sealed(said(), at=Instant(at))
        decision = decided(world, sealed, grant=grant, rate=rate, arrived=arrived)
        assert code_of(decision) is RejectCode.RATE_LIMITED


def test_a_days_messages_may_come_in_one_minute(world: World) -> None:
    """A daemon that was offline does not punish those who kept to their rate."""
    grant = world.granted(rate=1)
    rate: RateState | None = None
    arrived: RateState | None = None
    for minute in range(50):
        sealed = world.sealed(said(), at=Instant(NOW + minute * MINUTE))
        decision = decided(world, sealed, now=Instant(NOW + DAY - 1), grant=grant, rate=rate, arrived=arrived)
        assert isinstance(decision, Apply)
        rate, arrived = decision.rate, decision.arrived


@pytest.mark.parametrize("early", [0, 4_000])
def test_a_burst_that_the_relay_has_paced_is_taken(world: World, early: int) -> None:
    """Written in one second, it comes at the rate; that one travels faster than another costs nothing."""
    grant = world.granted(rate=2)
    rate: RateState | None = None
    arrived: RateState | None = None
    came = NOW
    for number in range(20):
        sealed = world.sealed(said(), at=NOW)
        came = Instant(NOW + max(0, number - 1) * MINUTE // 2 - (early if number % 3 == 2 else 0))
        decision = decided(world, sealed, now=came, grant=grant, rate=rate, arrived=arrived)
        assert isinstance(decision, Apply)
        rate, arrived = decision.rate, decision.arrived
    hurried = decided(world, world.sealed(said(), at=NOW), now=came, grant=grant, rate=rate, arrived=arrived)
    assert code_of(hurried) is RejectCode.RATE_LIMITED


def test_a_burst_that_was_paced_while_the_device_was_away_is_taken(world: World) -> None:
    """Written in one second, paced for an hour, it comes in one go; what an hour brings, and no more."""
    grant = world.granted(rate=2)
    rate: RateState | None = None
    arrived: RateState | None = None
    back = Instant(NOW + 60 * MINUTE)
    taken = 0
    while True:
        sealed = world.sealed(said(), at=NOW)
        decision = decided(world, sealed, now=back, grant=grant, rate=rate, arrived=arrived, caught_up=NOW)
        if not isinstance(decision, Apply):
            break
        taken, rate, arrived = taken + 1, decision.rate, decision.arrived
    assert code_of(decision) is RejectCode.RATE_LIMITED
    assert taken == 60 * 2 + 2


def test_what_was_saved_up_is_gone_once_the_device_has_caught_up(world: World) -> None:
    """Half a day without a message from somebody lets them send a minute's worth at once, as always."""
    grant = world.granted(rate=2)
    arrived: RateState | None = RateState.full(2, NOW)
    rate: RateState | None = RateState(0, Instant(NOW + DAY // 2))
    decisions = []
    for _ in range(3):
        sealed = world.sealed(said(), at=NOW)
        now = Instant(NOW + DAY // 2)
        decision = decided(world, sealed, now=now, grant=grant, rate=rate, arrived=arrived, caught_up=now)
        decisions.append(decision)
        if isinstance(decision, Apply):
            rate, arrived = decision.rate, decision.arrived
    assert [isinstance(decision, Apply) for decision in decisions] == [True, True, False]


def test_artifacts_are_no_larger_than_agreed(world: World) -> None:
    """The terms are sealed, so only the daemon can enforce them; without terms the least holds."""
    assert isinstance(decided_on(world, submitted("x" * 1_000)), Apply)
    assert code_of(decided_on(world, submitted("x" * 1_001))) is RejectCode.NOT_PERMITTED
    assert isinstance(decided_on(world, submitted("x" * 65_536), terms=None), Apply)
    assert code_of(decided_on(world, submitted("x" * 65_537), terms=None)) is RejectCode.NOT_PERMITTED


def test_open_tasks_are_no_more_than_agreed(world: World) -> None:
    """A fourth request waits for the first to end; without terms there is no first."""
    assert isinstance(decided_on(world, asked_for(), open_tasks=2), Apply)
    assert code_of(decided_on(world, asked_for(), open_tasks=3)) is RejectCode.NOT_PERMITTED
    assert code_of(decided_on(world, asked_for(), terms=None)) is RejectCode.NOT_PERMITTED
    assert isinstance(decided_on(world, said(), open_tasks=3), Apply)


def test_strangers_have_three_tries(world: World) -> None:
    """Counted here too, and a blocked agent has none."""
    stranger = {"relation": Relation.STRANGER, "grant": None, "terms": None}
    assert isinstance(decided_on(world, introduced(world), **stranger, unanswered=2), Apply)
    assert code_of(decided_on(world, introduced(world), **stranger, unanswered=3)) is RejectCode.CONTACT_LIMIT
    blocked = decided_on(world, introduced(world), relation=Relation.BLOCKED)
    assert code_of(blocked) is RejectCode.NOT_PERMITTED


def test_receipts_and_news_come_from_those_we_know(world: World) -> None:
    """A receipt where something is under way, news of an account from acquaintances."""
    assert isinstance(decided_on(world, receipted(), relation=Relation.UNDER_WAY), Apply)
    assert code_of(decided_on(world, receipted(), relation=Relation.STRANGER)) is RejectCode.NOT_CONNECTED
    assert isinstance(decided_on(world, updated(world), relation=Relation.STRANGER), Apply)
    assert code_of(decided_on(world, updated(world), acquainted=False)) is RejectCode.NOT_CONNECTED
