"""What every daemon store promises about accounts, agents, connections, credentials and invites."""

import attrs

from taskferry_protocol.ids import Instant
from taskferry_protocol.records import (
    CardRecord,
    Counted,
    DropAgent,
    DropSetting,
    EvidenceRecord,
    Flow,
    HoldAccount,
    IdempotencyRecord,
    InviteRecord,
    LocalAgent,
    PurgeAnswers,
    PutAgent,
    PutAnswer,
    PutCard,
    PutEvidence,
    PutGrant,
    PutInvite,
    PutSetting,
    PutToken,
    RateRecord,
    RecordRate,
    ReleaseName,
    RevokeToken,
    SaveConnection,
    Saved,
    SetTrust,
    TokenRecord,
    Trust,
    UseInvite,
)
from taskferry_protocol.records import ConnectionState as State
from taskferry_stores.port import ConflictKind

from .samples import (
    DAY,
    NOW,
    account,
    agent,
    append,
    device,
    flow,
    grant,
    peer_connection,
    refused,
    sha,
)


async def test_account_is_pinned_with_its_trust(daemon):
    """A new account is unverified until it is said how it came; its log grows by compare and swap."""
    alice, bob = account("alice"), account("bob")
    await daemon.commit([append("alice"), SetTrust(alice, Trust.OWN, NOW), append("bob", 2)])
    found = await daemon.accounts([alice, bob, account("carol")])
    assert {key: (pinned.trust, pinned.pinned_at) for key, pinned in found.items()} == {
        alice: (Trust.OWN, NOW),
        bob: (Trust.UNVERIFIED, 0),
    }
    assert found[bob].record.statements == (b"bob log 0", b"bob log 1")
    await daemon.commit([SetTrust(bob, Trust.VERIFIED, Instant(NOW + 1)), append("bob", held=2)])
    bob_now = (await daemon.accounts([bob]))[bob]
    assert (bob_now.trust, bob_now.record.position.length) == (Trust.VERIFIED, 3)
    await refused(daemon, ConflictKind.UNKNOWN, SetTrust(account("carol"), Trust.VERIFIED, NOW))
    await refused(daemon, ConflictKind.LOG_MOVED, append("bob", held=2))
    assert await daemon.own_account() == found[alice]


async def test_second_claimant_of_a_name_is_refused(daemon):
    """A pinned name stays with its account, also after a rename, and finds it."""
    await daemon.commit([append("alice"), append("alice", held=1, name="alicia")])
    await refused(daemon, ConflictKind.NAME_TAKEN, append("mallory", name="alice"))
    found = await daemon.accounts_named(["alice", "alicia", "bob"])
    assert {name: pinned.record.account for name, pinned in found.items()} == {
        "alice": account("alice"),
        "alicia": account("alice"),
    }


async def test_a_released_name_is_free_for_another_account(daemon):
    """The account that had it is called otherwise, and its older names and its log stay."""
    alice, mallory = account("alice"), account("mallory")
    await daemon.commit([append("alice")])
    await refused(daemon, ConflictKind.UNKNOWN, ReleaseName(mallory, "alice", "alice~1"))
    await daemon.commit([ReleaseName(alice, "alice", "alice~1"), append("mallory", name="alice")])
    named = await daemon.accounts_named(["alice"])
    assert named["alice"].record.account == mallory
    assert (await daemon.accounts([alice]))[alice].record.name == "alice~1"
    await daemon.commit([append("alice", held=1, name="alice~1")])
    assert (await daemon.accounts([alice]))[alice].record.position.length == 2


async def test_alarm_is_kept_with_the_account(daemon):
    """An account that is held stays so, with the reason, until it is let go."""
    await daemon.commit([append("bob"), HoldAccount(account("bob"), "forked")])
    assert (await daemon.accounts([account("bob")]))[account("bob")].record.held == "forked"
    await daemon.commit([HoldAccount(account("bob"), "")])
    assert (await daemon.accounts([account("bob")]))[account("bob")].record.held == ""


async def test_accounts_are_listed_page_by_page(daemon):
    """All pinned accounts are listed by id, each once."""
    await daemon.commit([append(f"a{n}") for n in range(5)])
    ids = sorted(account(f"a{n}") for n in range(5))
    first = await daemon.all_accounts(None, 3)
    second = await daemon.all_accounts(first[-1].record.account, 3)
    assert [pinned.record.account for pinned in first + second] == ids
    assert await daemon.own_account() is None


async def test_agents_and_cards_are_kept(daemon):
    """Our agents are listed by name; a card of ours or a peer's is found by agent."""
    agents = [LocalAgent(name, '{"a": 1}', NOW) for name in ("b", "a", "c")]
    card = CardRecord(agent("bob/coder"), 2**64 - 1, False, b"card")
    await daemon.commit([*(PutAgent(a) for a in agents), PutCard(card)])
    await daemon.commit([PutAgent(LocalAgent("a", "{}", NOW)), DropAgent("c"), DropAgent("z")])
    assert await daemon.agents() == (LocalAgent("a", "{}", NOW), agents[0])
    assert await daemon.cards([card.agent]) == {card.agent: card}


async def test_connection_is_saved_from_the_revision_that_was_read(daemon):
    """A connection is changed only by who has seen its present state; every field survives."""
    record = peer_connection(
        "alice/helper", "bob/coder", note="hello", invite=b"i" * 16, invite_state="valid"
    )
    assert await daemon.commit([SaveConnection(record)]) == (Saved(1),)
    await refused(daemon, ConflictKind.REVISION, SaveConnection(record))
    held = (await daemon.connections([record.request, sha("none")]))[record.request]
    assert held == attrs.evolve(record, revision=1)
    accepted = attrs.evolve(held, state=State.ACCEPTED, accept_raw=b"accept", updated_at=Instant(NOW + 1))
    assert await daemon.commit([SaveConnection(accepted)]) == (Saved(2),)
    await refused(daemon, ConflictKind.REVISION, SaveConnection(held))
    found = (await daemon.connections([record.request]))[record.request]
    assert found == attrs.evolve(accepted, revision=2)


async def test_connections_are_found_by_agents(daemon):
    """Connections are found by both agents in one read, and listed by agent of ours, page by page."""
    records = [peer_connection("alice/helper", "bob/coder", n=n) for n in range(3)]
    other = peer_connection("alice/other", "carol/x")
    for record in (*records, other):
        await daemon.commit([SaveConnection(record)])
    helper, absent = flow("alice/helper", "bob/coder"), flow("bob/coder", "alice/helper")
    found = await daemon.connections_with([helper, absent, Flow(other.mine, other.peer)])
    assert {key: [c.request for c in value] for key, value in found.items()} == {
        helper: [record.request for record in records],
        Flow(other.mine, other.peer): [other.request],
    }
    first = await daemon.connections_of("helper", 0, 2)
    second = await daemon.connections_of("helper", first.next, 2)
    assert [c.request for c in first.items + second.items] == [r.request for r in records]
    assert second.next is None
    assert len((await daemon.connections_of(None, 0, 10)).items) == 4


async def test_a_grant_gets_its_terms_where_they_come_later(daemon):
    """A relay shows the grant, and has no terms; what is held of them is not given away again."""
    request = peer_connection("alice/helper", "bob/coder").request
    bare, whole = (grant(request, "alice/helper", 1, terms=terms) for terms in (b"", b"terms"))
    assert bare.raw == whole.raw
    await daemon.commit([SaveConnection(peer_connection("alice/helper", "bob/coder", grants=(bare,)))])
    for offered in (whole, bare):
        await daemon.commit([PutGrant(offered)])
        assert (await daemon.connections([request]))[request].grants == (whole,)


async def test_grants_keep_their_terms(daemon):
    """Grants of both directions are held with their opened terms, the highest version of each."""
    request = peer_connection("alice/helper", "bob/coder").request
    first = grant(request, "alice/helper", 1, terms=b"terms")
    record = peer_connection("alice/helper", "bob/coder", grants=(first,))
    theirs, newer = grant(request, "bob/coder", 1), grant(request, "alice/helper", 2, terms=b"t2")
    await refused(daemon, ConflictKind.UNKNOWN, PutGrant(theirs))
    await daemon.commit([SaveConnection(record), PutGrant(theirs)])
    assert (await daemon.connections([request]))[request].grants == (first, theirs)
    await daemon.commit([PutGrant(newer)])
    held = (await daemon.connections([request]))[request]
    assert set(held.grants) == {theirs, newer}
    await refused(daemon, ConflictKind.STALE_VERSION, PutGrant(grant(request, "alice/helper", 1, "x")))
    await daemon.commit([SaveConnection(attrs.evolve(held, state=State.ENDED, grants=()))])
    assert set((await daemon.connections([request]))[request].grants) == {theirs, newer}
    await refused(daemon, ConflictKind.ENDED, PutGrant(grant(request, "bob/coder", 2)))


async def test_rates_settings_and_evidence_are_kept(daemon):
    """Token buckets are replaced, settings come and go, evidence is kept once."""
    there = flow("bob/coder", "alice/helper")
    proof = EvidenceRecord("equivocation", device("bob"), b"1", b"2", NOW)
    await daemon.commit([RecordRate(there, RateRecord(1, NOW)), RecordRate(there, RateRecord(2, NOW))])
    await daemon.commit([PutSetting("a", b"1"), PutSetting("b", b"2"), DropSetting("a")])
    await daemon.commit([PutEvidence(proof), PutEvidence(proof)])
    assert await daemon.rates([there]) == {there: RateRecord(2, NOW)}
    assert await daemon.settings(["a", "b"]) == {"b": b"2"}
    page = await daemon.evidence(0, 10)
    assert [(e.kind, e.first, e.second) for e in page.items] == [("equivocation", b"1", b"2")]


async def test_tokens_are_kept_by_digest(daemon):
    """A credential is found by its digest with its scope, and stays listed when it is revoked."""
    owner = TokenRecord(b"o" * 32, "owner", "owner", (), NOW)
    helper = TokenRecord(b"h" * 32, "helper's", "agent", ("helper", "other"), Instant(NOW + 1))
    await daemon.commit([PutToken(helper), PutToken(owner)])
    assert await daemon.tokens() == (owner, helper)
    assert await daemon.token(helper.digest) == helper
    assert await daemon.token(b"x" * 32) is None
    await daemon.commit([RevokeToken(helper.digest, Instant(NOW + 2))])
    await daemon.commit([RevokeToken(helper.digest, Instant(NOW + 3))])
    assert (await daemon.token(helper.digest)).revoked_at == NOW + 2
    await refused(daemon, ConflictKind.UNKNOWN, RevokeToken(b"x" * 32, NOW))


async def test_request_is_answered_under_its_key_once(daemon):
    """An answer is found by scope and key, is not replaced, and is forgotten when its time is over."""
    answer = IdempotencyRecord("owner", "key", b"d" * 32, b"response", Instant(NOW + DAY))
    elsewhere = attrs.evolve(answer, scope="helper", expires_at=Instant(NOW + 2 * DAY))
    await daemon.commit([PutAnswer(answer), PutAnswer(elsewhere)])
    await refused(daemon, ConflictKind.KEY_USED, PutSetting("x", b"y"), PutAnswer(answer))
    assert await daemon.settings(["x"]) == {}
    assert await daemon.answers("owner", ("key", "other")) == {"key": answer}
    assert await daemon.commit([PurgeAnswers(Instant(NOW + DAY), 10)]) == (Counted(1),)
    assert await daemon.answers("owner", ("key",)) == {}
    assert await daemon.answers("helper", ("key",)) == {"key": elsewhere}


async def test_invite_is_used_as_often_as_it_says(daemon):
    """Each request counts once; used up, revoked or over, an invite lets nobody in."""
    invite = InviteRecord(
        b"i" * 16,
        "helper",
        b"raw",
        b"s" * 16,
        2,
        Instant(NOW + DAY),
        NOW,
        note="for the course",
        accepts=True,
        permissions="{}",
    )
    await daemon.commit([PutInvite(invite)])
    await refused(daemon, ConflictKind.UNKNOWN, UseInvite(b"x" * 16, sha("r"), NOW))
    await refused(daemon, ConflictKind.INVITE_USED, UseInvite(invite.id, sha("r"), invite.expires_at))
    await daemon.commit([UseInvite(invite.id, sha("r1"), NOW), UseInvite(invite.id, sha("r1"), NOW)])
    assert await daemon.invite(invite.id) == attrs.evolve(invite, used=1)
    await daemon.commit([UseInvite(invite.id, sha("r2"), NOW)])
    await refused(daemon, ConflictKind.INVITE_USED, UseInvite(invite.id, sha("r3"), NOW))
    wider = attrs.evolve(invite, uses=5)
    await daemon.commit([PutInvite(wider), UseInvite(invite.id, sha("r3"), NOW)])
    await daemon.commit([PutInvite(attrs.evolve(wider, revoked=True))])
    await refused(daemon, ConflictKind.INVITE_USED, UseInvite(invite.id, sha("r4"), NOW))
    assert await daemon.invites() == (attrs.evolve(wider, used=3, revoked=True),)
    assert await daemon.invite(b"x" * 16) is None
