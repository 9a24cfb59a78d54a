"""What a relay says of account logs beyond what is pinned: what extends it is taken, the rest an alarm."""

from __future__ import annotations

from taskferry_protocol.accounts import LogRelation, compare
from taskferry_protocol.errors import RemoteProtocolError
from taskferry_protocol.frame_items import Refusal
from taskferry_protocol.ids import AccountId

from ..relay_client import RelayClient
from .alarms import raise_alarm
from .core import Core
from .draft import Draft
from .logbook import continued
from .publishing import fetch_log

__all__ = ["take_news", "take_own_news"]


async def take_own_news(core: Core, client: RelayClient) -> None:
    """Take what the relay has of our own log beyond what we have: another device of ours signed it."""
    own = await core.own_log()
    if client.ready.log.length <= own.state.length:
        return
    more = await fetch_log(client, own.account, own.state.length)
    async with core.lock:
        draft = Draft(core)
        try:
            log = continued(own, own.state.length, more)
        except RemoteProtocolError as error:
            text = f"The relay shows another history of this account: {error}"
            await raise_alarm(draft, text)
        else:
            if compare(own, log) is LogRelation.EXTENSION:
                draft.take_log(own, log)
        await draft.commit()


async def take_news(core: Core, client: RelayClient, account: AccountId, refusal: Refusal) -> bool:
    """Take the statements that a stale-log refusal brings, or fetch them, if they extend ours."""
    held = await core.logs.get(account)
    if held is None:
        return False
    detail = refusal.detail
    start, statements = detail.start or 0, detail.statements or ()
    if not statements or start > held.state.length:
        start, statements = held.state.length, await fetch_log(client, account, held.state.length)
    async with core.lock:
        draft = Draft(core)
        held = await core.logs.get(account)
        if held is None:
            return False
        try:
            log = continued(held, start, statements)
            relation = compare(held, log)
        except RemoteProtocolError as error:
            await raise_alarm(draft, f"The relay shows a log of @{held.state.name} that fails: {error}")
            await draft.commit()
            return False
        if relation is LogRelation.EXTENSION and await core.name_is_free(log):
            draft.take_log(held, log)
            await draft.commit()
        elif relation not in {LogRelation.SAME, LogRelation.BEHIND}:
            text = f"The relay shows another history of @{held.state.name} than the one that is pinned."
            await raise_alarm(draft, text)
            await draft.commit()
            return False
    return True
