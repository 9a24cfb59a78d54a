"""What an account's statements add up to, and the rules by which each has its effect (spec/identity.md 2)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import NoReturn, assert_never

import attrs

from .crypto import Kind, Signed, check_encryption_key, check_signing_key, verify_by_known_key, verify_signed
from .devices import (
    DeviceRecord,
    DeviceState,
    DeviceStatus,
    check_device_consent,
    check_record,
    check_recovery_consent,
)
from .errors import RejectCode, RemoteProtocolError
from .ids import AccountId, AgentRef, DeviceId, Hash, Instant, LogPosition
from .limits import (
    AGENTS,
    DEVICES,
    LIFETIME_MS,
    MANAGED_STATEMENTS,
    RECOVERY_STATEMENTS,
    STATEMENTS,
)
from .statements import (
    AddDevice,
    Create,
    Recover,
    Rename,
    Retire,
    RevokeDevice,
    RotateKeys,
    SetAgent,
    SetRecovery,
    Statement,
    open_statement,
)

__all__ = ["AccountState", "DeviceState", "DeviceStatus", "Ledger"]


@attrs.frozen
class AccountState:
    """What a log says now. Devices that went stay listed; an agent that no device serves does not.

    `made` has, of every name that an agent ever had, each length of the log at which there came to be one: a
    name that was given up in between names another agent every time.
    """

    account: AccountId
    name: str
    length: int
    head: Hash
    recovery: bytes
    devices: Mapping[DeviceId, DeviceState]
    agents: Mapping[str, tuple[DeviceId, ...]]
    made: Mapping[str, tuple[int, ...]]

    @property
    def position(self) -> LogPosition:
        """The log's length and head."""
        return LogPosition(self.length, self.head)

    @cached_property
    def _active(self) -> tuple[DeviceState, ...]:
        return tuple(
            device for _, device in sorted(self.devices.items()) if device.status is DeviceStatus.ACTIVE
        )

    def active_devices(self) -> tuple[DeviceState, ...]:
        """The devices that may act, by id."""
        return self._active

    @cached_property
    def _serving(self) -> dict[str, tuple[DeviceState, ...]]:
        served = {name: tuple(self.devices[id] for id in ids) for name, ids in self.agents.items()}
        alone = {AgentRef.to_device(self.account, device.id).name: (device,) for device in self._active}
        return {"": self._active, **alone, **served}

    def serving(self, agent: str) -> tuple[DeviceState, ...]:
        """The devices that serve an agent, by id; every active one for "", none for an unknown name.

        One device alone where the name is that of an active device (`AgentRef.to_device`).
        """
        return self._serving.get(agent, ())

    @cached_property
    def _manage_keys(self) -> frozenset[bytes]:
        return frozenset(device.record.manage for device in self._active if device.record.manage is not None)

    def manage_keys(self) -> frozenset[bytes]:
        """The manage keys of the active devices."""
        return self._manage_keys

    @cached_property
    def _by_encryption_key(self) -> dict[bytes, tuple[DeviceState, Instant | None]]:
        """Each X25519 key of an active device, with the latest time of replacement or None while in use."""
        former = sorted(
            ((replaced, key, device) for device in self._active for key, replaced in device.former),
            key=lambda entry: entry[0],
        )
        current: dict[bytes, tuple[DeviceState, Instant | None]] = {
            device.record.enc: (device, None) for device in self._active
        }
        return {key: (device, replaced) for replaced, key, device in former} | current

    def device_for_encryption_key(self, key: bytes, now: Instant) -> DeviceState | None:
        """The active device whose X25519 key this is, or was until less than 30 days ago."""
        device, replaced = self._by_encryption_key.get(key, (None, None))
        return device if replaced is None or now - replaced < LIFETIME_MS else None


class Ledger:
    """A state under way: takes statements one by one, in place, and is thrown away when one is refused."""

    def __init__(self) -> None:
        self._account: AccountId | None = None
        self._name = ""
        self._length = 0
        self._head = Hash(b"")
        self._recovery = b""
        self._devices: dict[DeviceId, DeviceState] = {}
        self._agents: dict[str, tuple[DeviceId, ...]] = {}
        self._made: dict[str, tuple[int, ...]] = {}
        self._active: set[DeviceId] = set()
        # How many active devices hold a manage key: nothing forbids that two share one.
        self._managers: dict[bytes, int] = {}
        # Ed25519 keys that passed the acceptance rule, so that each point is checked once.
        self._accepted: set[bytes] = set()

    @classmethod
    def resume(cls, state: AccountState) -> Ledger:
        """A ledger that goes on from `state`, which is left as it is."""
        ledger = cls()
        ledger._account = state.account
        ledger._name, ledger._recovery = state.name, state.recovery
        ledger._length, ledger._head = state.length, state.head
        ledger._devices, ledger._agents = dict(state.devices), dict(state.agents)
        ledger._made = dict(state.made)
        ledger._accepted.add(state.recovery)
        for device in state.active_devices():
            ledger._active.add(device.id)
            ledger._accepted.add(device.id)
            if device.record.manage is not None:
                ledger._accepted.add(device.record.manage)
                ledger._count_manager(device.record.manage, 1)
        return ledger

    @property
    def agents(self) -> Mapping[str, tuple[DeviceId, ...]]:
        """Which devices serve each agent as things stand."""
        return self._agents

    def state(self) -> AccountState:
        """The state as it stands. Raises RemoteProtocolError(empty-log) before the first statement."""
        if self._account is None:
            raise RemoteProtocolError(RejectCode.EMPTY_LOG, "a log has at least its first statement")
        return AccountState(
            self._account,
            self._name,
            self._length,
            self._head,
            self._recovery,
            dict(self._devices),
            dict(self._agents),
            dict(self._made),
        )

    def take(self, raw: bytes) -> Hash:
        """Check one statement in every respect and let it have its effect; its hash.

        Raises RemoteProtocolError with the codes of spec/identity.md section 2, in the order given there.
        """
        statement = open_statement(raw, self._verify)
        self._check_place(statement)
        self._check_signer(statement)
        self._check_keys_and_consents(statement)
        return self._enter(statement)

    def retake(self, raw: bytes) -> Hash:
        """As `take`, for a statement taken before: signatures, keys and consents are not checked again."""
        statement = open_statement(raw, _believe)
        self._check_place(statement)
        return self._enter(statement)

    # --- Steps 1 to 5: is it a statement that may stand here? ---

    def _verify(self, signed: Signed, kind: Kind) -> None:
        if signed.key in self._accepted:
            verify_by_known_key(signed, kind)
        else:
            verify_signed(signed, kind)
            self._accepted.add(signed.key)

    def _check_place(self, statement: Statement) -> None:
        if isinstance(statement.body, Create) != (self._length == 0):
            _refuse(RejectCode.BAD_SEQUENCE, "a log begins with create, and only once", "type")
        if statement.account != self._account:
            _refuse(RejectCode.WRONG_ACCOUNT, "a statement of another account", "account")
        if statement.seq != self._length:
            _refuse(RejectCode.BAD_SEQUENCE, f"must be {self._length}, is {statement.seq}", "seq")
        if statement.prev is not None and statement.prev != self._head:
            _refuse(RejectCode.BROKEN_CHAIN, "does not follow the statement before", "prev")

    def _check_signer(self, statement: Statement) -> None:
        key, body = statement.signed.key, statement.body
        match body:
            case Create():
                allowed = key == body.device.manage
            case Retire() | RotateKeys():
                allowed = key == body.device
            case SetRecovery() | Recover():
                allowed = key == self._recovery
            case AddDevice() | RevokeDevice() | SetAgent() | Rename():
                allowed = key == self._recovery or key in self._managers
            case _:
                assert_never(body)
        if not allowed:
            _refuse(RejectCode.NOT_AUTHORIZED, "signed by a key that may not say this", "")

    def _check_keys_and_consents(self, statement: Statement) -> None:
        body, account, seq = statement.body, self._account, statement.seq
        match body:
            case Create():
                check_record(body.device, "device", self._check_signing_key)
                self._check_signing_key(body.recovery, "recovery")
                check_device_consent(body.consent, body.device, None, seq, "consent")
            case AddDevice():
                check_record(body.device, "device", self._check_signing_key)
                check_device_consent(body.consent, body.device, account, seq, "consent")
            case RotateKeys():
                check_encryption_key(body.enc, "enc")
            case SetRecovery():
                self._check_signing_key(body.recovery, "recovery")
                check_recovery_consent(body.consent, body.recovery, account, seq, "consent")
            case Recover():
                self._check_recover(body, seq)
            case RevokeDevice() | Retire() | SetAgent() | Rename():
                pass  # they bring no key
            case _:
                assert_never(body)

    def _check_recover(self, body: Recover, seq: int) -> None:
        for record in body.devices:
            check_record(record, "devices", self._check_signing_key)
        if body.recovery != self._recovery:
            _refuse(RejectCode.BAD_VALUE, "another recovery key is set by set_recovery, first", "recovery")
        if len(body.consents) != len(body.devices):
            _refuse(RejectCode.BAD_CONSENT, "as many consents as devices", "consents")
        for record, consent in zip(body.devices, body.consents, strict=True):
            if consent or not self._stands_as(record):
                check_device_consent(consent, record, self._account, seq, "consents")

    def _check_signing_key(self, key: bytes, field: str) -> None:
        if key not in self._accepted:
            self._accepted.add(check_signing_key(key, field))

    def _stands_as(self, record: DeviceRecord) -> bool:
        return record.id in self._active and self._devices[record.id].record == record

    # --- Step 6: its effect ---

    def _enter(self, statement: Statement) -> Hash:
        seq, body = statement.seq, statement.body
        self._check_room(statement)
        before = set(self._agents)
        match body:
            case Create():
                self._account = AccountId(statement.signed.hash)
                self._name, self._recovery = body.name, body.recovery
                self._add(body.device, seq)
            case AddDevice():
                self._add(body.device, seq)
            case RevokeDevice():
                self._end(self._active_device(body.device, "device"), DeviceStatus.REVOKED, seq)
            case Retire():
                self._end(self._active_device(body.device, "device"), DeviceStatus.RETIRED, seq)
            case RotateKeys():
                self._rotate(self._active_device(body.device, "device"), body.enc, statement.at)
            case SetAgent():
                self._set_agent(body)
            case SetRecovery():
                self._recovery = body.recovery
            case Recover():
                self._recover(body, seq)
            case Rename():
                self._name = body.name
            case _:
                assert_never(body)
        self._length, self._head = seq + 1, statement.signed.hash
        for name in self._agents.keys() - before:
            self._made[name] = (*self._made.get(name, ()), self._length)
        return statement.signed.hash

    def _check_room(self, statement: Statement) -> None:
        room = STATEMENTS
        if statement.signed.key != self._recovery:
            room -= MANAGED_STATEMENTS if isinstance(statement.body, RotateKeys) else RECOVERY_STATEMENTS
        if statement.seq >= room:
            _refuse(RejectCode.TOO_MANY, f"of this kind and key only among the first {room}", "seq")

    def _active_device(self, id: DeviceId, field: str) -> DeviceState:
        self._check_active((id,), self._active, field)
        return self._devices[id]

    def _check_active(self, ids: Iterable[DeviceId], active: set[DeviceId], field: str) -> None:
        for id in ids:
            if id not in active:
                if id in self._devices:
                    _refuse(RejectCode.DEVICE_GONE, "a device that is active no more", field)
                _refuse(RejectCode.UNKNOWN_DEVICE, "a device that never stood in this log", field)

    def _count_manager(self, key: bytes | None, change: int) -> None:
        if key is not None:
            count = self._managers.pop(key, 0) + change
            if count:
                self._managers[key] = count

    def _add(self, record: DeviceRecord, seq: int) -> None:
        if record.id in self._devices:
            _refuse(RejectCode.DEVICE_EXISTS, "stands or stood in this log; make a new device", "device")
        if len(self._active) == DEVICES:
            _refuse(RejectCode.TOO_MANY, f"{DEVICES} active devices are allowed", "device")
        self._devices[record.id] = DeviceState(record, DeviceStatus.ACTIVE, seq)
        self._active.add(record.id)
        self._count_manager(record.manage, 1)

    def _end(self, device: DeviceState, status: DeviceStatus, seq: int) -> None:
        self._devices[device.id] = attrs.evolve(device, status=status, ended=seq)
        self._active.remove(device.id)
        self._count_manager(device.record.manage, -1)
        for name, ids in list(self._agents.items()):
            if device.id in ids:
                self._serve(name, tuple(id for id in ids if id != device.id))

    def _rotate(self, device: DeviceState, enc: bytes, at: Instant) -> None:
        self._devices[device.id] = attrs.evolve(
            device,
            record=attrs.evolve(device.record, enc=enc),
            former=(*device.former, (device.record.enc, at)),
        )

    def _serve(self, agent: str, ids: tuple[DeviceId, ...]) -> None:
        if ids:
            self._agents[agent] = ids
        else:
            self._agents.pop(agent, None)

    def _set_agent(self, body: SetAgent) -> None:
        self._check_active(body.devices, self._active, "devices")
        if body.devices and body.agent not in self._agents and len(self._agents) == AGENTS:
            _refuse(RejectCode.TOO_MANY, f"{AGENTS} agents are allowed", "agent")
        self._serve(body.agent, body.devices)

    def _recover(self, body: Recover, seq: int) -> None:
        listed = {record.id for record in body.devices}
        for record in body.devices:
            if record.id in self._devices and not self._stands_as(record):
                _refuse(RejectCode.DEVICE_EXISTS, "stood in this log, or stands with other keys", "devices")
        unlisted = [self._devices[id] for id in self._active - listed]
        for device in unlisted:
            self._end(device, DeviceStatus.REVOKED, seq)
        for record in body.devices:
            if record.id not in self._devices:
                self._add(record, seq)
        for name in sorted(body.agents):
            self._check_active(body.agents[name], self._active, "agents")
        self._agents = dict(body.agents)


def _believe(_signed: Signed, _kind: Kind) -> None:
    """The check of what was checked before."""


def _refuse(code: RejectCode, text: str, field: str) -> NoReturn:
    raise RemoteProtocolError(code, text, field=field)
