"""Write account statements: each function gives the bytes of the next one (spec/identity.md section 1).

Nothing is judged here: extend the log by the bytes to learn whether they hold, and send them only then.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from .account_state import AccountState
from .crypto import SigningKey
from .devices import DeviceKeys, DeviceRecord, consent_to_recovery, consent_to_stand
from .errors import LocalProtocolError
from .ids import DeviceId, Instant
from .statements import (
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
    sign_first,
    sign_next,
)

__all__ = [
    "add_device",
    "create",
    "recover",
    "rename",
    "retire",
    "revoke_device",
    "rotate_keys",
    "set_agent",
    "set_recovery",
]


def _next(state: AccountState, body: Body, key: SigningKey, at: Instant) -> bytes:
    return sign_next(state.account, state.length, state.head, body, key, at=at)


def create(name: str, device: DeviceKeys, recovery: SigningKey, *, at: Instant) -> bytes:
    """The first statement of a new account, whose hash is the account id.

    Raises LocalProtocolError if the device has no manage key.
    """
    if device.manage is None:
        raise LocalProtocolError("the first device of an account manages it")
    body = Create(name, device.record, consent_to_stand(device, None, 0), recovery.public)
    return sign_first(body, device.manage, at=at)


def add_device(
    state: AccountState, device: DeviceRecord, consent: bytes, *, at: Instant, by: SigningKey
) -> bytes:
    """One more device. `consent` is its `consent_to_stand(keys, state.account, state.length)`."""
    return _next(state, AddDevice(device, consent), by, at)


def revoke_device(
    state: AccountState, device: DeviceId, reason: str, *, at: Instant, by: SigningKey
) -> bytes:
    """Put a device out, by a manage key or the recovery key."""
    return _next(state, RevokeDevice(device, reason), by, at)


def retire(state: AccountState, device: SigningKey, *, at: Instant) -> bytes:
    """The device whose key this is leaves."""
    return _next(state, Retire(DeviceId(device.public)), device, at)


def rotate_keys(state: AccountState, device: SigningKey, enc: bytes, *, at: Instant) -> bytes:
    """The device whose key this is takes another X25519 public key."""
    return _next(state, RotateKeys(DeviceId(device.public), enc), device, at)


def set_agent(
    state: AccountState, agent: str, devices: Iterable[DeviceId], *, at: Instant, by: SigningKey
) -> bytes:
    """The devices that serve an agent from now on; none withdraws it."""
    return _next(state, SetAgent(agent, tuple(sorted(set(devices)))), by, at)


def set_recovery(state: AccountState, new: SigningKey, *, at: Instant, by: SigningKey) -> bytes:
    """Another recovery key, by the one in force."""
    consent = consent_to_recovery(new, state.account, state.length)
    return _next(state, SetRecovery(new.public, consent), by, at)


def recover(
    state: AccountState,
    devices: Sequence[tuple[DeviceRecord, bytes]],
    agents: Mapping[str, Iterable[DeviceId]],
    *,
    at: Instant,
    by: SigningKey,
) -> bytes:
    """Restate all devices, each with its consent, and all agents, by the recovery key in force.

    The consent of a device that stays as it is may be b"".
    """
    ordered = sorted(devices, key=lambda pair: pair[0].id)
    body = Recover(
        tuple(record for record, _ in ordered),
        tuple(consent for _, consent in ordered),
        {name: tuple(sorted(set(ids))) for name, ids in agents.items()},
        by.public,
    )
    return _next(state, body, by, at)


def rename(state: AccountState, name: str, *, at: Instant, by: SigningKey) -> bytes:
    """Another public name."""
    return _next(state, Rename(name), by, at)
