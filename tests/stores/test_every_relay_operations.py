"""What every relay store promises to its operator and to the relay's public pages."""

import pytest

from taskferry_protocol.ids import Instant
from taskferry_protocol.records import (
    CardRecord,
    Counted,
    HoldAccount,
    NameKeys,
    Place,
    PutCard,
)
from taskferry_protocol.records.operations import (
    AccountQuery,
    DirectoryEntry,
    DirectoryQuery,
    ListAgent,
    PutSignIn,
    ReleaseAccount,
    Standing,
    SuspendAccount,
    Suspension,
    TakeSignIn,
    UnlistAgent,
)
from taskferry_stores.port import ConflictKind

from .samples import NOW, account, ack, agent, append, device, envelope, published, refused, sha
from .test_every_relay_invites import publish


def suspend(owner, reason="spam", at=NOW):
    """The change that stops an account."""
    return SuspendAccount(Suspension(account(owner), reason, Instant(at)))


def names(lines):
    """Owners' names in their order."""
    return [line.name for line in lines]


async def listed(relay, *agents):
    """Public cards and their entries, each with a text and words."""
    for handle, text, words in agents:
        await relay.commit(
            [
                PutCard(CardRecord(agent(handle), 1, True, handle.encode())),
                ListAgent(DirectoryEntry(agent(handle), 1, text, frozenset(words))),
            ]
        )


def handles(page):
    """Who is on a page."""
    return [f"{found.owner}/{found.card.agent.name}" for found in page.agents]


# --- suspensions ------------------------------------------------------------------------------------------


async def test_suspensions_are_told_once_for_each_version(relay):
    """Who knows the version hears nothing; each change makes another one, and a lift takes it away."""
    await relay.commit([append("a"), append("b")])
    before = await relay.suspensions(None)
    assert before.suspensions == ()
    assert await relay.suspensions(before.version) is None
    await relay.commit([suspend("a"), suspend("b", "other")])
    after = await relay.suspensions(before.version)
    assert {s.account: s.reason for s in after.suspensions} == {account("a"): "spam", account("b"): "other"}
    assert await relay.commit([ReleaseAccount(account("a"))]) == (Counted(1),)
    assert await relay.commit([ReleaseAccount(account("a"))]) == (Counted(0),)
    last = await relay.suspensions(after.version)
    assert [s.account for s in last.suspensions] == [account("b")]


async def test_a_suspension_is_replaced_and_needs_an_account(relay):
    """The last reason counts; for an account that is not there, the whole commit comes to nothing."""
    await relay.commit([append("a"), suspend("a", "first"), suspend("a", "second")])
    await refused(relay, ConflictKind.UNKNOWN, suspend("a", "third"), suspend("nobody"))
    (held,) = (await relay.suspensions(None)).suspensions
    assert held.reason == "second"


# --- lists ------------------------------------------------------------------------------------------------


async def test_accounts_are_listed_by_name_in_pages(relay):
    """By rising name after one, by a prefix, and by state; a former name is listed for nobody."""
    await relay.commit([append(owner) for owner in ("bob", "ann", "anna", "zoe")])
    await relay.commit([append("zoe", held=1, name="amy"), suspend("bob")])
    await relay.commit([HoldAccount(account("anna"), "forked")])
    assert names(await relay.account_lines(AccountQuery(), "", 2)) == ["amy", "ann"]
    assert names(await relay.account_lines(AccountQuery(), "ann", 9)) == ["anna", "bob"]
    assert names(await relay.account_lines(AccountQuery("ann"), "", 9)) == ["ann", "anna"]
    assert names(await relay.account_lines(AccountQuery("", Standing.SUSPENDED), "", 9)) == ["bob"]
    (held,) = await relay.account_lines(AccountQuery("", Standing.HELD), "", 9)
    assert (held.name, held.held, held.suspension) == ("anna", "forked", None)
    assert names(await relay.account_lines(AccountQuery("%"), "", 9)) == []


async def test_a_line_says_what_waits_for_the_account(relay):
    """All its devices' mail together, the oldest of it, and less once something is acknowledged."""
    await relay.commit(
        [append("bob"), NameKeys(account("bob"), frozenset({device("b1"), device("b2"), b"k" * 32}))]
    )
    await relay.commit(
        [
            envelope("a", 1, "bob/x", ["b1"], at=Instant(NOW + 1)),
            envelope("a", 2, "bob/x", ["b1", "b2"], at=Instant(NOW + 2)),
        ]
    )
    (line,) = await relay.account_lines(AccountQuery(), "", 9)
    assert (line.waiting, line.oldest) == (3, NOW + 1)
    await relay.commit([ack("b1", 1)])
    (line,) = await relay.account_lines(AccountQuery(), "", 9)
    assert (line.waiting, line.oldest) == (2, NOW + 2)
    boxes = {box.device: box for box in await relay.mailbox_lines([device("b1"), device("b2"), device("q")])}
    assert {id: (box.count, box.name) for id, box in boxes.items()} == {
        device("b1"): (1, "bob"),
        device("b2"): (1, "bob"),
    }
    await relay.commit([ack("b1", 2), ack("b2", 1)])
    (line,) = await relay.account_lines(AccountQuery(), "", 9)
    assert (line.waiting, line.waiting_bytes, line.oldest) == (0, 0, None)


async def test_the_fullest_mailboxes_come_first(relay):
    """Only those that hold something, also of devices that no account has named."""
    await relay.commit([append("bob"), NameKeys(account("bob"), frozenset({device("b")}))])
    await relay.commit([envelope("a", n, "bob/x", ["b", "c"] if n < 3 else ["b"]) for n in range(1, 4)])
    await relay.commit([envelope("a", 9, "bob/x", ["d"]), ack("d", 1)])
    lines = await relay.fullest_mailboxes(9)
    assert [(line.device, line.account, line.count) for line in lines] == [
        (device("b"), account("bob"), 3),
        (device("c"), None, 2),
    ]
    assert len(await relay.fullest_mailboxes(1)) == 1


async def test_mailboxes_that_hold_something_say_how_much_and_since_when(relay):
    """As many as are wanted; one that is empty is none of them."""
    await relay.commit(
        [envelope("a", n, "bob/x", ["b", "c"] if n < 2 else ["b"], at=Instant(NOW + n)) for n in range(1, 4)]
    )
    await relay.commit([envelope("a", 9, "bob/x", ["d"]), ack("d", 1), ack("b", 1)])
    found = await relay.waiting_mailboxes(9)
    assert sorted((box.count, box.oldest) for box in found) == [(1, NOW + 1), (2, NOW + 2)]
    assert len(await relay.waiting_mailboxes(1)) == 1


async def test_overview_counts(relay):
    """Each number is of what it says."""
    await relay.commit([append("a"), append("bob"), suspend("a"), HoldAccount(account("bob"), "forked")])
    await listed(relay, ("a/x", "text", ["cap:review"]))
    await relay.commit([PutCard(CardRecord(agent("bob/y"), 1, False, b"y")), publish(published("one"))])
    await relay.commit([envelope("a", 1, "bob/y", ["b"], at=Instant(NOW + 7))])
    view = await relay.overview()
    assert (view.accounts, view.suspended, view.held, view.agents, view.public_agents) == (2, 1, 1, 2, 1)
    assert (view.invites, view.accepted, view.waiting, view.mailboxes, view.oldest) == (1, 1, 1, 1, NOW + 7)


# --- links into the operator's pages ------------------------------------------------------------------------


async def test_a_sign_in_works_once_and_not_too_late(relay):
    """Used up by the first; nothing for one that is over, or was never made."""
    for name, until in (("one", 10), ("late", 10)):
        await relay.commit([PutSignIn(sha(name), Instant(NOW + until), NOW, 16)])
    assert await relay.has_sign_in(sha("one"), Instant(NOW + 9))
    assert not await relay.has_sign_in(sha("one"), Instant(NOW + 10))
    assert await relay.commit([TakeSignIn(sha("one"), Instant(NOW + 9))]) == (Counted(1),)
    assert not await relay.has_sign_in(sha("one"), Instant(NOW + 9))
    assert await relay.commit([TakeSignIn(sha("one"), Instant(NOW + 9))]) == (Counted(0),)
    assert await relay.commit([TakeSignIn(sha("late"), Instant(NOW + 10))]) == (Counted(0),)
    assert await relay.commit([TakeSignIn(sha("never"), NOW)]) == (Counted(0),)


async def test_only_so_many_sign_ins_are_kept(relay):
    """The first to end goes for a new one."""
    for n in range(4):
        await relay.commit([PutSignIn(sha(f"{n}"), Instant(NOW + 10 + n), NOW, 3)])
    results = await relay.commit([TakeSignIn(sha(f"{n}"), NOW) for n in range(4)])
    assert [result.count for result in results] == [0, 1, 1, 1]


# --- the directory ------------------------------------------------------------------------------------------


async def test_directory_finds_by_text_handle_and_words(relay):
    """Newest first; each condition narrows; nothing that is asked for is a pattern."""
    await relay.commit([append("ann"), append("bob")])
    await listed(
        relay,
        ("ann/writer", "reviews go\nfast", ["cap:review", "tag:go"]),
        ("bob/fixer", "fixes 100% of it", ["cap:review", "tag:python"]),
    )

    async def found(text="", *words):
        return handles(await relay.directory(DirectoryQuery(text, frozenset(words)), None, 9, 99))

    assert await found() == ["bob/fixer", "ann/writer"]
    assert await found("fast") == ["ann/writer"]
    assert await found("@bob/f") == ["bob/fixer"]
    assert await found("%") == ["bob/fixer"]
    assert await found("_") == []
    assert await found("", "cap:review") == ["bob/fixer", "ann/writer"]
    assert await found("", "cap:review", "tag:go") == ["ann/writer"]
    assert await found("fixes", "tag:go") == []
    assert await found("", "cap:rev") == []


async def test_directory_pages_go_on_where_they_ended(relay):
    """Each agent once; a page looks at so many and no more, and says where to look on."""
    await relay.commit([append("ann")])
    await listed(relay, *[(f"ann/a{n}", "odd" if n % 2 else "even", []) for n in range(7)])
    seen, after = [], None
    while True:
        page = await relay.directory(DirectoryQuery("odd"), after, 2, 3)
        seen += handles(page)
        after = page.next
        if after is None:
            break
    assert seen == ["ann/a5", "ann/a3", "ann/a1"]
    far = await relay.directory(DirectoryQuery("nothing"), None, 2, 3)
    assert far.agents == ()
    assert far.next is not None


async def test_what_is_stopped_private_or_unlisted_is_not_shown(relay):
    """Suspended and held accounts vanish, and come back with their places; an unlisted agent does not."""
    await relay.commit([append(owner) for owner in ("ann", "bob", "cal", "dan")])
    await listed(relay, *[(f"{owner}/x", "text", ["tag:t"]) for owner in ("ann", "bob", "cal", "dan")])
    await relay.commit([suspend("ann"), HoldAccount(account("bob"), "forked"), UnlistAgent(agent("cal/x"))])
    for query in (DirectoryQuery(), DirectoryQuery("text"), DirectoryQuery("", frozenset({"tag:t"}))):
        assert handles(await relay.directory(query, None, 9, 9)) == ["dan/x"]
    await relay.commit([ReleaseAccount(account("ann")), UnlistAgent(agent("nobody/x"))])
    assert handles(await relay.directory(DirectoryQuery(), None, 9, 9)) == ["dan/x", "ann/x"]
    await relay.commit([PutCard(CardRecord(agent("dan/x"), 2, False, b"private"))])
    assert handles(await relay.directory(DirectoryQuery(), None, 9, 9)) == ["ann/x"]


async def test_a_later_version_counts_and_keeps_its_place(relay):
    """What it was found by before leads nowhere; an older version that comes late changes nothing."""
    await relay.commit([append("ann"), append("bob")])
    await listed(relay, ("ann/x", "first", ["tag:one"]), ("bob/x", "other", []))
    await relay.commit([ListAgent(DirectoryEntry(agent("ann/x"), 3, "third", frozenset({"tag:three"})))])
    await relay.commit([ListAgent(DirectoryEntry(agent("ann/x"), 2, "second", frozenset({"tag:two"})))])
    assert handles(await relay.directory(DirectoryQuery(), None, 9, 9)) == ["bob/x", "ann/x"]
    assert handles(await relay.directory(DirectoryQuery("third"), None, 9, 9)) == ["ann/x"]
    for word in ("tag:one", "tag:two"):
        assert not (await relay.directory(DirectoryQuery("", frozenset({word})), None, 9, 9)).agents


@pytest.mark.parametrize("limit", [1, 5])
async def test_an_empty_directory_is_an_empty_page(relay, limit):
    """Nothing to show and nowhere to go on."""
    page = await relay.directory(DirectoryQuery(), Place(5), limit, 10)
    assert (page.agents, page.next) == ((), None)
