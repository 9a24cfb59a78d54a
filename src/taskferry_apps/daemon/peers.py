"""What the owner decides about other owners' identities: compared, pinned, in question, replaced."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import attrs

from taskferry_protocol.accounts import AccountLog
from taskferry_protocol.audit import AuditKind
from taskferry_protocol.ids import AccountId, Hash, Instant, fingerprint, is_name
from taskferry_protocol.records import (
    DeferOutbox,
    Direction,
    MessageQuery,
    Order,
    PinnedAccount,
    Rung,
    SetRung,
    SetTrust,
    Trust,
)
from taskferry_protocol.safety import safety_code

from .bonds import all_bonds
from .core import Core
from .draft import Draft
from .identity_changes import (
    WAITING_CODE,
    IdentityChange,
    What,
    changes_of,
    lift_change,
    put_change,
    quiet,
    shown_trust,
)
from .names import match_prefix, parse_prefix, require_owner
from .peers_port import ChangeView, PeerDevice, PeerLine, PeerView
from .port import Caller, DaemonRefusal
from .spoken_code import refuse_unlike_a_code
from .statement_times import claimed_at

__all__ = ["FindByName", "PeerBook"]

FindByName = Callable[[str], Awaitable[AccountLog]]
"""Asks the relay whose an owner's name is. Raises DaemonRefusal."""

_PAGE: Final = 256
#: As many of the newest messages to an agent are looked at for what waits.
_LOOKED_AT: Final = 500
#: What people say the former holder of a name by: no owner's name has this mark.
_FORMER: Final = "~"


@attrs.frozen
class _Known:
    """A pinned account with what is in question about it."""

    pinned: PinnedAccount
    log: AccountLog
    change: IdentityChange | None

    @property
    def account(self) -> AccountId:
        """The account id."""
        return self.pinned.record.account

    @property
    def handle(self) -> str:
        """What its owner is called here."""
        return f"@{self.pinned.record.name}"

    @property
    def names(self) -> frozenset[str]:
        """What it is called here, and what it calls itself."""
        return frozenset({self.pinned.record.name, self.log.state.name})


class PeerBook:
    """Lists and decides."""

    def __init__(self, core: Core, find: FindByName) -> None:
        self._core = core
        self._find = find

    # --- Looking

    async def peers(self, caller: Caller) -> tuple[PeerView, ...]:
        """Every account that is pinned, but the owner's own."""
        require_owner(caller)
        own = self._core.own
        found = [pinned for pinned in await self._all() if pinned.record.account != own]
        return tuple([self._view(await self._known(pinned)) for pinned in found])

    async def peer_page(self, caller: Caller, cursor: str, limit: int) -> tuple[tuple[PeerLine, ...], str]:
        """Some of them in short."""
        require_owner(caller)
        store, own = self._core.store, self._core.own
        after = parse_prefix(cursor, "account") if cursor else None
        page = await store.all_accounts(AccountId(after) if isinstance(after, bytes) else None, limit)
        changes = await changes_of(store, page)
        lines = [
            PeerLine(
                one.record.name,
                one.record.account,
                fingerprint(one.record.account),
                shown_trust(one, changes.get(one.record.account)),
                one.pinned_at,
            )
            for one in page
            if one.record.account != own
        ]
        return tuple(lines), page[-1].record.account.hex() if len(page) == limit else ""

    async def peer(self, caller: Caller, named: str) -> PeerView:
        """One of them."""
        require_owner(caller)
        return self._view(await self._named(named))

    async def _all(self) -> list[PinnedAccount]:
        found: list[PinnedAccount] = []
        after: AccountId | None = None
        while True:
            page = await self._core.store.all_accounts(after, _PAGE)
            found.extend(page)
            if len(page) < _PAGE:
                return found
            after = page[-1].record.account

    async def _named(self, named: str) -> _Known:
        store, own = self._core.store, self._core.own
        owner = named.removeprefix("@").partition("/")[0]
        if named.startswith("@"):
            pinned = (await store.accounts_named((owner,))).get(owner) if is_name(owner) else None
            if pinned is None or pinned.record.name != owner:
                raise DaemonRefusal(
                    "unknown-account",
                    f"The owner @{owner} is not known here.",
                    "List those that are with: taskferry peer list",
                    status=404,
                    detail={"field": "peer"},
                )
        else:
            wanted = parse_prefix(named, "account")
            if isinstance(wanted, str):
                ids = [Hash(found.record.account) for found in await self._all()]
                wanted = match_prefix(wanted, ids, "account")
            pinned = (await store.accounts((AccountId(wanted),))).get(AccountId(wanted))
        if pinned is None or pinned.record.account == own:
            raise DaemonRefusal(
                "unknown-account",
                "That is no other owner known here.",
                "List those that are with: taskferry peer list",
                status=404,
                detail={"field": "peer"},
            )
        return await self._known(pinned)

    async def _known(self, pinned: PinnedAccount) -> _Known:
        log = await self._core.logs.get(pinned.record.account)
        if log is None:
            raise LookupError("a pinned account has a log")
        changes = await changes_of(self._core.store, (pinned,))
        return _Known(pinned, log, changes.get(pinned.record.account))

    def _view(self, known: _Known) -> PeerView:
        state, change = known.log.state, known.change
        devices = [
            PeerDevice(
                device.id,
                device.record.label,
                device.status.value,
                claimed_at(known.log, device.since),
            )
            for device in sorted(state.devices.values(), key=lambda device: device.since)
        ]
        other = change.other if change is not None else None
        return PeerView(
            owner=known.pinned.record.name,
            account=known.account,
            fingerprint=fingerprint(known.account),
            trust=shown_trust(known.pinned, change),
            since=known.pinned.pinned_at,
            code=safety_code(self._core.own, known.account),
            length=state.length,
            head=state.head,
            agents=tuple(sorted(state.agents)),
            devices=tuple(devices),
            change=ChangeView(
                change.what.value,
                change.text,
                change.at,
                other,
                fingerprint(other) if other is not None else "",
            )
            if change is not None
            else None,
        )

    # --- Deciding

    async def verify(self, caller: Caller, named: str, code: str) -> PeerView:
        """The other owner reads the same safety code: verified, and no longer in question."""
        require_owner(caller)
        async with self._core.lock:
            known = await self._named(named)
            refuse_unlike_a_code(code)
            draft = Draft(self._core)
            if not safety_code(self._core.own, known.account).is_said_by(code):
                draft.audit(AuditKind.TRUST_CHANGED, known.handle, to="not verified", why="another code")
                await draft.commit()
                raise DaemonRefusal(
                    "wrong-code",
                    f"That is not the safety code of your account and {known.handle}'s as it is known here.",
                    "Compare once more. If it differs, do not go on: somebody between you shows each"
                    " of you another account. Nothing was changed.",
                    status=409,
                    detail={"field": "code"},
                )
            _refuse_unsettled(known)
            await self._set(draft, known, Trust.VERIFIED, "verified")
            await self._lift(draft, known)
            await draft.commit()
        return await self._after(known)

    async def trust(self, caller: Caller, named: str) -> PeerView:
        """Pinned, without a comparison."""
        return await self._put(caller, named, Trust.PINNED, "pinned")

    async def unverify(self, caller: Caller, named: str) -> PeerView:
        """Unverified again."""
        return await self._put(caller, named, Trust.UNVERIFIED, "unverified")

    async def _put(self, caller: Caller, named: str, trust: Trust, word: str) -> PeerView:
        require_owner(caller)
        async with self._core.lock:
            known = await self._named(named)
            if trust is Trust.PINNED and known.change is not None:
                raise _decide_first(known)
            draft = Draft(self._core)
            await self._set(draft, known, trust, word)
            await draft.commit()
        return await self._after(known)

    async def keep(self, caller: Caller, named: str, shown: Instant | None = None) -> PeerView:
        """The pinned identity stands, and what waits for it is sent."""
        require_owner(caller)
        async with self._core.lock:
            known = await self._named(named)
            _refuse_unsettled(known)
            if shown is not None and known.change is not None and known.change.at != shown:
                raise DaemonRefusal(
                    "conflict",
                    f"Something else has put the identity of {known.handle} in question by now.",
                    "Look at it again, then decide.",
                    status=409,
                )
            draft = Draft(self._core)
            if not await self._lift(draft, known):
                raise _not_in_question(known)
            draft.audit(
                AuditKind.TRUST_CHANGED, known.handle, to="kept", account=known.account.hex(), by="owner"
            )
            await draft.commit()
        return await self._after(known)

    async def accept_change(self, caller: Caller, named: str, other: AccountId | None = None) -> PeerView:
        """The name is the other account's from now on, unverified; the one that had it gets nothing more."""
        require_owner(caller)
        core = self._core
        asked = await self._named(named)
        if asked.change is None:
            raise _not_in_question(asked)
        shown, other = other, asked.change.other
        if shown is not None and shown != other:
            raise DaemonRefusal(
                "conflict",
                "Another account claims the name by now.",
                "Look at it again, then decide.",
                status=409,
            )
        if asked.change.what is not What.SECOND_CLAIM or other is None:
            raise DaemonRefusal(
                "conflict",
                f"There is no other account to accept. {asked.change.text}",
                "If its owner tells you that the pinned history is the true one: taskferry peer keep",
                status=409,
            )
        log = await self._find(asked.pinned.record.name)
        if log.account != other or log.state.name != asked.pinned.record.name:
            raise DaemonRefusal(
                "unknown-account",
                "The relay no longer shows that other account under this name.",
                "Keep the pinned one: taskferry peer keep",
                status=409,
            )
        async with core.lock:
            known = await self._named(named)
            if known.change != asked.change or await core.logs.get(other) is not None:
                raise DaemonRefusal("conflict", "That has changed meanwhile.", "Look again.", status=409)
            draft = Draft(core)
            name = known.pinned.record.name
            draft.release_name(known.log, name, f"{name}{_FORMER}{known.account.hex()[:12]}")
            draft.take_log(None, log)
            await put_change(draft, known.account, IdentityChange(What.REPLACED, draft.now, other))
            await quiet(draft, known.account, known.names)
            draft.audit(
                AuditKind.TRUST_CHANGED,
                known.handle,
                to="another account",
                account=other.hex(),
                before=known.account.hex(),
                by="owner",
            )
            await draft.commit()
        return self._view(await self._named(f"@{name}"))

    async def _set(self, draft: Draft, known: _Known, trust: Trust, word: str) -> None:
        draft.add(SetTrust(known.account, trust, draft.now))
        draft.audit(AuditKind.TRUST_CHANGED, known.handle, to=word, account=known.account.hex(), by="owner")
        draft.tell("identity", "", state=word, peer=known.handle)

    async def _lift(self, draft: Draft, known: _Known) -> bool:
        """Let what waits go: whether the identity was in question."""
        if not await lift_change(draft, known.account):
            return False
        await quiet(draft, known.account, known.names)
        store = self._core.store
        bonds = [bond for bond in await all_bonds(store) if bond.record.peer.account == known.account]
        for mine, peer in {(bond.record.mine, bond.record.peer) for bond in bonds}:
            query = MessageQuery(agent=mine.name, peer=peer, direction=Direction.OUT)
            page = await store.message_page(query, None, _LOOKED_AT, Order.NEWEST_FIRST)
            waiting = [
                message.hash
                for message in page.items
                if message.rung is Rung.QUEUED and message.code == WAITING_CODE
            ]
            for hash, entry in (await store.outbox(waiting)).items():
                draft.add(
                    DeferOutbox(hash, entry.attempts, draft.now),
                    SetRung(hash, mine.name, Rung.QUEUED, "", draft.now),
                )
        return True

    async def _after(self, known: _Known) -> PeerView:
        self._core.outgoing.ring()
        return self._view(await self._named(known.account.hex()))


def _refuse_unsettled(known: _Known) -> None:
    if known.change is not None and known.change.what in {What.FORKED, What.REPLACED}:
        raise DaemonRefusal(
            "conflict",
            f"{known.handle}: {known.change.text}",
            "Look at it with: taskferry peer show",
            status=409,
            detail={"state": "changed"},
        )


def _decide_first(known: _Known) -> DaemonRefusal:
    return DaemonRefusal(
        "conflict",
        f"The identity of {known.handle} is in question.",
        f"Look at it, and decide about it first: taskferry peer show {known.handle}",
        status=409,
        detail={"state": "changed"},
    )


def _not_in_question(known: _Known) -> DaemonRefusal:
    return DaemonRefusal(
        "conflict",
        f"Nothing is in question about {known.handle}.",
        "See: taskferry peer list",
        status=409,
    )
