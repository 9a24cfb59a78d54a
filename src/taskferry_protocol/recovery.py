"""Taking an account back with its recovery key: the log to build on, and the statement (spec/identity.md).

Pure: whoever calls fetches the log, keeps the keys, and sends what comes out.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import attrs

from .account_state import AccountState
from .accounts import AccountLog, LogRelation, compare, recover, refold, set_agent
from .crypto import SigningKey, parse_signed, verify_by_known_key
from .devices import DeviceKeys, consent_to_stand
from .errors import RejectCode, RemoteProtocolError
from .ids import AccountId, DeviceId, Instant
from .limits import STATEMENT_BYTES
from .statements import Create, Recover, Rename, SetAgent, open_statement

__all__ = ["VISITOR", "Base", "choose_base", "log_before", "names_in", "restate"]

#: The account of whoever has none yet, in the hello of a visit (spec/session.md section 3).
VISITOR: Final = AccountId(bytes(32))


@attrs.frozen
class Base:
    """The log to build on, and how many of its statements stay."""

    log: AccountLog
    kept: int

    @property
    def state(self) -> AccountState:
        """The state that the recovery goes on from."""
        return self.log.state_at(self.kept)


def names_in(log: AccountLog) -> frozenset[str]:
    """Every name that the owner has had: a relay answers by former names too."""
    return frozenset(
        body.name
        for body in (open_statement(raw, verify_by_known_key).body for raw in log.statements)
        if isinstance(body, Create | Rename)
    )


def choose_base(held: AccountLog | None, shown: AccountLog, recovery: bytes, kept: int | None = None) -> Base:
    """What a recovery goes on from, by the log that is held here, if one is, and the one that a relay shows.

    A relay that shows less than what is held is not followed. Where both part, what both have stays, so that
    the recovery wins over either branch. `kept` cuts the log off there, so as to undo what a thief signed.
    Raises RemoteProtocolError: pinned-otherwise, bad-value, not-authorized (another key is in force), forked.
    """
    log, length = shown, len(shown.statements)
    if held is not None:
        match compare(held, shown):
            case LogRelation.BEHIND | LogRelation.LOSES:
                log, length = held, len(held.statements)
            case LogRelation.FORKED:
                length = held.shared_with(shown)
            case LogRelation.SAME | LogRelation.EXTENSION | LogRelation.WINS:
                pass
    if kept is not None:
        if not 1 <= kept <= length:
            raise RemoteProtocolError(RejectCode.BAD_VALUE, f"from 1 to {length} statements", field="kept")
        length = kept
    base = Base(log, length)
    if base.state.recovery != recovery:
        raise RemoteProtocolError(RejectCode.NOT_AUTHORIZED, "another recovery key is in force")
    # Elsewhere the branch that is cut off counts for as much if that key has spoken in it as well.
    if any(parse_signed(raw).key == recovery for raw in log.statements[length:]):
        raise RemoteProtocolError(
            RejectCode.FORKED, "the recovery key has signed what would be cut off", field="kept"
        )
    return base


def log_before(base: Base, device: DeviceId) -> AccountLog:
    """The log without the recoveries at its end that name a device: they are left by tries cut off."""
    kept = end = base.kept
    while end > 1:
        statement = open_statement(base.log.statements[end - 1], verify_by_known_key)
        end -= 1
        match statement.body:
            case Recover(devices=devices) if any(record.id == device for record in devices):
                kept = end
            case SetAgent(devices=ids) if device in ids and statement.signed.key == base.state.recovery:
                pass  # said after a recovery that had no room for it
            case _:
                break
    return refold(base.log.statements[:kept])


def restate(
    base: Base, keys: DeviceKeys, keep: Collection[DeviceId], recovery: SigningKey, *, at: Instant
) -> AccountLog:
    """The log with the recovery: the device of `keys` serves every agent, `keep` stay as they were.

    All other devices are put out. What the one statement has no room for, that `keep` serve an agent, too, is
    said after it. Raises RemoteProtocolError as folding does: too-large where so many devices have no room.
    """
    state = base.state
    stays = state.devices.get(keys.id)
    kept = [device for device in state.active_devices() if device.id in keep and device.id != keys.id]
    staying = {device.id for device in kept}
    agents = {
        name: {keys.id, *(device for device in serving if device in staying)}
        for name, serving in state.agents.items()
    }
    if stays is not None:
        first = (stays.record, b"")
    else:
        first = (keys.record, consent_to_stand(keys, state.account, state.length))
    devices = [first, *((device.record, b"") for device in kept)]
    said = dict(agents)
    statement = recover(state, devices, said, at=at, by=recovery)
    left_out = [name for name in sorted(agents) if len(agents[name]) > 1]
    while len(statement) > STATEMENT_BYTES and left_out:
        said[left_out.pop()] = {keys.id}
        statement = recover(state, devices, said, at=at, by=recovery)
    log = refold(base.log.statements[: base.kept]).extend([statement])
    for name in sorted(agents):
        if said[name] != agents[name]:
            log = log.extend([set_agent(log.state, name, agents[name], at=at, by=recovery)])
    return log
