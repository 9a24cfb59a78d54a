"""After a recovery, a restore or a month away: connections that the relay has, brought back or up to date.

A relay can leave connections, ends and grants out, and whoever has a lost device's key can sign old ones. So
what is shown ends a connection or makes it known again, and lets no peer do anything: that is the owner's
word (docs/decisions/0023-regained-connections-are-closed.md). Where another machine of the owner's was there
all the while, what it has signed is that word, and nothing is signed here in its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import attrs

from taskferry_protocol import calls
from taskferry_protocol.account_state import DeviceStatus
from taskferry_protocol.accounts import AccountLog
from taskferry_protocol.audit import AuditKind
from taskferry_protocol.call_answers import ShownConnection
from taskferry_protocol.connections import recall_request
from taskferry_protocol.errors import RemoteProtocolError
from taskferry_protocol.ids import AccountId, Hash, sha256
from taskferry_protocol.limits import DAY_MS, LIFETIME_MS
from taskferry_protocol.messages import GrantUpdated
from taskferry_protocol.permissions import Grant, read_grant
from taskferry_protocol.records import (
    ConnectionState,
    DropSetting,
    GrantRecord,
    PeerConnection,
    PutGrant,
    PutSetting,
    SaveConnection,
)
from taskferry_protocol.regained import Regained, peer_in, read_shown
from taskferry_stores.port import DaemonStore

from ..logs import get_logger
from ..relay_client import CallRefused, RelayClient
from .bonds import Bond
from .bounds import BOUNDS
from .connection_audit import audit_step, ended_kind, grant_facts
from .core import Core
from .draft import Draft, Thread
from .grants import LAST_VERSION, Allowance, Wish, next_allowance, welcome, wish_of
from .log_news import fetch_news, judge, take
from .logbook import continued
from .permitting import permit_no_more
from .port import DaemonRefusal
from .publications import Publication, Subject, note
from .publishing import fetch_log
from .words_apart import note_apart

__all__ = ["DUE", "RESTORED", "is_due", "regain", "regain_anew"]

_KEY: Final = "connections to regain"
DUE: Final = PutSetting(_KEY, b"")
"""What a recovery commits, so that the next session asks the relay."""
RESTORED: Final = PutSetting(_KEY, b"restored")
"""The same of a machine that goes on from a backup, as the device that it was."""
MOST: Final = BOUNDS.regained


async def is_due(store: DaemonStore) -> bool:
    """Whether a recovery or a restore has not asked the relay for its connections yet."""
    return _KEY in await store.settings((_KEY,))


async def regain(core: Core, client: RelayClient) -> None:
    """Take what the relay shows of our connections, if a recovery, a restore or an absence left that to do.

    What could not be read today for want of a log or a key is asked for again by the next session. Raises
    LinkEnded; the store's errors.
    """
    due = (await core.store.settings((_KEY,))).get(_KEY)
    if due is None and _was_away(core):
        # Kept, since what waits for this device is taken soon, and then nobody knows of the absence any more.
        await core.commit((RESTORED,))
        due = RESTORED.value
    if due is None:
        return
    is_kept = due == RESTORED.value and await _another_signs(core)
    is_whole, last, seen = True, b"", 0
    try:
        while seen < MOST:
            answer = await client.call(calls.ListConnections(last))
            if not isinstance(answer, calls.ConnectionsFound) or not answer.connections:
                break
            for shown in answer.connections:
                is_whole &= await _take(core, client, shown, is_kept=is_kept)
            seen += len(answer.connections)
            after = sha256(answer.connections[-1].request)
            if after <= last:
                break  # it goes round in circles
            last = after
    except CallRefused as refused:
        get_logger().warning("the relay lists no connections", code=refused.refusal.code.value)
        return
    async with core.lock:
        draft = Draft(core)
        if is_whole:
            draft.add(DropSetting(_KEY))
        draft.tell("account", "", state="connections_asked_for", complete=is_whole)
        await draft.commit()


async def regain_anew(core: Core, client: RelayClient) -> None:
    """The same where the relay turned out to know what nobody has told this device. Raises as `regain`."""
    if not await is_due(core.store):
        await core.commit((RESTORED,))
    await regain(core, client)


def _was_away(core: Core) -> bool:
    """Whether mail for this device may have expired since it last held all that there was."""
    return core.caught_up is not None and core.now() - core.caught_up > LIFETIME_MS - DAY_MS


async def _another_signs(core: Core) -> bool:
    """Whether another machine of this owner's may sign for the account, and has gone on doing so."""
    return any(
        device != core.device and found.status is DeviceStatus.ACTIVE and found.record.manage is not None
        for device, found in (await core.own_log()).state.devices.items()
    )


async def _take(core: Core, client: RelayClient, shown: ShownConnection, *, is_kept: bool) -> bool:
    """Take one, if it holds. False: it may hold, and cannot be read or answered now."""
    try:
        if await _is_known(core, shown):
            return True
        account = peer_in(shown, await core.own_log())
        theirs = await _log_behind(core, client, account, shown)
        if theirs is None:
            return False
        regained = read_shown(shown, await core.own_log(), theirs)
    except RemoteProtocolError as error:
        get_logger().warning("a connection that the relay shows does not hold", code=error.code.value)
        return True
    try:
        async with core.lock:
            draft = Draft(core)
            await _settle(draft, shown, regained, theirs, is_kept=is_kept)
            await draft.commit()
    except (DaemonRefusal, RemoteProtocolError) as refusal:
        # The key that signs for the account is locked, or another copy of this device is at work.
        get_logger().warning("a connection waits", reason=refusal.code)
        return False
    return True


async def _is_known(core: Core, shown: ShownConnection) -> bool:
    """Whether all that is shown is held here, so that nobody's log is asked for to read it.

    Raises RemoteProtocolError for the shape of the request.
    """
    request = recall_request(shown.request).hash
    record = (await core.store.connections((request,))).get(request)
    if record is None or record.state is ConnectionState.ENDED:
        return record is not None
    held = {grant.raw for grant in record.grants}
    return record.state is ConnectionState.ACCEPTED and not shown.end and held.issuperset(shown.grants)


async def _log_behind(
    core: Core, client: RelayClient, account: AccountId, shown: ShownConnection
) -> AccountLog | None:
    """The peer's log, pinned. One that is new here is pinned only if the connection holds by it.

    The account id in what both sides signed names it, so that no relay chooses who it is.
    """

    async def fetch(account: AccountId, start: int) -> Sequence[bytes]:
        return await fetch_log(client, account, start)

    held = await core.logs.get(account)
    if held is not None:
        await take(core, await fetch_news(core, fetch, account, held.state.length))
        return await core.logs.get(account)
    statements = await fetch(account, 0)
    if not statements:
        return None
    read_shown(shown, await core.own_log(), continued(None, 0, statements))
    await take(core, await judge(core, account, 0, statements))
    return await core.logs.get(account)


async def _settle(
    draft: Draft, shown: ShownConnection, regained: Regained, theirs: AccountLog, *, is_kept: bool
) -> None:
    request = regained.request.hash
    record = (await draft.core.store.connections((request,))).get(request)
    if record is not None and record.state is ConnectionState.ENDED:
        return
    kept = _kept(regained, await draft.own_log()) if is_kept else None
    if regained.end is not None:
        await _end(draft, shown, regained, record)
    elif record is None or (record.state is not ConnectionState.ACCEPTED and Bond(record).asked_by_peer):
        await _bring_back(draft, shown, regained, record, theirs, kept)
    else:
        await _bring_up(draft, shown, regained, Bond(record), theirs, kept)


def _record(draft: Draft, shown: ShownConnection, regained: Regained) -> PeerConnection:
    return PeerConnection(
        request=regained.request.hash,
        mine=regained.mine,
        peer=regained.peer,
        state=ConnectionState.ACCEPTED,
        request_raw=shown.request,
        created_at=draft.now,
        updated_at=draft.now,
        expires_at=regained.request.expires_at,
        accept_raw=shown.accept,
    )


def _newer(request: Hash, shown: Grant | None, held: Allowance | None) -> list[PutGrant]:
    """The peer's grant if it is newer than the one held, without its terms, which no relay has.

    Until they come with another one, only the peer's own daemon knows them.
    """
    if shown is None or (held is not None and shown.version <= held.grant.version):
        return []
    return [PutGrant(GrantRecord(request, shown.grantor, shown.version, raw)) for raw in shown.raws]


def _kept(regained: Regained, own: AccountLog) -> list[PutGrant] | None:
    """What this owner lets the peer send as it was signed, where who signed it still may; None elsewhere.

    Its terms, which no relay has, come with the other machine's next word; until then the least counts.
    """
    given = regained.given
    try:
        for raw in given.raws if given is not None else ():
            read_grant(raw, own)
    except RemoteProtocolError:
        return None
    if given is None:
        return []
    return [
        PutGrant(GrantRecord(regained.request.hash, regained.mine, given.version, raw)) for raw in given.raws
    ]


def _nothing() -> Wish:
    """What a peer may send before the owner has said what; the rest is as for any who is let in anew."""
    return attrs.evolve(welcome(), classes=frozenset())


async def _end(
    draft: Draft, shown: ShownConnection, regained: Regained, record: PeerConnection | None
) -> None:
    end = regained.end
    if end is None:
        return
    ended = attrs.evolve(
        record if record is not None else _record(draft, shown, regained),
        state=ConnectionState.ENDED,
        accept_raw=shown.accept,
        end_raw=shown.end,
        end_kind=end.kind.value,
        updated_at=draft.now,
    )
    draft.add(SaveConnection(ended))
    by = "owner" if end.by == ended.mine else "peer"
    await audit_step(draft, ended_kind(end.kind), ended, by=by, shown_by="relay")
    _tell(draft, ended)


async def _bring_back(
    draft: Draft,
    shown: ShownConnection,
    regained: Regained,
    record: PeerConnection | None,
    theirs: AccountLog,
    kept: list[PutGrant] | None,
) -> None:
    """What is not known here, or was only asked for: it stands again, and the peer may send nothing yet."""
    if regained.mine.name not in (await draft.own_log()).state.agents:
        return
    back = record if record is not None else _record(draft, shown, regained)
    back = attrs.evolve(back, state=ConnectionState.ACCEPTED, accept_raw=shown.accept, updated_at=draft.now)
    held = Bond(back).received
    draft.add(SaveConnection(back), *_newer(back.request, regained.received, held))
    await audit_step(draft, AuditKind.CONNECTION_REGAINED, back, shown_by="relay")
    if kept is None:
        await _allow(draft, Bond(back), regained, _nothing(), theirs)
    else:
        draft.add(*kept)
    _tell(draft, back)


async def _bring_up(
    draft: Draft,
    shown: ShownConnection,
    regained: Regained,
    bond: Bond,
    theirs: AccountLog,
    kept: list[PutGrant] | None,
) -> None:
    """What is known here: accepted meanwhile, or under other grants, of which what both allow counts."""
    record = bond.record
    is_news = record.state is not ConnectionState.ACCEPTED
    if is_news:
        record = attrs.evolve(
            record, state=ConnectionState.ACCEPTED, accept_raw=shown.accept, updated_at=draft.now
        )
        draft.add(SaveConnection(record))
        await audit_step(draft, AuditKind.CONNECTION_ACCEPTED, record, by="peer", shown_by="relay")
        await permit_no_more(draft, Bond(record))
    newer = _newer(record.request, regained.received, bond.received)
    draft.add(*newer)
    given, known = regained.given, bond.given
    if given is not None and _says_more(given, known):
        if kept is None:
            wish = _nothing() if known is None else _narrowed(wish_of(known), given)
            await _allow(draft, Bond(record), regained, wish, theirs)
        else:
            for change in kept:
                await note_apart(draft, bond, change.grant)
            draft.add(*kept)
        is_news = True
    is_news |= bool(newer)
    if is_news:
        _tell(draft, record)


def _says_more(shown: Grant, held: Allowance | None) -> bool:
    """Whether the lost device has signed another grant than the one that is held, and not an earlier one."""
    if held is None or shown.version != held.grant.version:
        return held is None or shown.version > held.grant.version
    return not set(shown.raws) <= set(held.grant.raws)


def _narrowed(wish: Wish, shown: Grant) -> Wish:
    """What was held and what is shown both allow: the device that signed it may have been a thief's."""
    ends = [until for until in (wish.until, shown.until) if until is not None]
    return attrs.evolve(
        wish,
        classes=wish.classes & shown.classes,
        rate=min(wish.rate, shown.rate),
        largest=min(wish.largest, shown.largest),
        until=min(ends, default=None),
        auto_trigger=False,
        human_gate=True,
    )


async def _allow(draft: Draft, bond: Bond, regained: Regained, wish: Wish, theirs: AccountLog) -> None:
    """Sign, with a key that counts, what the peer may send from now on; tell peer and relay."""
    core, record, before = draft.core, bond.record, bond.given
    if regained.given is not None and (before is None or regained.given.version >= before.grant.version):
        before = Allowance(regained.given, None)
    if before is not None and before.grant.version >= LAST_VERSION:
        return  # a thief has used the last number up; none that was shown is taken for it
    grant = next_allowance(
        regained.request,
        record.mine,
        wish,
        before=before,
        log=await draft.own_log(),
        by=core.manage,
        at=draft.now,
        entropy=core.entropy,
    )
    draft.add(PutGrant(grant))
    await note(draft, Publication(Subject.GRANT, record.request))
    await audit_step(draft, AuditKind.PERMISSION_CHANGED, record, by="recovery", **grant_facts(grant))
    if theirs.state.serving(record.peer.name):
        told = GrantUpdated(grant.raw, grant.terms)
        await draft.post(told, record.mine, record.peer, Thread(draft.conversation()))


def _tell(draft: Draft, record: PeerConnection) -> None:
    facts = {"state": record.state.value, "id": record.request.hex()}
    draft.tell("connection", record.mine.name, (), **facts, regained=True)
