"""A block that its owner takes back on one machine is taken back on the other, too."""

from __future__ import annotations

from functools import partial

import pytest

from taskferry_apps.daemon.bonds import Bond
from taskferry_apps.daemon.draft import Draft
from taskferry_apps.daemon.lifting import lifted_by
from taskferry_apps.daemon.service import Daemon
from taskferry_protocol.connections import EndKind, sign_end
from taskferry_protocol.ids import Instant
from tests.daemon.worlds import OWNER, until

from .machines import Pair, a_pair

PAIR = ("requester", "@bob/writer")


async def _brought_up_to_date(pair: Pair) -> bool:
    return not await pair.first._sharing.jobs()


async def _ends(daemon: Daemon) -> list[str]:
    return [one.end_kind for one in await daemon.connections(OWNER, "ended", "")]


async def test_an_agent_that_is_unblocked_on_one_machine_is_heard_on_both():
    """The other one had been told of the block; what that agent asks next is shown there as well."""
    async with a_pair() as pair:
        # What a new machine is given of the past would tell it, too.
        await until(partial(_brought_up_to_date, pair))
        await pair.first.end_connection(OWNER, PAIR, "blocked", "")

        async def blocked() -> bool:
            return await _ends(pair.second) == ["blocked"] and await _ends(pair.bob) == ["blocked"]

        await until(blocked)
        await pair.first.gates.unblock(OWNER, PAIR)

        async def lifted() -> bool:
            return await _ends(pair.second) == ["revoked"]

        await until(lifted)
        await pair.bob.request_connection(OWNER, "writer", "@alice/requester", "again")

        async def asked() -> bool:
            waiting = [await one.connections(OWNER, "requested_in", "") for one in (pair.first, pair.second)]
            return all(waiting)

        await until(asked)


async def test_a_block_is_taken_back_on_both_though_its_machines_clock_was_ahead():
    """The end that follows it bears a time that is no earlier."""
    async with a_pair() as pair:
        await until(partial(_brought_up_to_date, pair))
        pair.world.clock.ahead_ms += 60_000
        await pair.first.end_connection(OWNER, PAIR, "blocked", "")

        async def blocked() -> bool:
            return await _ends(pair.second) == ["blocked"]

        await until(blocked)
        pair.world.clock.ahead_ms -= 60_000
        await pair.first.gates.unblock(OWNER, PAIR)

        async def lifted() -> bool:
            return await _ends(pair.second) == ["revoked"]

        await until(lifted)


@pytest.mark.parametrize(
    ("whose", "later_ms", "lifts"), [("mine", 1, True), ("mine", -1, False), ("peer", 1, False)]
)
async def test_only_a_later_word_of_the_same_owner_takes_a_block_back(whose, later_ms, lifts):
    """Not an end from before the block, nor one that the blocked agent's owner has signed."""
    async with a_pair() as pair:
        await pair.first.end_connection(OWNER, PAIR, "blocked", "")

        async def blocked() -> bool:
            return await _ends(pair.second) == ["blocked"]

        await until(blocked)
        core = pair.second._core
        (shown,) = await pair.second.connections(OWNER, "ended", "")
        held = (await core.store.connections((shown.id,)))[shown.id]
        signer = pair.first if whose == "mine" else pair.bob
        log = await signer._core.own_log()
        end = sign_end(
            Bond(held).request,
            getattr(held, whose),
            EndKind.REVOKED,
            at=Instant(held.updated_at + later_ms * 60_000),
            log=log.position,
            by=signer._core.manage,
        )
        assert (lifted_by(held, end, Draft(core)) is not None) is lifts
