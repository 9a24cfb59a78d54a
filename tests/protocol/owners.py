"""Owners with keys and logs, made without chance, for tests of everything that rests on identity."""

import hashlib
from collections.abc import Mapping

from taskferry_protocol import accounts
from taskferry_protocol.accounts import AccountLog, DeviceKeys, consent_to_stand, fold
from taskferry_protocol.cbor import Value, decode, encode
from taskferry_protocol.crypto import EncryptionKey, Kind, SigningKey, parse_signed
from taskferry_protocol.errors import RejectCode, RemoteProtocolError
from taskferry_protocol.ids import AgentRef, Entropy, Instant

NOW = Instant(1_700_000_000_000)


def entropy_of(seed: str) -> Entropy:
    """An endless stream that looks random and is the same every time."""
    count = 0

    def draw(size: int) -> bytes:
        nonlocal count
        count += 1
        return hashlib.shake_256(f"{seed}/{count}".encode()).digest(size)

    return draw


def signing_key(seed: str) -> SigningKey:
    """The signing key of a name."""
    return SigningKey.from_seed(entropy_of(f"sign {seed}")(32))


def encryption_key(seed: str) -> EncryptionKey:
    """The encryption key of a name."""
    return EncryptionKey.from_secret(entropy_of(f"encrypt {seed}")(32))


def plain_device(label: str) -> DeviceKeys:
    """The keys of a device that does not manage."""
    return DeviceKeys.generate(label, entropy_of(f"device {label}"))


def managing_device(label: str) -> DeviceKeys:
    """The keys of a device that manages."""
    return DeviceKeys.generate_managing(label, entropy_of(f"device {label}"))


def manage_key(keys: DeviceKeys) -> SigningKey:
    """The manage key of a device that has one."""
    assert keys.manage is not None
    return keys.manage


class Owner:
    """An owner whose log grows by the builders; every step is folded."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.laptop = managing_device(f"{name} laptop")
        self.recovery = signing_key(f"{name} recovery")
        self.log = fold([accounts.create(name, self.laptop, self.recovery, at=NOW)])

    @property
    def manage(self) -> SigningKey:
        """The laptop's manage key."""
        return manage_key(self.laptop)

    def agent(self, name: str) -> AgentRef:
        """A reference to an agent of this owner."""
        return AgentRef(self.log.account, name)

    def take(self, statement: bytes) -> AccountLog:
        """Extend the log by a statement."""
        self.log = self.log.extend([statement])
        return self.log

    def add(self, keys: DeviceKeys, by: SigningKey | None = None) -> AccountLog:
        """Add a device."""
        return self.take(self.adding(keys, by))

    def adding(self, keys: DeviceKeys, by: SigningKey | None = None) -> bytes:
        """The statement that adds a device."""
        state = self.log.state
        consent = consent_to_stand(keys, state.account, state.length)
        return accounts.add_device(state, keys.record, consent, at=NOW, by=by or self.manage)

    def revoke(self, keys: DeviceKeys) -> AccountLog:
        """Put a device out, by the recovery key."""
        return self.take(accounts.revoke_device(self.log.state, keys.id, "lost", at=NOW, by=self.recovery))

    def retire(self, keys: DeviceKeys) -> AccountLog:
        """Let a device leave."""
        return self.take(accounts.retire(self.log.state, keys.signing, at=NOW))

    def rotate(self, keys: DeviceKeys, enc: bytes, at: Instant = NOW) -> AccountLog:
        """Give a device another encryption key."""
        return self.take(accounts.rotate_keys(self.log.state, keys.signing, enc, at=at))

    def serve(self, agent: str, *devices: DeviceKeys) -> AccountLog:
        """Let devices serve an agent."""
        ids = [keys.id for keys in devices]
        return self.take(accounts.set_agent(self.log.state, agent, ids, at=NOW, by=self.manage))

    def rename(self, name: str, by: SigningKey | None = None) -> AccountLog:
        """Take another name."""
        return self.take(accounts.rename(self.log.state, name, at=NOW, by=by or self.manage))


def members(raw: bytes) -> dict[str, Value]:
    """The payload of a signed structure, a map."""
    payload = decode(parse_signed(raw).payload)
    assert isinstance(payload, dict)
    return payload


def resigned(raw: bytes, kind: Kind, key: SigningKey, changes: Mapping[str, object]) -> bytes:
    """The same map with changed members, signed anew; a member that becomes `...` goes."""
    payload: dict[str, object] = {**members(raw), **changes}
    return key.sign(kind, encode({name: value for name, value in payload.items() if value is not ...}))


class Refused:
    """`with Refused(code):` holds that the block is refused by the peer's fault, with this code."""

    def __init__(self, code: RejectCode | str, field: str | None = None) -> None:
        self.code = RejectCode(code)
        self.field = field

    def __enter__(self) -> None:
        """Nothing yet."""

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> bool:
        if error is None:
            raise AssertionError(f"accepted; {self.code.value} expected")
        if not isinstance(error, RemoteProtocolError):
            return False
        assert error.code is self.code, f"{error.code.value} ({error}); {self.code.value} expected"
        assert self.field is None or error.field == self.field, f"{error.field}; {self.field} expected"
        return True
