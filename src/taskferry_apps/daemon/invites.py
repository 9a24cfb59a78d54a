"""The owner's invites: made, listed, withdrawn. What comes of a request that names one: `invited`."""

from __future__ import annotations

from typing import Final

import attrs
import trio

from taskferry_protocol.audit import AuditKind
from taskferry_protocol.errors import RemoteProtocolError
from taskferry_protocol.ids import Hash, Instant
from taskferry_protocol.invites import InviteLink, invite_code, read_invite, sign_invite
from taskferry_protocol.limits import INVITE_LIFETIME_MS, INVITE_USES, INVITES, MINUTE_MS
from taskferry_protocol.records import InviteRecord, PutInvite

from .core import Core
from .draft import Draft, refusal_of
from .grants import changed, welcome
from .invite_port import InviteView, MadeInvite, NewInvite
from .invited import encode_change
from .link import Link
from .names import handle_of, match_prefix, own_agent, parse_prefix, require_owner
from .port import Caller, DaemonRefusal
from .publications import Publication, Subject, note, noted
from .relay_names import page_address, relay_host

__all__ = ["Invites"]

ID_BYTES: Final = 16
SECRET_BYTES: Final = 16
#: How long making an invite waits for the relay to have it.
PUBLISH_S: Final = 5.0
#: Below this an invite is over before anybody has read it.
SHORTEST_MS: Final = MINUTE_MS
#: What was a minute when it was typed is less by the time it is read here.
TYPED_MS: Final = 10_000


class Invites:
    """As `invite_port.InviteService` promises."""

    def __init__(self, core: Core, link: Link) -> None:
        self._core = core
        self._link = link

    async def create(self, caller: Caller, invite: NewInvite) -> MadeInvite:
        """Make an invite, and publish it."""
        require_owner(caller)
        core = self._core
        agent = await own_agent(core, caller, invite.agent, "agent")
        changed(welcome(), invite.permissions)
        async with core.lock:
            draft = Draft(core)
            _check_terms(invite, draft.now)
            await self._check_room(draft.now)
            id, secret = core.entropy(ID_BYTES), core.entropy(SECRET_BYTES)
            own = await draft.own_log()
            raw = sign_invite(
                agent,
                id=id,
                secret=secret,
                uses=invite.uses,
                expires_at=invite.expires_at,
                at=draft.now,
                log=own.position,
                by=core.manage,
            )
            try:
                read_invite(raw, own)
            except RemoteProtocolError as error:
                raise refusal_of(error) from error
            record = InviteRecord(
                id,
                agent.name,
                raw,
                secret,
                invite.uses,
                invite.expires_at,
                draft.now,
                note=invite.note,
                accepts=invite.accepts,
                permissions=encode_change(invite.permissions),
            )
            draft.add(PutInvite(record))
            publication = Publication(Subject.INVITE, id)
            await note(draft, publication)
            draft.tell("invite", "", state="created", id=id.hex())
            draft.audit(
                AuditKind.INVITE_MADE,
                id.hex(),
                mine=agent.name,
                uses=invite.uses,
                until=invite.expires_at,
                accepts="yes" if invite.accepts else "no",
                by="owner",
            )
            await draft.commit()
        url = (await self._link.status()).url
        link = InviteLink(relay_host(url), id, core.own, secret)
        page = f"{page_address(url)}/invite/{invite_code(id)}"
        published = await self._wait_published(publication)
        return MadeInvite(link.format(), page, await self._view(record), published)

    async def _check_room(self, now: Instant) -> None:
        if sum(_state(held, now) == "open" for held in await self._core.store.invites()) >= INVITES:
            raise DaemonRefusal(
                "too-many",
                f"There are {INVITES} open invites already.",
                "Withdraw some: taskferry invite list, then: taskferry invite revoke ID",
                status=409,
            )

    async def _wait_published(self, publication: Publication) -> bool:
        with trio.move_on_after(PUBLISH_S):
            while True:
                heard = self._link.published.next
                if publication not in await noted(self._core.store):
                    return True
                with trio.move_on_after(0.25):
                    await heard.wait()
        return False

    async def list(self, caller: Caller) -> tuple[InviteView, ...]:
        """All invites, newest first."""
        require_owner(caller)
        return tuple([await self._view(record) for record in reversed(await self._core.store.invites())])

    async def revoke(self, caller: Caller, invite: str) -> InviteView:
        """Withdraw one: from now on nobody comes through it."""
        require_owner(caller)
        core = self._core
        wanted = parse_prefix(invite, "invite")
        prefix = wanted if isinstance(wanted, str) else wanted.hex()
        async with core.lock:
            held = {Hash(record.id): record for record in await core.store.invites()}
            record = attrs.evolve(held[match_prefix(prefix, held, "invite")], revoked=True)
            draft = Draft(core)
            draft.add(PutInvite(record))
            await note(draft, Publication(Subject.INVITE, record.id))
            draft.tell("invite", "", state="withdrawn", id=record.id.hex())
            draft.audit(AuditKind.INVITE_REVOKED, record.id.hex(), mine=record.agent, by="owner")
            await draft.commit()
        return await self._view(record)

    async def _view(self, record: InviteRecord) -> InviteView:
        return InviteView(
            record.id,
            await handle_of(self._core, self._core.agent(record.agent)),
            record.note,
            _state(record, self._core.now()),
            record.uses,
            record.used,
            record.accepts,
            record.expires_at,
            record.created_at,
        )


def _check_terms(invite: NewInvite, now: Instant) -> None:
    if not 1 <= invite.uses <= INVITE_USES:
        raise _bad("uses", f"An invite is for 1 to {INVITE_USES} requests.")
    if not now + SHORTEST_MS - TYPED_MS <= invite.expires_at <= now + INVITE_LIFETIME_MS:
        raise _bad("expires_at", "An invite lasts from a minute to 90 days.")


def _bad(field: str, text: str) -> DaemonRefusal:
    return DaemonRefusal("bad-value", text, "Mend that value and try again.", detail={"field": field})


def _state(record: InviteRecord, now: Instant) -> str:
    if record.revoked:
        return "withdrawn"
    if record.used >= record.uses:
        return "used_up"
    return "over" if now >= record.expires_at else "open"
