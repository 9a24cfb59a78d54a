"""The limits of breakers that the owner has set for one connection, as they are kept.

They belong to the connection, not to its two agents: once it is over they count for nothing, and another one
between the two begins with the limits of this installation.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

import attrs

from taskferry_protocol.breakers import BreakerLimits
from taskferry_protocol.ids import Hash
from taskferry_protocol.records import ConnectionState, DropSetting, Flow, PutSetting
from taskferry_stores.port import DaemonStore

__all__ = ["PREFIX", "OwnLimits", "keep_limits", "limits_between", "limits_key", "own_limits"]

#: What the keys of settings begin with that hold limits.
PREFIX: Final = "breakers "


@attrs.frozen
class OwnLimits:
    """What was set for a connection, named by its request: fields of `BreakerLimits` and their numbers."""

    connection: Hash
    limits: Mapping[str, int]


def limits_key(flow: Flow) -> str:
    """The setting that holds them, for what passes between an agent of ours and a peer's."""
    return f"{PREFIX}{flow.from_.name} {flow.to.account.hex()} {flow.to.name}"


def keep_limits(flow: Flow, own: OwnLimits) -> PutSetting | DropSetting:
    """The change that keeps them; without any, the connection is as usual again."""
    if not own.limits:
        return DropSetting(limits_key(flow))
    kept = {"connection": own.connection.hex(), "limits": dict(own.limits)}
    return PutSetting(limits_key(flow), json.dumps(kept, separators=(",", ":")).encode())


async def own_limits(store: DaemonStore, flow: Flow, connection: Hash) -> OwnLimits:
    """What was set for this connection; nothing where it was set for an earlier one."""
    key = limits_key(flow)
    raw = (await store.settings((key,))).get(key)
    kept = json.loads(raw) if raw is not None else None
    if kept is None or kept["connection"] != connection.hex():
        return OwnLimits(connection, {})
    known = {field.name for field in attrs.fields(BreakerLimits)}
    return OwnLimits(connection, {name: n for name, n in kept["limits"].items() if name in known})


async def limits_between(store: DaemonStore, usual: BreakerLimits, flow: Flow) -> BreakerLimits:
    """How much may pass between an agent of ours and a peer's, by the connection that they have now."""
    key = limits_key(flow)
    raw = (await store.settings((key,))).get(key)
    if raw is None:
        return usual
    request = Hash(bytes.fromhex(json.loads(raw)["connection"]))
    record = (await store.connections((request,))).get(request)
    if record is None or record.state is not ConnectionState.ACCEPTED:
        return usual
    return attrs.evolve(usual, **(await own_limits(store, flow, request)).limits)
