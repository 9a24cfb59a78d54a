"""Set-up as one step for its caller: account and keys are made, and the name is claimed at the relay."""

from __future__ import annotations

from typing import Final

import trio

from .core import Core
from .link import Link
from .owner import Owner
from .port import Caller
from .short_sessions import NOT_LET_IN
from .views import SetUp

__all__ = ["set_up"]

#: How long set-up waits for the relay to take the owner's name.
CLAIM_S: Final = 15.0


async def set_up(
    core: Core, link: Link, owner: Owner, caller: Caller, name: str, relay: str, label: str, ticket: str
) -> SetUp:
    """Make account and keys, and claim the name; where no relay has let it in yet, try otherwise."""
    if core.account is not None and (
        link.refused in NOT_LET_IN or await owner.may_go_elsewhere(caller, name, relay)
    ):
        link.check_relay(relay, ticket)
        await owner.try_again(caller, name, relay, ticket)
        link.begin_afresh()
        recovery = await owner.untold_phrase()
    else:
        recovery = await owner.set_up(caller, name, relay, label, ticket)
    # Whoever hangs up meanwhile and asks again is told the phrase then.
    claimed = await wait_claimed(core, link)
    await owner.phrase_told()
    return SetUp(name, core.own, core.device, recovery, claimed)


async def wait_claimed(core: Core, link: Link) -> bool:
    """Whether the relay has taken the name, as soon as that is known, or after `CLAIM_S`."""
    with trio.move_on_after(CLAIM_S):
        # Where nothing answered, waiting brings nothing: the link goes on trying by itself.
        while not (link.connected or link.away) and link.refused is None:
            heard = core.feed.next
            with trio.move_on_after(0.25):
                await heard.wait()
    return link.connected
