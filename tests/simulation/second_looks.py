"""Words in tasks that a machine refused for want of permission, and that its owner allows by now."""

from __future__ import annotations

from taskferry_apps.daemon.barred import connections_with_notes, read_note, said
from taskferry_apps.daemon.bonds import Bond, bonds_between, relation
from taskferry_apps.daemon.core import Core
from taskferry_apps.daemon.draft import Draft
from taskferry_protocol.envelope import Envelope
from taskferry_protocol.errors import RejectCode, RemoteProtocolError
from taskferry_protocol.ids import Hash
from taskferry_protocol.inbound import Relation, read_inbound
from taskferry_protocol.messages import TaskRequest
from taskferry_protocol.permissions import permits
from taskferry_protocol.records import ConnectionState, Order, QuarantineRecord
from taskferry_protocol.sealing import open_envelope

__all__ = ["due", "overlooked"]

_REFUSED = frozenset({RejectCode.NOT_PERMITTED.value, RejectCode.RATE_LIMITED.value})


async def due(core: Core) -> int:
    """How many connections have something that is still to be looked at."""
    draft, count = Draft(core), 0
    for request in await connections_with_notes(draft):
        note = await read_note(draft, request)
        record = (await core.store.connections((request,))).get(request)
        if note is not None and record is not None:
            count += note.by(said(Bond(record))).is_due
    return count


async def overlooked(core: Core, usual_rate: int) -> tuple[Hash, ...]:
    """What lies in quarantine and would be let in if it came now, whatever the daemon has noted of it.

    Requests are left out, which a number of open tasks may keep away, what came before the connection, and
    what came faster than a rate that was lowered, from the `usual_rate` of this world, and not raised since.
    """
    items = (await core.store.quarantine_page(None, 500, Order.OLDEST_FIRST)).items
    return tuple(
        [item.hash for item in items if item.code in _REFUSED and await _is_allowed(core, item, usual_rate)]
    )


async def _is_allowed(core: Core, item: QuarantineRecord, usual_rate: int) -> bool:
    envelope = read_inbound(item.envelope)
    assert isinstance(envelope, Envelope)
    header, now = envelope.header, core.now()
    try:
        content = open_envelope(envelope, item.sealed, core.keys.opening_keys()).content
    except RemoteProtocolError:
        return False
    if content.link is None or isinstance(content.body, TaskRequest) or header.expires_at <= now:
        return False
    bonds = await bonds_between(core.store, header.to, header.from_)
    bond = next((one for one in reversed(bonds) if one.record.state is ConnectionState.ACCEPTED), None)
    if bond is None or bond.given is None or relation(bonds) is not Relation.CONNECTED:
        return False
    if item.received_at < bond.record.created_at:
        return False
    grant = bond.given.grant
    if item.code == RejectCode.RATE_LIMITED.value and grant.rate < usual_rate:
        return False
    return permits(grant, header.cls, len(envelope.raw), now) is None
