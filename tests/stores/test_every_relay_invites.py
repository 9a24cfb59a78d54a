"""What every relay store promises about the invites that owners publish."""

from taskferry_protocol.ids import Instant
from taskferry_protocol.records import Counted, PublishInvite, PurgeInvites, WithdrawInvite
from taskferry_stores.port import ConflictKind

from .samples import DAY, NOW, account, published, refused


def publish(invite, at=NOW, most=3):
    """The change that keeps it."""
    return PublishInvite(invite, Instant(at), most)


async def test_invite_is_found_by_its_id(relay):
    """Every field survives, and what is not there is absent; the same again is nothing new."""
    first, second = published("one"), published("two", "alice/helper")
    await relay.commit([publish(first), publish(second), publish(first)])
    assert await relay.invites([first.id, second.id, b"x" * 16]) == {first.id: first, second.id: second}


async def test_nobody_takes_the_id_of_another(relay):
    """Who publishes under an id that is kept changes nothing, be it their own or another's."""
    first = published("one")
    await relay.commit([publish(first)])
    for other in (published("one", "mallory/agent"), published("one", raw="edited")):
        await refused(relay, ConflictKind.EXISTS, publish(other))
    assert await relay.invites([first.id]) == {first.id: first}


async def test_account_keeps_only_so_many(relay):
    """Those that are over do not count, nor do other accounts'."""
    await relay.commit([publish(published(f"{n}", expires_at=NOW + DAY + n)) for n in range(3)])
    await refused(relay, ConflictKind.TOO_MANY, publish(published("3")))
    await relay.commit([publish(published("0", expires_at=NOW + DAY))])
    await relay.commit([publish(published("other", "alice/helper"))])
    await relay.commit([publish(published("3", expires_at=NOW + 2 * DAY), at=NOW + DAY)])


async def test_only_its_account_withdraws_an_invite(relay):
    """Another account's word, or that of one who has none, changes nothing."""
    invite = published("one")
    await relay.commit([publish(invite)])
    await relay.commit([WithdrawInvite(account("mallory"), invite.id), WithdrawInvite(account("bob"), b"x")])
    assert await relay.invites([invite.id])
    await relay.commit([WithdrawInvite(account("bob"), invite.id)])
    assert not await relay.invites([invite.id])


async def test_invites_that_are_over_are_purged_in_steps(relay):
    """At most as many as allowed in a step; what is not over stays."""
    invites = [published(f"{n}", expires_at=NOW + n) for n in range(1, 6)]
    for invite in invites:
        await relay.commit([publish(invite, most=9)])
    assert await relay.commit([PurgeInvites(Instant(NOW + 4), 3)]) == (Counted(3),)
    assert await relay.commit([PurgeInvites(Instant(NOW + 4), 3)]) == (Counted(1),)
    assert set(await relay.invites([invite.id for invite in invites])) == {invites[-1].id}


async def test_refused_invite_takes_its_whole_commit_with_it(relay):
    """All or nothing, as everywhere."""
    await relay.commit([publish(published("one"))])
    await refused(
        relay, ConflictKind.EXISTS, publish(published("two")), publish(published("one", raw="edited"))
    )
    assert not await relay.invites([published("two").id])
