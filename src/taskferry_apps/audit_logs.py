"""What an account log's new statements mean for the audit log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

import attrs

from taskferry_protocol.accounts import AccountLog
from taskferry_protocol.audit import AuditKind, Fact
from taskferry_protocol.crypto import Kind, Signed
from taskferry_protocol.ids import DeviceId, Instant
from taskferry_protocol.statements import (
    AddDevice,
    Body,
    Create,
    Recover,
    Rename,
    Retire,
    RevokeDevice,
    RotateKeys,
    SetAgent,
    SetRecovery,
    open_statement,
)

__all__ = ["LogChange", "own_changes", "peer_changes", "stated_at"]

_OF_PEERS: Final = frozenset({"add_device", "revoke_device", "retire", "recover", "rename", "set_recovery"})


@attrs.frozen
class LogChange:
    """One thing to write down."""

    kind: AuditKind
    subject: str
    facts: dict[str, Fact]


def own_changes(log: AccountLog, kept: int) -> Iterator[LogChange]:
    """What the statements of the owner's log from index `kept` on have changed."""
    for at, body in enumerate(_bodies(log, kept), kept + 1):
        kind, subject, facts = _told(body, log)
        yield LogChange(kind, subject, {**facts, "statement": at})


def peer_changes(log: AccountLog, kept: int) -> Iterator[LogChange]:
    """One line about a peer's devices and keys; none where it only rotated keys or named agents."""
    counts = Counter(body.type_name for body in _bodies(log, kept))
    facts: dict[str, Fact] = {name: count for name, count in sorted(counts.items()) if name in _OF_PEERS}
    if facts:
        yield LogChange(AuditKind.PEER_DEVICES, f"@{log.state.name}", {**facts, "length": log.state.length})


def _bodies(log: AccountLog, kept: int) -> Iterator[Body]:
    # The log was folded: each signature in it has been checked.
    return (open_statement(raw, _believe).body for raw in log.after(kept))


def stated_at(log: AccountLog, index: int) -> Instant:
    """When the statement at an index of a log was made, as its signer says."""
    return open_statement(log.statements[index], _believe).at


def _believe(_signed: Signed, _kind: Kind) -> None:
    """Nothing to check again."""


def _label(log: AccountLog, device: DeviceId) -> str:
    found = log.state.devices.get(device)
    return found.record.label if found is not None else ""


def _told(body: Body, log: AccountLog) -> tuple[AuditKind, str, dict[str, Fact]]:
    match body:
        case Create(name=name, device=device):
            return AuditKind.SET_UP, f"@{name}", {"device": device.id.hex()}
        case AddDevice(device=device):
            return AuditKind.DEVICE_ADDED, device.label, {"device": device.id.hex()}
        case RevokeDevice(device=device):
            return AuditKind.DEVICE_REVOKED, _label(log, device), {"device": device.hex()}
        case Retire(device=device):
            return AuditKind.DEVICE_REVOKED, _label(log, device), {"device": device.hex(), "retired": 1}
        case RotateKeys(device=device):
            return AuditKind.KEY_ROTATED, _label(log, device), {"device": device.hex()}
        case SetAgent(agent=name, devices=devices):
            return AuditKind.AGENT_CHANGED, name, {"devices": len(devices)}
        case SetRecovery():
            return AuditKind.RECOVERY_CHANGED, "recovery key", {}
        case Recover(devices=devices):
            return AuditKind.RECOVERED, "account", {"devices": len(devices)}
        case Rename(name=name):
            return AuditKind.RENAMED, f"@{name}", {}
