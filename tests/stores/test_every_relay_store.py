"""What every relay store promises about accounts, cards, connections and settings."""

from taskferry_protocol.ids import Instant
from taskferry_protocol.records import (
    AgentPair,
    CardRecord,
    ContactState,
    Done,
    DropSetting,
    EndConnection,
    EvidenceRecord,
    HoldAccount,
    LogPage,
    NameKeys,
    PutCard,
    PutConnection,
    PutEvidence,
    PutGrant,
    PutSetting,
    RateRecord,
    RecordContact,
    RecordRate,
)
from taskferry_stores.port import ConflictKind
from taskferry_stores.rules import CONNECTIONS_OF_PAIR

from .samples import (
    NOW,
    account,
    agent,
    append,
    connection,
    device,
    envelope,
    flow,
    grant,
    position,
    refused,
    sha,
    stored,
    texts,
)

# --- accounts ---------------------------------------------------------------------------------------------


async def test_log_grows_by_compare_and_swap(relay):
    """A log is extended only by statements made for its present end."""
    assert await relay.commit([append("alice", 2)]) == (Done(),)
    await relay.commit([append("alice", 1, held=2)])
    await refused(relay, ConflictKind.LOG_MOVED, append("alice", 1, held=2))
    await refused(relay, ConflictKind.LOG_MOVED, append("alice", 1))
    await refused(relay, ConflictKind.LOG_MOVED, append("bob", 1, held=1))
    found = await relay.accounts([account("alice"), account("bob")])
    assert list(found) == [account("alice")]
    alice = found[account("alice")]
    assert alice.statements == (b"alice log 0", b"alice log 1", b"alice log 2")
    assert (alice.position, alice.name, alice.held) == (position(3), "alice", "")


async def test_long_logs_are_read_where_they_are_asked_for(relay):
    """Who takes only short ones is told of a longer one where it ends, and is given none of it."""
    await relay.commit([append("alice", 3), append("bob", 2)])
    found = await relay.accounts([account("alice"), account("bob"), account("carol")], longest=2)
    assert {id: len(record.statements) for id, record in found.items()} == {
        account("alice"): 0,
        account("bob"): 2,
    }
    assert (found[account("alice")].position, found[account("alice")].name) == (position(3), "alice")


async def test_recovery_branch_replaces_the_tail(relay):
    """Statements may replace the end of a log, back to where the branches part."""
    await relay.commit([append("alice", 3)])
    await relay.commit([append("alice", 1, held=3, keep=1, branch="recovered")])
    alice = (await relay.accounts([account("alice")]))[account("alice")]
    assert alice.statements == (b"alice log 0", b"alice recovered 1")
    assert alice.position == position(2, "recovered")


async def test_name_belongs_to_its_first_account_for_ever(relay):
    """A name that one account claimed is no other's, even after a rename, and still leads to that account."""
    await relay.commit([append("alice"), append("bob")])
    await refused(relay, ConflictKind.NAME_TAKEN, append("carol", name="alice"))
    await relay.commit([append("alice", held=1, name="alicia")])
    await refused(relay, ConflictKind.NAME_TAKEN, append("carol", name="alice"))
    await refused(relay, ConflictKind.NAME_TAKEN, append("bob", held=1, name="alicia"))
    await relay.commit([append("alice", held=2, name="alice")])
    found = await relay.accounts_named(["alice", "alicia", "bob", "carol"])
    assert {name: record.account for name, record in found.items()} == {
        "alice": account("alice"),
        "alicia": account("alice"),
        "bob": account("bob"),
    }
    assert found["alicia"].name == "alice"


async def test_a_piece_of_a_log_is_read_alone(relay):
    """Statements come from an index on, as many as asked for, with the end of the whole log."""
    await relay.commit([append("alice", 5), append("bob", 1)])
    page = LogPage(account("alice"), position(5), (b"alice log 1", b"alice log 2"))
    assert await relay.statements(account("alice"), 1, 2) == page
    assert await relay.statements_named("alice", 1, 2) == page
    assert (await relay.statements(account("alice"), 0, 100)).statements[4:] == (b"alice log 4",)
    for start in (5, 6, 2**64 - 1):
        assert await relay.statements(account("alice"), start, 2) == LogPage(
            account("alice"), position(5), ()
        )
    assert await relay.statements(account("carol"), 0, 2) is None
    assert await relay.statements_named("carol", 0, 2) is None


async def test_named_keys_are_remembered(relay):
    """Keys are told apart by account, added to, and never forgotten."""
    await relay.commit([append("alice"), NameKeys(account("alice"), frozenset({b"a", b"b"})), append("bob")])
    await relay.commit([NameKeys(account("alice"), frozenset({b"b", b"c"}))])
    asked = [(account(name), key) for name in ("alice", "bob", "carol") for key in (b"a", b"b", b"c", b"d")]
    assert await relay.named_keys(asked) == {(account("alice"), key) for key in (b"a", b"b", b"c")}
    await refused(relay, ConflictKind.UNKNOWN, NameKeys(account("carol"), frozenset({b"a"})))


async def test_an_account_claims_few_names(relay):
    """Names are for ever, so that one account may not take them all; those that it has it may take again."""
    names = [f"name{n}" for n in range(16)]
    for held, name in enumerate(names):
        await relay.commit([append("alice", 1, held=held, name=name)])
    await refused(relay, ConflictKind.TOO_MANY, append("alice", 1, held=16, name="one-more"))
    await relay.commit([append("alice", 1, held=16, name="name3"), append("bob", name="one-more")])
    found = await relay.accounts_named([*names, "one-more"])
    assert [record.account for record in found.values()] == [account("alice")] * 16 + [account("bob")]


async def test_evidence_against_one_is_bounded(relay):
    """Eight pairs against a device prove as much as any number, and others are accused beside it."""
    for n in range(10):
        pair = (bytes([n]), b"other")
        await relay.commit([PutEvidence(EvidenceRecord("equivocation", device("mallory"), *pair, NOW))])
    await relay.commit([PutEvidence(EvidenceRecord("equivocation", device("bob"), b"1", b"2", NOW))])
    kept = (await relay.evidence(0, 100)).items
    assert [record.subject for record in kept] == [device("mallory")] * 8 + [device("bob")]


async def test_hold_stands_until_lifted(relay):
    """An account's hold survives news of its log and ends when it is lifted."""
    await relay.commit([append("alice")])
    await relay.commit([HoldAccount(account("alice"), "forked")])
    await relay.commit([append("alice", held=1)])
    assert (await relay.accounts([account("alice")]))[account("alice")].held == "forked"
    await relay.commit([HoldAccount(account("alice"), "")])
    assert (await relay.accounts([account("alice")]))[account("alice")].held == ""
    await refused(relay, ConflictKind.UNKNOWN, HoldAccount(account("bob"), "forked"))


async def test_commit_is_all_or_nothing(relay):
    """When one change conflicts, those before it leave nothing behind, not even a number given out."""
    await relay.commit([envelope("alice", 1, "bob/coder", ["bob"])])
    await refused(
        relay,
        ConflictKind.UNKNOWN,
        envelope("alice", 2, "bob/coder", ["bob"]),
        append("alice"),
        PutSetting("a", b"b"),
        HoldAccount(account("nobody"), "why"),
    )
    assert await relay.accounts([account("alice")]) == {}
    assert await relay.settings(["a"]) == {}
    assert await texts(relay, "bob") == [(1, "alice 1 bob/coder")]
    assert await relay.commit([envelope("alice", 3, "bob/coder", ["bob"])]) == (stored(2, ("bob", 2)),)


async def test_empty_commit_is_nothing(relay):
    """A commit without changes answers without results."""
    assert await relay.commit([]) == ()


# --- cards and connections --------------------------------------------------------------------------------


async def test_higher_card_replaces_lower(relay):
    """Of an agent's cards the highest version is held."""
    first = CardRecord(agent("alice/helper"), 1, True, b"first")
    second = CardRecord(agent("alice/helper"), 2, True, b"second")
    await relay.commit([PutCard(first), PutCard(second), PutCard(second)])
    await refused(relay, ConflictKind.STALE_VERSION, PutCard(first))
    assert await relay.cards([agent("alice/helper"), agent("bob/coder")]) == {second.agent: second}


async def test_a_card_takes_the_place_of_the_one_that_it_names(relay):
    """Whatever that one's version; of one that is not held any more it is not."""
    last, first = (CardRecord(agent("alice/helper"), n, True, b"%d" % n) for n in (2**64 - 1, 1))
    await relay.commit([PutCard(last)])
    await refused(relay, ConflictKind.STALE_VERSION, PutCard(first, instead_of=b"another"))
    await relay.commit([PutCard(first, instead_of=last.raw)])
    assert await relay.cards([first.agent]) == {first.agent: first}


async def test_directory_lists_public_cards_in_order(relay):
    """Public cards are listed page by page, private ones never."""
    cards = [CardRecord(agent(f"alice/a{n}"), 1, n != 3, b"card %d" % n) for n in range(6)]
    await relay.commit([PutCard(card) for card in cards])
    first = await relay.public_cards(None, 3)
    assert first == (cards[0], cards[1], cards[2])
    assert await relay.public_cards(first[-1].agent, 3) == (cards[4], cards[5])


async def test_connection_is_found_by_pair_and_by_request(relay):
    """A connection is found from either side while it lasts, and by its request even when it is over."""
    one = connection("alice/helper", "bob/coder")
    other = connection("bob/coder", "alice/helper", n=2)
    await relay.commit([PutConnection(one), PutConnection(other), PutConnection(one)])
    pair = AgentPair.of(agent("bob/coder"), agent("alice/helper"))
    absent = AgentPair.of(agent("bob/coder"), agent("carol/x"))
    assert await relay.connections([pair, absent]) == {pair: (one, other)}
    await relay.commit([EndConnection(one.request, b"end"), EndConnection(one.request, b"again")])
    assert await relay.connections([pair]) == {pair: (other,)}
    found = (await relay.connections_by_request([one.request, sha("none")]))[one.request]
    assert (found.end_raw, found.accept_raw) == (b"end", one.accept_raw)
    await refused(relay, ConflictKind.ENDED, PutConnection(one))
    await refused(relay, ConflictKind.UNKNOWN, EndConnection(sha("none"), b"end"))


async def test_an_account_has_no_more_connections_than_a_change_allows(relay):
    """Of either side, ended ones too; what is held already is nothing new."""
    one = connection("alice/helper", "bob/coder")
    await relay.commit([PutConnection(one, 1), EndConnection(one.request, b"end")])
    for other in (connection("alice/helper", "carol/coder"), connection("carol/coder", "bob/coder")):
        await refused(relay, ConflictKind.TOO_MANY, PutConnection(other, 1))
        await relay.commit([PutConnection(other, 2), PutConnection(other, 1)])


async def test_accounts_are_linked_by_a_lasting_connection(relay):
    """Two accounts are linked while any two of their agents are connected, whichever asked."""
    one = connection("alice/helper", "bob/coder")
    await relay.commit([PutConnection(one)])
    alice, bob, carol = account("alice"), account("bob"), account("carol")
    asked = [(alice, bob), (bob, alice), (alice, carol)]
    assert await relay.linked(asked) == {(alice, bob), (bob, alice)}
    await relay.commit([EndConnection(one.request, b"end")])
    assert await relay.linked(asked) == frozenset()


async def test_grants_of_highest_version_are_held_for_each_direction(relay):
    """A higher grant replaces, an equal one is kept beside, a lower one is refused."""
    one = connection("alice/helper", "bob/coder")
    request = one.request
    await relay.commit([PutConnection(one), PutGrant(grant(request, "alice/helper", 1))])
    await relay.commit([PutGrant(grant(request, "bob/coder", 1))])
    await relay.commit([PutGrant(grant(request, "alice/helper", 2))])
    await relay.commit([PutGrant(grant(request, "alice/helper", 2, "another"))])
    await relay.commit([PutGrant(grant(request, "alice/helper", 2, "another"))])
    await refused(relay, ConflictKind.STALE_VERSION, PutGrant(grant(request, "alice/helper", 1, "x")))
    held = (await relay.connections_by_request([request]))[request]
    assert set(held.grants) == {
        grant(request, "bob/coder", 1),
        grant(request, "alice/helper", 2),
        grant(request, "alice/helper", 2, "another"),
    }
    assert len(held.grants) == 3


async def test_grant_needs_a_lasting_connection(relay):
    """A grant for no connection, or for one that is over, is refused; so is a ninth of one version."""
    one = connection("alice/helper", "bob/coder")
    await refused(relay, ConflictKind.UNKNOWN, PutGrant(grant(one.request, "bob/coder", 1)))
    await relay.commit([PutConnection(one)])
    await relay.commit([PutGrant(grant(one.request, "bob/coder", 1, f"g{n}")) for n in range(8)])
    await refused(relay, ConflictKind.TOO_MANY, PutGrant(grant(one.request, "bob/coder", 1, "ninth")))
    await relay.commit([EndConnection(one.request, b"end")])
    await refused(relay, ConflictKind.ENDED, PutGrant(grant(one.request, "bob/coder", 2)))


async def test_connection_brings_its_first_grants(relay):
    """Grants that stand in a new connection are held with it."""
    one = connection("alice/helper", "bob/coder")
    grants = (grant(one.request, "alice/helper", 1), grant(one.request, "bob/coder", 1))
    one = type(one)(one.request, one.from_, one.to, one.request_raw, one.accept_raw, grants)
    await relay.commit([PutConnection(one)])
    assert (await relay.connections_by_request([one.request]))[one.request] == one


async def test_contacts_and_rates_are_replaced(relay):
    """The last contact state and token bucket of a flow count; the other direction is another flow."""
    there, back = flow("alice/helper", "bob/coder"), flow("bob/coder", "alice/helper")
    await relay.commit([RecordContact(there, ContactState(1)), RecordRate(there, RateRecord(5, NOW))])
    await relay.commit([RecordContact(there, ContactState(2, answered=True))])
    await relay.commit([RecordRate(there, RateRecord(7, Instant(NOW + 1)))])
    await relay.commit([RecordContact(back, ContactState(1))])
    assert await relay.contacts([there, back]) == {there: ContactState(2, True), back: ContactState(1)}
    assert await relay.rates([there, back]) == {there: RateRecord(7, Instant(NOW + 1))}


async def test_settings_come_and_go(relay):
    """A setting is replaced by the next and can be dropped."""
    await relay.commit([PutSetting("a", b"1"), PutSetting("b", b"2"), PutSetting("a", b"3")])
    assert await relay.settings(["a", "b", "c"]) == {"a": b"3", "b": b"2"}
    await relay.commit([DropSetting("a"), DropSetting("c")])
    assert await relay.settings(["a", "b"]) == {"b": b"2"}


async def test_evidence_is_kept_once_and_read_in_pages(relay):
    """The same proof twice is kept once; the others come in the order in which they were found."""
    proofs = [EvidenceRecord("equivocation", device("a"), b"1", b"%d" % n, NOW) for n in range(5)]
    await relay.commit([PutEvidence(proof) for proof in (*proofs, proofs[0])])
    first = await relay.evidence(0, 3)
    second = await relay.evidence(first.next, 3)
    assert [e.second for e in first.items + second.items] == [b"0", b"1", b"2", b"3", b"4"]
    assert second.next is None
    assert all(e.place > 0 for e in first.items)


async def test_many_keys_at_once_are_one_read(relay):
    """Reads take more keys than a query takes parameters."""
    await relay.commit([append(f"a{n}") for n in range(40)])
    found = await relay.accounts([account(f"a{n}") for n in range(3_000)])
    assert len(found) == 40


async def test_two_agents_have_few_connections_that_last(relay):
    """All of them are read before the first mail between the two; one that ended makes room."""
    await relay.commit([append(name) for name in ("alice", "bob")])
    ways = [("alice/helper", "bob/coder"), ("bob/coder", "alice/helper")]
    made = [connection(*ways[n % 2], n=n) for n in range(CONNECTIONS_OF_PAIR + 1)]
    await relay.commit([PutConnection(one) for one in made[:-1]])
    await refused(relay, ConflictKind.TOO_MANY, PutConnection(made[-1]))
    await relay.commit([PutConnection(made[0]), PutConnection(connection("alice/other", "bob/coder"))])
    await relay.commit([EndConnection(made[0].request, b"the end")])
    await relay.commit([PutConnection(made[-1])])


async def test_an_accounts_connections_are_listed_by_request(relay):
    """Whichever side asked, ended ones too, page by page, with their grants; nobody else's."""
    ours = [
        connection("alice/helper", "bob/coder"),
        connection("carol/coder", "alice/helper"),
        connection("alice/helper", "bob/coder", n=2),
        connection("alice/other", "alice/helper"),
    ]
    await relay.commit([append(name) for name in ("alice", "bob", "carol")])
    await relay.commit([PutConnection(one) for one in (*ours, connection("bob/coder", "carol/coder"))])
    first = grant(ours[0].request, "alice/helper", 1)
    await relay.commit([PutGrant(first), EndConnection(ours[1].request, b"the end")])
    listed = await relay.connections_of(account("alice"), None, 10)
    assert [one.request for one in listed] == sorted(one.request for one in ours)
    by_request = {one.request: one for one in listed}
    assert by_request[ours[0].request].grants == (first,)
    assert by_request[ours[1].request].end_raw == b"the end"
    assert await relay.connections_of(account("alice"), None, 2) == listed[:2]
    assert await relay.connections_of(account("alice"), listed[1].request, 10) == listed[2:]
    assert await relay.connections_of(account("nobody"), None, 10) == ()
