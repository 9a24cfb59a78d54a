"""A block that its owner takes back on one machine is taken back on the other, too."""

from __future__ import annotations

from taskferry_apps.daemon.service import Daemon
from tests.daemon.worlds import OWNER, until

from .machines import a_pair

PAIR = ("requester", "@bob/writer")


async def _ends(daemon: Daemon) -> list[str]:
    return [one.end_kind for one in await daemon.connections(OWNER, "ended", "")]


async def test_an_agent_that_is_unblocked_on_one_machine_is_heard_on_both():
    """The other one had been told of the block; what that agent asks next is shown there as well."""
    async with a_pair() as pair:
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
