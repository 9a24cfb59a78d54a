"""What a worker says of a daemon that goes and comes, with several requests under way."""

from __future__ import annotations

import trio
import trio.testing

from taskferry_apps.client.errors import DaemonAway
from taskferry_apps.client.plans import Pause, Plan
from taskferry_apps.worker.line import Line
from taskferry_apps.worker.telling import Told, What


async def test_an_answer_to_what_was_asked_before_is_no_return(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A daemon that stops still answers what waits at it: away is said once, and back only once it is."""
    told: list[What] = []

    def tell(what: Told) -> None:
        told.append(what.what)

    line = Line("writer", "tfa_token", lambda: "http://127.0.0.1:1", tell)
    tries = 0

    def waiting() -> Plan[None]:
        """Answered only after another request has found nobody."""
        while not told:
            yield Pause(0.001)

    def knocking() -> Plan[None]:
        """Nobody answers, twice; then somebody does."""
        nonlocal tries
        tries += 1
        if tries <= 2:
            raise DaemonAway("No daemon answers.")
        yield Pause(0.001)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(line.do, waiting)
        await trio.testing.wait_all_tasks_blocked()
        await line.do(knocking)
    await line.aclose()
    assert told == [What.AWAY, What.BACK]
