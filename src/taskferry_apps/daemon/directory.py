"""Who is behind a handle: what is pinned here, or else what the relay says, folded and checked."""

from __future__ import annotations

from taskferry_protocol import calls
from taskferry_protocol.accounts import AccountLog, LogRelation, compare, fold
from taskferry_protocol.errors import RejectCode, RemoteProtocolError
from taskferry_protocol.ids import Handle

from ..relay_client import CallRefused
from .core import Core
from .link import Link
from .logbook import continued
from .port import DaemonRefusal

__all__ = ["Directory"]


class Directory:
    """Looks up accounts. What it finds is pinned by whoever uses it, in the commit that uses it."""

    def __init__(self, core: Core, link: Link) -> None:
        self._core = core
        self._link = link

    async def look_up(self, handle: Handle) -> AccountLog:
        """The log of the owner that a handle names, with the agent in it.

        Raises DaemonRefusal: unknown-account, unknown-agent, relay-unreachable, pinned-otherwise.
        """
        pinned = (await self._core.store.accounts_named((handle.owner,))).get(handle.owner)
        held = await self._core.logs.get(pinned.record.account) if pinned is not None else None
        if held is None:
            log = await self.find(handle.owner)
        elif held.state.serving(handle.agent):
            log = held
        else:
            log = await self._refresh(held)
        if log.state.name != handle.owner or not await self._core.name_is_free(log):
            raise _unknown(handle.owner)
        if not log.state.serving(handle.agent):
            raise DaemonRefusal(
                "unknown-agent",
                f"@{handle.owner} has no agent {handle.agent}.",
                "Check the handle.",
                status=404,
            )
        return log

    async def _refresh(self, held: AccountLog) -> AccountLog:
        more = await self._link.fetch(held.account, held.state.length)
        try:
            log = continued(held, held.state.length, more)
            return log if compare(held, log) is LogRelation.EXTENSION else held
        except RemoteProtocolError:
            return held

    async def find(self, owner: str) -> AccountLog:
        """Whose an owner's name is, as the relay says; folded, and believed about nothing else.

        Raises DaemonRefusal: unknown-account, relay-unreachable.
        """
        statements: list[bytes] = []
        try:
            while True:
                answer = await self._link.call(calls.FindAccount(owner, len(statements)))
                if not isinstance(answer, calls.AccountFound) or not answer.statements:
                    break
                statements.extend(answer.statements)
        except CallRefused as refused:
            if refused.refusal.code is RejectCode.UNKNOWN_ACCOUNT:
                raise _unknown(owner) from refused
            raise DaemonRefusal(
                refused.refusal.code.value, f"The relay would not say who @{owner} is.", status=503
            ) from refused
        try:
            return fold(statements)
        except RemoteProtocolError as error:
            raise DaemonRefusal(
                error.code.value,
                f"What the relay says of @{owner} does not hold together.",
                "Tell the relay's operator.",
                status=502,
            ) from error


def _unknown(owner: str) -> DaemonRefusal:
    return DaemonRefusal(
        "unknown-account",
        f"Nobody is called @{owner} at this relay.",
        "Check the handle; the other owner may use another relay.",
        status=404,
    )
