"""A machine that is a thief's uses up the numbers of cards and permissions: it is put out all the same."""

from __future__ import annotations

import attrs
import pytest

from taskferry_apps.daemon.draft import Draft
from taskferry_apps.daemon.port import CardChange, DaemonRefusal, GrantChange
from taskferry_apps.daemon.publications import Publication, Subject, note
from taskferry_apps.daemon.recovery_port import NewRecovery
from taskferry_apps.daemon.service import Daemon
from taskferry_apps.daemon.shares import share
from taskferry_protocol import calls
from taskferry_protocol.call_answers import CardFound
from taskferry_protocol.cards import Card, recall_card, sign_card
from taskferry_protocol.connections import recall_request
from taskferry_protocol.ids import Hash, sha256
from taskferry_protocol.limits import UINT_LIMIT
from taskferry_protocol.messages import CardUpdate, SharedCard
from taskferry_protocol.permissions import GRANTABLE, recall_grant, sign_grant
from taskferry_protocol.records import CardRecord, GrantRecord, PutCard, PutGrant
from tests.daemon.worlds import OWNER, URL, Machine, until

from .machines import Pair, a_pair, log_of

LAST = UINT_LIMIT - 1


async def _use_up(thief: Daemon, pair: Pair) -> None:
    """Sign a card with the last number, and show it to everybody who takes cards."""
    core = thief._core
    ref = core.agent("requester")
    async with core.lock:
        draft = Draft(core)
        log = await draft.own_log()
        card = Card(ref, LAST, draft.now, log.position, tagline="Pay me")
        raw = sign_card(card, core.manage)
        draft.add(PutCard(CardRecord(ref, LAST, False, raw)))
        await share(draft, (SharedCard(raw),))
        own, peer = core.agent(""), pair.bob._core.agent("")
        await draft.post_quietly(CardUpdate(raw), own, peer)
        await note(draft, Publication(Subject.CARD, b"requester"))
        await draft.commit()
    core.outgoing.ring()

    async def everywhere() -> bool:
        shown = [view.version for view in await pair.second.agents(OWNER)]
        return shown == [LAST] and await _at_bob(pair) == LAST and await _at_relay(pair) == LAST

    await until(everywhere)


async def _at_bob(pair: Pair) -> int | None:
    (connection,) = await pair.bob.connections(OWNER, "accepted", "")
    return connection.card.version if connection.card is not None else None


async def _at_relay(pair: Pair) -> int | None:
    answer = await pair.bob._link.call(calls.GetCard(pair.first._core.agent("requester")))
    return recall_card(answer.card).version if isinstance(answer, CardFound) else None


async def _home(pair: Pair) -> str:
    (home,) = [id for id in (await log_of(pair.first)).state.devices if id != pair.device]
    return home.hex()


async def test_a_machine_that_signed_a_card_with_the_last_number_is_put_out_and_its_card_replaced():
    """Nobody takes its word any more, so that what its owner signs counts in its place, everywhere."""
    async with a_pair() as pair:
        await _use_up(pair.first, pair)
        await pair.second.devices.revoke(OWNER, await _home(pair), "stolen", lose=True)
        view = await pair.second.edit_agent(OWNER, "requester", CardChange(tagline="Asks"))
        assert view.tagline == "Asks"

        async def told() -> bool:
            return await _at_bob(pair) == await _at_relay(pair) == view.version

        await until(told)


async def test_while_it_stands_its_owner_is_told_what_to_do():
    """There is no number after the last one; the machine that signed it has to go first."""
    async with a_pair() as pair:
        await _use_up(pair.first, pair)
        with pytest.raises(DaemonRefusal) as refused:
            await pair.second.edit_agent(OWNER, "requester", CardChange(tagline="Asks"))
        assert (refused.value.code, refused.value.status) == ("conflict", 409)
        assert "device revoke" in refused.value.next_step


async def test_its_owner_takes_the_account_back_on_an_empty_machine():
    """The relay shows a card with the last number, which was good by the log before the recovery."""
    async with a_pair() as pair:
        await _use_up(pair.first, pair)
        async with pair.world.running(Machine("alice again")) as fresh:
            back = await fresh.recovery.recover(OWNER, NewRecovery(pair.recovery, "alice", relay=URL))
            assert back.agents == ("requester",)
            (view,) = await fresh.agents(OWNER)
            assert view.version < LAST

            async def told() -> bool:
                return await _at_relay(pair) == view.version

            await until(told)


async def test_a_permission_with_the_last_number_is_told_of_and_ends_with_its_connection():
    """It cannot be changed any more; its owner hears that, and can end the connection."""
    async with a_pair() as pair:
        (connection,) = await pair.second.connections(OWNER, "accepted", "")
        await _permit_for_ever(pair, connection.id)
        with pytest.raises(DaemonRefusal) as refused:
            await pair.second.set_permissions(OWNER, connection.id.hex(), GrantChange(classes=()))
        assert (refused.value.code, refused.value.status) == ("conflict", 409)
        assert "connection" in refused.value.next_step
        await pair.second.end_connection(OWNER, connection.id.hex(), "revoked", "")
        assert not await pair.second.connections(OWNER, "accepted", "")


async def _permit_for_ever(pair: Pair, request: Hash) -> None:
    """The first machine signs a permission with the last number, and the second one takes it."""
    core = pair.first._core
    record = (await core.store.connections((request,)))[request]
    given = next(grant for grant in record.grants if grant.grantor == record.mine)
    raw = sign_grant(
        recall_request(record.request_raw),
        record.mine,
        before=attrs.evolve(recall_grant(given.raw), version=LAST - 1),
        at=core.now(),
        until=None,
        classes=GRANTABLE,
        rate=60,
        largest=200_000,
        terms=sha256(given.terms),
        log=(await log_of(pair.first)).position,
        by=core.manage,
    )
    await pair.second._core.commit((PutGrant(GrantRecord(request, record.mine, LAST, raw, given.terms)),))
