"""Links that the owner opens: held for ten minutes, looked into, and used once the owner says so."""

from __future__ import annotations

from typing import Final

import attrs

from taskferry_protocol import calls
from taskferry_protocol.accounts import AccountLog
from taskferry_protocol.cards import Card, read_card
from taskferry_protocol.device_links import DeviceLink
from taskferry_protocol.errors import RejectCode, RemoteProtocolError
from taskferry_protocol.ids import AgentRef, Instant, fingerprint
from taskferry_protocol.invites import Invite, InviteLink, check_invite, read_invite
from taskferry_protocol.limits import MINUTE_MS, STATEMENTS
from taskferry_protocol.linking import show_place
from taskferry_protocol.setup_links import SetupLink

from ..relay_client import CallRefused
from .alarms import raise_alarm
from .bonds import bonds_between
from .bounds import BOUNDS
from .connections import Connections
from .core import Core
from .describe import connection_view
from .draft import Draft
from .identity_changes import trust_in
from .invite_port import HeldLink, LinkProblem, LinkView
from .link import Link
from .link_faults import (
    AnyLink,
    device_without_account,
    device_without_power,
    foreign,
    foreign_device,
    read_link,
    read_ticket,
    without_account,
)
from .logbook import continued
from .names import require_owner
from .port import Caller, DaemonRefusal
from .relay_names import relay_host
from .views import ConnectionView

__all__ = ["Links"]

#: Long enough to read a page, too short to be found on a machine that was left alone.
HELD_MS: Final = 10 * MINUTE_MS
HELD_LINKS: Final = BOUNDS.held_links
ID_BYTES: Final = 16


@attrs.frozen
class _Held:
    """A link as it was handed in, or why it leads nowhere; `relay` is "" where it names none."""

    link: AnyLink | LinkProblem
    relay: str
    until: Instant
    ticket: SetupLink | None = None
    """Of a link that is a ticket for a new account."""

    def told(self, id: str) -> HeldLink:
        """What is said of it."""
        match self.link:
            case LinkProblem():
                return HeldLink(id, "", self.relay, "", self.link)
            case DeviceLink():
                return HeldLink(id, "device", self.relay, show_place(self.link.place), None)
            case InviteLink():
                return HeldLink(id, "invite", self.relay, "", None)


@attrs.frozen
class _Found:
    """What a link leads to, all of it checked."""

    log: AccountLog
    invite: Invite
    card: Card | None


class Links:
    """As `invite_port.LinkService` promises. What is held dies with the daemon."""

    def __init__(self, core: Core, link: Link, connections: Connections) -> None:
        self._core = core
        self._link = link
        self._connections = connections
        self._held: dict[str, _Held] = {}

    async def hold(self, caller: Caller, text: str) -> HeldLink:
        """Keep a link for ten minutes."""
        require_owner(caller)
        link, relay, ticket = read_link(text), "", read_ticket(text)
        if not isinstance(link, LinkProblem):
            relay = link.relay
            link = await self._problem_with(link) or link
        id = self._core.entropy(ID_BYTES).hex()
        self._forget_old()
        while len(self._held) >= HELD_LINKS:
            self._held.pop(next(iter(self._held)))
        self._held[id] = held = _Held(link, relay, Instant(self._core.now() + HELD_MS), ticket)
        return held.told(id)

    def held(self, caller: Caller, link: str) -> HeldLink:
        """What was said of it when it was handed in."""
        require_owner(caller)
        return self._get(link).told(link)

    def ticket(self, caller: Caller, link: str) -> SetupLink:
        """The ticket for a new account that a link holds."""
        require_owner(caller)
        held = self._one(link)
        if held.ticket is None:
            raise DaemonRefusal(
                "bad-link",
                "The ticket in that link is cut off or damaged, or it is no ticket.",
                "Copy the whole link again, from its beginning to its end.",
            )
        return held.ticket

    async def look(self, caller: Caller, link: str) -> LinkView:
        """Find and check what it leads to; nobody but the relay hears of it."""
        require_owner(caller)
        held = self._invite(link)
        found = await self._find(held)
        core, agent = self._core, found.invite.agent
        trust = await trust_in(core.store, (agent.account,))
        own = await core.own_log()
        states = []
        for name in sorted(own.state.agents):
            bonds = await bonds_between(core.store, core.agent(name), agent)
            states.append((name, bonds[-1].record.state.value if bonds else ""))
        return LinkView(
            id=link,
            relay=held.relay,
            peer=f"@{found.log.state.name}/{agent.name}",
            account=agent.account,
            fingerprint=fingerprint(agent.account),
            trust=trust.get(agent.account, ""),
            display_name=found.card.display_name if found.card is not None else "",
            tagline=found.card.tagline if found.card is not None else "",
            expires_at=found.invite.expires_at,
            agents=tuple(states),
        )

    async def connect(self, caller: Caller, link: str, mine: str, note: str) -> ConnectionView:
        """Ask for the connection; everything is checked afresh."""
        require_owner(caller)
        held = self._invite(link)
        found = await self._find(held)
        step = await self._connections.request_invited(
            caller, mine, found.log, found.invite.agent, note, held
        )
        self._held.pop(link, None)
        return await connection_view(self._core, step.bond, step.message)

    async def drop(self, caller: Caller, link: str) -> None:
        """Forget it, if it is there."""
        require_owner(caller)
        self._held.pop(link, None)

    def _forget_old(self) -> None:
        now = self._core.now()
        self._held = {id: held for id, held in self._held.items() if held.until > now}

    async def _problem_with(self, link: AnyLink) -> LinkProblem | None:
        """Why a whole link leads nowhere on this machine."""
        is_device = isinstance(link, DeviceLink)
        if self._core.account is None:
            return device_without_account() if is_device else without_account(link.relay)
        url = (await self._link.status()).url
        own = relay_host(url)
        if link.relay != own:
            return foreign_device(link.relay, url) if is_device else foreign(link.relay, own)
        keys = self._core.keys
        if is_device and keys.device.manage is None and keys.locked_manage is None:
            return device_without_power()
        return None

    def _invite(self, id: str) -> InviteLink:
        link = self._get(id).link
        if not isinstance(link, InviteLink):
            raise DaemonRefusal(
                "not-possible", "That link is no invite.", "Open it again: taskferry open LINK", status=409
            )
        return link

    def _get(self, id: str) -> _Held:
        held = self._one(id)
        if isinstance(held.link, LinkProblem):
            raise DaemonRefusal(held.link.code, held.link.message, held.link.next_step)
        return held

    def _one(self, id: str) -> _Held:
        self._forget_old()
        held = self._held.get(id)
        if held is None:
            raise DaemonRefusal(
                "not-found",
                "That link is not held any more: it was used, or ten minutes are over.",
                "Open it again: taskferry open LINK",
                status=404,
            )
        return held

    # --- Looking it up

    async def _find(self, link: InviteLink) -> _Found:
        log = await self._log(link)
        try:
            answer = await self._link.call(calls.GetInvite(link.id))
        except CallRefused as refused:
            raise _not_there(refused) from refused
        raw = answer.invite if isinstance(answer, calls.InviteFound) else b""
        try:
            invite = read_invite(raw, log)
            check_invite(invite, link, now=self._core.now())
        except RemoteProtocolError as error:
            raise await self._does_not_fit(error.code, link) from error
        if not log.state.serving(invite.agent.name):
            raise DaemonRefusal(
                "unknown-agent",
                f"@{log.state.name} has no agent {invite.agent.name} any more.",
                "Ask whoever invited you for a new link.",
                status=404,
            )
        return _Found(log, invite, await self._card(invite.agent, log))

    async def _log(self, link: InviteLink) -> AccountLog:
        """The log of the account in the link, and of no other, as long as it is known."""
        held = await self._core.logs.get(link.account)
        start = held.state.length if held is not None else 0
        statements: list[bytes] = []
        while len(statements) <= STATEMENTS:
            try:
                answer = await self._link.call(calls.GetAccount(link.account, start + len(statements)))
            except CallRefused as refused:
                if held is None:
                    raise _not_there(refused) from refused
                return held
            if not isinstance(answer, calls.AccountFound) or answer.account != link.account:
                raise await self._wrong_account(link)
            if not answer.statements:
                break
            statements.extend(answer.statements)
        try:
            log = continued(held, start, statements)
        except RemoteProtocolError as error:
            if held is not None:
                return held
            raise await self._does_not_fit(error.code, link) from error
        if log.account != link.account:
            raise await self._wrong_account(link)
        if not await self._core.name_is_free(log):
            raise await self._loud(
                "pinned-otherwise",
                f"The account of an invite link calls itself @{log.state.name}, a name by which another"
                " account is known here.",
            )
        return log

    async def _card(self, agent: AgentRef, log: AccountLog) -> Card | None:
        try:
            answer = await self._link.call(calls.GetCard(agent))
            card = read_card(answer.card, log) if isinstance(answer, calls.CardFound) else None
        except (CallRefused, RemoteProtocolError):
            return None
        return card if card is not None and card.agent == agent else None

    async def _does_not_fit(self, code: RejectCode, link: InviteLink) -> DaemonRefusal:
        if code is RejectCode.EXPIRED:
            return DaemonRefusal("expired", "The invite is over.", "Ask for a new link.", status=409)
        if code is RejectCode.UNKNOWN_INVITE:
            return DaemonRefusal(
                code.value,
                "What the relay has under this link's code is another invite: the link was edited, or the"
                " relay does not tell the truth.",
                "Copy the whole link again, or ask for a new one.",
                status=409,
            )
        if code is RejectCode.WRONG_ACCOUNT:
            return await self._wrong_account(link)
        return await self._loud(
            code.value,
            f"What {link.relay} shows for an invite link is not signed as it should be ({code.value}).",
        )

    async def _wrong_account(self, link: InviteLink) -> DaemonRefusal:
        return await self._loud(
            "wrong-account",
            f"{link.relay} answered with another account than an invite link names: somebody stands in"
            " between, or the link was edited.",
        )

    async def _loud(self, code: str, text: str) -> DaemonRefusal:
        """A refusal that the owner also finds among the alarms: an honest relay never leads to it."""
        async with self._core.lock:
            draft = Draft(self._core)
            await raise_alarm(draft, text)
            await draft.commit()
        step = "Nothing was asked of anybody. Compare the link with whoever gave it to you, on another way."
        return DaemonRefusal(code, text, step, status=409)


def _not_there(refused: CallRefused) -> DaemonRefusal:
    code = refused.refusal.code
    if code in {RejectCode.UNKNOWN_INVITE, RejectCode.UNKNOWN_ACCOUNT}:
        return DaemonRefusal(
            code.value,
            "The relay knows no such invite: it was withdrawn, is over, or the link was edited.",
            "Copy the whole link again, or ask for a new one.",
            status=404,
        )
    detail: dict[str, object] = {}
    if refused.refusal.detail.retry_after is not None:
        detail["retry_after"] = refused.refusal.detail.retry_after / 1000
    return DaemonRefusal(
        code.value,
        "The relay would not say where that link leads.",
        "Try again later.",
        status=503,
        detail=detail,
    )
