"""Account logs for the vectors: statements built from labels, with a running account of the state they give.

The state is kept by the builder as it writes, by `identity.md` section 2; nothing is read back from bytes.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from spec.generate.kit import NOW, Box, Map, Signer, Value, sha, sign, without
from spec.generate.vector import Json


@dataclass
class Device:
    """The keys of one device, from a label."""

    label: str
    manages: bool = True
    enc: Box = field(init=False)
    id: Signer = field(init=False)
    manage: Signer = field(init=False)

    def __post_init__(self) -> None:
        self.id = Signer(f"{self.label} id")
        self.manage = Signer(f"{self.label} manage")
        self.enc = Box(f"{self.label} enc")

    def record(self) -> Map:
        """The device record."""
        members: Map = {"id": self.id.public, "enc": [1, self.enc.public], "label": self.label}
        if self.manages:
            members["manage"] = self.manage.public
        return members

    def consent(self, account: bytes | None, seq: int, record: Map | None = None) -> bytes:
        """The device's word that it agrees to stand there."""
        payload: Map = {"account": account, "seq": seq, "device": record or self.record()}
        return sign(self.id, "device-consent", payload)

    def json(self) -> dict[str, Json]:
        """The record for readers."""
        return {
            "id": self.id.public.hex(),
            "enc": [1, self.enc.public.hex()],
            "label": self.label,
            "manage": self.manage.public.hex() if self.manages else None,
        }


@dataclass
class Standing:
    """One device in the state."""

    device: Device
    since: int
    enc: bytes
    status: str = "active"
    until: int | None = None
    former: list[tuple[bytes, int]] = field(default_factory=list)


class Log:
    """A log under construction."""

    def __init__(self, owner: str, device: Device | None = None, recovery: str | None = None) -> None:
        self.first = device or Device(f"{owner} laptop")
        self.recovery = Signer(recovery or f"{owner} recovery")
        self.name = owner
        self.statements: list[bytes] = []
        self.devices: dict[bytes, Standing] = {}
        self.agents: dict[str, list[bytes]] = {}
        self.at = NOW - 1_000_000

    # --- What the log is now -------------------------------------------------------------------------

    @property
    def account(self) -> bytes:
        """The account id."""
        return sha(self.statements[0])

    @property
    def length(self) -> int:
        """How many statements there are."""
        return len(self.statements)

    def position(self, length: int | None = None) -> list[Value]:
        """The log position, now or at an earlier length."""
        size = self.length if length is None else length
        return [size, sha(self.statements[size - 1])]

    def branch(self) -> Log:
        """A copy that can grow another way."""
        other = copy.copy(self)
        other.statements = list(self.statements)
        other.devices = {key: copy.deepcopy(standing) for key, standing in self.devices.items()}
        other.agents = {name: list(ids) for name, ids in self.agents.items()}
        return other

    def state(self) -> dict[str, Json]:
        """The state that the fold must give."""
        devices: list[Json] = []
        for key in sorted(self.devices):
            standing = self.devices[key]
            former: list[Json] = [{"enc": enc.hex(), "replaced_at": at} for enc, at in standing.former]
            devices.append(
                {
                    **standing.device.json(),
                    "enc": [1, standing.enc.hex()],
                    "status": standing.status,
                    "since": standing.since,
                    "until": standing.until,
                    "former": former,
                }
            )
        return {
            "account": self.account.hex(),
            "name": self.name,
            "length": self.length,
            "head": sha(self.statements[-1]).hex(),
            "recovery": self.recovery.public.hex(),
            "devices": devices,
            "agents": {name: [key.hex() for key in ids] for name, ids in sorted(self.agents.items())},
        }

    # --- Statements that may be wrong ----------------------------------------------------------------

    def payload(self, kind: str, **fields: Value) -> Map:
        """The payload of the next statement, with the members that every statement has."""
        common: Map = {"v": 1, "type": kind, "seq": self.length, "at": self.at + 1000 * self.length}
        if self.statements:
            common |= {"account": self.account, "prev": sha(self.statements[-1])}
        return {**common, **fields}

    def offered(self, payload: Map, by: Signer, kind: str = "statement") -> list[bytes]:
        """The log with one more statement, which need not be good."""
        return [*self.statements, sign(by, kind, payload)]

    # --- Good statements -----------------------------------------------------------------------------

    def push(self, payload: Map, by: Signer, kind: str = "statement") -> Log:
        """Append one more statement."""
        self.statements.append(sign(by, kind, payload))
        return self

    @property
    def manage(self) -> Signer:
        """The first device's manage key."""
        return self.first.manage

    def created(self) -> Map:
        """The payload of `create`."""
        return self.payload(
            "create",
            name=self.name,
            device=self.first.record(),
            consent=self.first.consent(None, 0),
            recovery=self.recovery.public,
        )

    def create(self) -> Log:
        """The first statement."""
        self.push(self.created(), self.manage)
        self._enter(self.first, 0)
        return self

    def added(self, device: Device) -> Map:
        """The payload of `add_device`."""
        consent = device.consent(self.account, self.length)
        return self.payload("add_device", device=device.record(), consent=consent)

    def add_device(self, device: Device, by: Signer | None = None) -> Log:
        """Another device."""
        self.push(self.added(device), by or self.manage)
        self._enter(device, self.length - 1)
        return self

    def revoke(self, device: Device, by: Signer | None = None) -> Log:
        """Put a device out."""
        self.push(self.payload("revoke_device", device=device.id.public, reason=""), by or self.manage)
        self._leave(device.id.public, "revoked")
        return self

    def retire(self, device: Device) -> Log:
        """A device leaves."""
        self.push(self.payload("retire", device=device.id.public), device.id, "self-statement")
        self._leave(device.id.public, "retired")
        return self

    def rotate(self, device: Device, new: Box) -> Log:
        """A device replaces its encryption key."""
        payload = self.payload("rotate_keys", device=device.id.public, enc=[1, new.public])
        standing = self.devices[device.id.public]
        at = payload["at"]
        assert isinstance(at, int)
        standing.former.append((standing.enc, at))
        standing.enc = new.public
        return self.push(payload, device.id, "self-statement")

    def set_agent(self, agent: str, devices: Sequence[Device], by: Signer | None = None) -> Log:
        """Name an agent and who serves it."""
        ids = sorted(device.id.public for device in devices)
        self.push(self.payload("set_agent", agent=agent, devices=ids), by or self.manage)
        if ids:
            self.agents[agent] = ids
        else:
            self.agents.pop(agent, None)
        return self

    def set_recovery(self, new: Signer) -> Log:
        """Replace the recovery key."""
        consent = self.recovery_consent(new)
        payload = self.payload("set_recovery", recovery=new.public, consent=consent)
        self.push(payload, self.recovery)
        self.recovery = new
        return self

    def recovery_consent(self, new: Signer) -> bytes:
        """A new recovery key's word."""
        payload: Map = {"account": self.account, "seq": self.length, "recovery": new.public}
        return sign(new, "recovery-consent", payload)

    def rename(self, name: str, by: Signer | None = None) -> Log:
        """Another public name."""
        self.push(self.payload("rename", name=name), by or self.manage)
        self.name = name
        return self

    def recovered(self, devices: Sequence[Device], agents: Mapping[str, Sequence[Device]]) -> Map:
        """The payload of `recover`; devices that already stand there give no consent anew."""
        listed = sorted(devices, key=lambda device: device.id.public)
        consents: list[Value] = []
        records: list[Value] = []
        for device in listed:
            known = device.id.public in self.devices
            consents.append(b"" if known else device.consent(self.account, self.length))
            records.append(device.record())
        served: Map = {
            name: sorted(device.id.public for device in serving) for name, serving in agents.items()
        }
        return self.payload(
            "recover", devices=records, consents=consents, agents=served, recovery=self.recovery.public
        )

    def recover(self, devices: Sequence[Device], agents: Mapping[str, Sequence[Device]]) -> Log:
        """Restate who is in."""
        self.push(self.recovered(devices, agents), self.recovery)
        listed = {device.id.public for device in devices}
        for key, standing in self.devices.items():
            if standing.status == "active" and key not in listed:
                standing.status, standing.until = "revoked", self.length - 1
        for device in devices:
            if device.id.public not in self.devices:
                self._enter(device, self.length - 1)
        self.agents = {
            name: sorted(device.id.public for device in serving) for name, serving in agents.items()
        }
        return self

    def _enter(self, device: Device, seq: int) -> None:
        self.devices[device.id.public] = Standing(device, seq, device.enc.public)

    def _leave(self, key: bytes, status: str) -> None:
        self.devices[key].status = status
        self.devices[key].until = self.length - 1
        for name, ids in list(self.agents.items()):
            self.agents[name] = [one for one in ids if one != key]
            if not self.agents[name]:
                del self.agents[name]


def changed(payload: Map, **fields: Value) -> Map:
    """A payload with other members."""
    return {**payload, **fields}


def lacking(payload: Map, *keys: str) -> Map:
    """A payload with fewer members."""
    return without(payload, *keys)
