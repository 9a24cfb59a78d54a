"""Cards that a machine signed which was put out since: they say what they said, and can be changed."""

from __future__ import annotations

from taskferry_apps.daemon.port import CardChange
from taskferry_protocol.cards import Card, sign_card
from taskferry_protocol.records import CardRecord, PutCard
from tests.daemon.worlds import OWNER, until

from .machines import a_pair, log_of


async def test_the_agents_of_a_machine_that_was_put_out_are_shown_and_their_cards_changed():
    """The machine that is left lists them as before, and signs what its owner changes."""
    async with a_pair() as pair:
        await pair.first.edit_agent(OWNER, "requester", CardChange(tagline="Asks"))

        async def followed() -> bool:
            return next(v.version for v in await pair.second.agents(OWNER) if v.name == "requester") == 2

        await until(followed)
        (home,) = [id for id in (await log_of(pair.first)).state.devices if id != pair.device]
        await pair.second.devices.revoke(OWNER, home.hex(), "lost", lose=True)
        # Others believe no word of the machine that is gone: the same is signed anew.
        (view,) = await pair.second.agents(OWNER)
        assert (view.tagline, view.version) == ("Asks", 3)
        view = await pair.second.edit_agent(OWNER, "requester", CardChange(display_name="R"))
        assert (view.display_name, view.tagline, view.version) == ("R", "Asks", 4)

        async def told() -> bool:
            (connection,) = await pair.bob.connections(OWNER, "accepted", "")
            return connection.card is not None and connection.card.version == 4

        await until(told)


async def test_what_a_machine_signed_that_left_by_itself_is_shown_and_changed():
    """Nobody has signed it anew since: its owner reads it all the same, and a change goes on from it."""
    async with a_pair() as pair:
        core, key = pair.second._core, pair.first._core.manage
        ref, before = core.agent("requester"), await log_of(pair.first)
        (home,) = [id for id in before.state.devices if id != pair.device]
        await pair.second.devices.revoke(OWNER, home.hex(), "lost", lose=True)
        raw = sign_card(Card(ref, 9, core.now(), before.position, tagline="Asks"), key)
        await core.commit((PutCard(CardRecord(ref, 9, False, raw)),))
        (view,) = await pair.second.agents(OWNER)
        assert (view.tagline, view.version) == ("Asks", 9)
        view = await pair.second.edit_agent(OWNER, "requester", CardChange(tagline="Asks"))
        assert (view.tagline, view.version) == ("Asks", 10)
        assert await pair.second.edit_agent(OWNER, "requester", CardChange(tagline="Asks")) == view
