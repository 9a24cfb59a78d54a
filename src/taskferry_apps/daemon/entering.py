"""How a new machine finds its way to the account that it has consented to stand in, also after a crash."""

from __future__ import annotations

import json
import ssl
from typing import Final

import attrs
import trio

from taskferry_protocol.accounts import DeviceStatus, fold
from taskferry_protocol.errors import RemoteProtocolError
from taskferry_protocol.ids import AccountId, Hash, Instant, LogPosition
from taskferry_protocol.limits import MINUTE_MS
from taskferry_protocol.records import DropSetting, PutSetting, SetTrust, Trust
from taskferry_transports.port import DialRefused

from ..relay_client import Identity, LinkEnded, open_relay
from .core import Core
from .draft import Draft
from .keys import KeyRing, make_keys
from .link import RELAY_SETTING, RouteTo
from .publishing import fetch_log
from .served import settle_served

__all__ = ["GRACE_MS", "Entry", "Pending"]

_KEY: Final = "linking"
#: Between two looks for the statement that names this machine.
_LOOK_S: Final = 1.0
#: How long after the words somebody still looks for it.
GRACE_MS: Final = 5 * MINUTE_MS


@attrs.frozen
class Pending:
    """What a new machine has consented to, and does not yet know the end of."""

    account: AccountId
    log: LogPosition
    relay: str
    until: Instant

    def encode(self) -> bytes:
        """As it is kept."""
        fields = {
            "account": self.account.hex(),
            "length": self.log.length,
            "head": self.log.head.hex(),
            "relay": self.relay,
            "until": self.until,
        }
        return json.dumps(fields).encode()

    @classmethod
    def read(cls, raw: bytes) -> Pending:
        """As it was kept."""
        row = json.loads(raw)
        log = LogPosition(row["length"], Hash(bytes.fromhex(row["head"])))
        return cls(AccountId(bytes.fromhex(row["account"])), log, row["relay"], Instant(row["until"]))


class Entry:
    """The new machine's side once its owner has confirmed the words."""

    def __init__(self, core: Core, route_to: RouteTo) -> None:
        self._core = core
        self._route_to = route_to

    def tls_of(self, relay: str) -> ssl.SSLContext | None:
        """How a relay has to prove itself; None: by the system's authorities."""
        return self._route_to(relay).tls

    async def promise(self, ring: KeyRing, pending: Pending) -> None:
        """Make durable what the consent that follows binds this machine to."""
        core = self._core
        async with core.lock:
            await core.save_keys(ring)
            core.ring = ring
            await core.commit((PutSetting(_KEY, pending.encode()),))

    async def resume(self) -> None:
        """Look for the statement that names this machine, as long as it may come."""
        core = self._core
        while core.account is None and core.ring is not None:
            raw = (await core.store.settings((_KEY,))).get(_KEY)
            if raw is None:
                return
            pending = Pending.read(raw)
            if await self._enter(pending):
                return
            if core.now() >= pending.until:
                async with core.lock:
                    if (await core.store.settings((_KEY,))).get(_KEY) != raw:
                        continue
                    # Keys that somebody may still put into a log are used for nothing else.
                    core.ring = make_keys(core.ring.device.label, core.entropy, core.now())
                    await core.save_keys(core.ring)
                    await core.commit((DropSetting(_KEY),))
                return
            await trio.sleep(_LOOK_S)

    async def _enter(self, pending: Pending) -> bool:
        """Fetch the account's log and begin as a device of it, if it is there. False: not yet."""
        core, ring = self._core, self._core.ring
        statements = await self._fetch(pending)
        if ring is None or not statements:
            return False
        try:
            log = fold(statements)
        except RemoteProtocolError:
            return False
        mine = log.state.devices.get(ring.device.id)
        stands = (
            log.account == pending.account
            and log.contains(pending.log)
            and mine is not None
            and mine.status is DeviceStatus.ACTIVE
            and mine.record == ring.device.record
        )
        if not stands:
            return False
        async with core.lock:
            # A try that a crash cut off is looked for beside the next one: that may have come in, or have
            # other keys.
            if core.account is not None or core.ring is not ring:
                return core.account is not None
            draft = Draft(core)
            draft.take_log(None, log)
            draft.add(
                SetTrust(log.account, Trust.OWN, draft.now),
                PutSetting(RELAY_SETTING, pending.relay.encode()),
                DropSetting(_KEY),
            )
            await settle_served(draft, None, log)
            draft.tell("account", "", state="linked", owner=log.state.name)
            await draft.commit()
            core.account = log.account
        core.changed.ring()
        core.due.ring()
        return True

    async def _fetch(self, pending: Pending) -> tuple[bytes, ...]:
        core, ring = self._core, self._core.ring
        route = self._route_to(pending.relay)
        found: tuple[bytes, ...] = ()
        if ring is None:
            return found
        try:
            transport = await route.dialer.dial()
        except DialRefused:
            return found
        identity = Identity(pending.account, ring.device.signing)
        try:
            async with open_relay(
                transport,
                identity,
                origin=route.origin,
                offered=route.offered,
                now=core.now,
                entropy=core.entropy,
            ) as client:
                found = await fetch_log(client, pending.account, 0)
        except* LinkEnded:
            pass  # not taken in yet, or the relay is away
        return found
