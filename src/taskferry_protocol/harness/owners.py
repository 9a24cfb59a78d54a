"""Owners, and what they have settled before a story begins: accounts, devices, connections."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from ..accounts import AccountLog, DeviceKeys, add_device, consent_to_stand, create, fold, set_agent
from ..connections import read_accept, read_request, sign_accept, sign_request
from ..crypto import SigningKey
from ..errors import LocalProtocolError
from ..ids import AgentRef, DeviceId, Instant, sha256
from ..limits import DAY_MS, ENVELOPE_BYTES
from ..messages import MessageClass
from ..permissions import GRANTABLE, Grant, Terms, encode_terms, read_grant, sign_grant
from .chance import Chance
from .device_store import Bond

__all__ = ["Allowance", "Connection", "Owner", "connect"]


@attrs.frozen
class Allowance:
    """What each of two connected agents lets the other one send.

    `rate` counts envelopes a minute, `largest` bytes of one, `open_tasks` those at once, `largest_artifact`
    bytes of a version's parts.
    """

    classes: frozenset[MessageClass] = GRANTABLE
    rate: int = 6_000
    largest: int = ENVELOPE_BYTES
    open_tasks: int = 1_000
    largest_artifact: int = ENVELOPE_BYTES


class Owner:
    """An account: its log as its owner has it, and the key that manages it."""

    def __init__(self, name: str, first: DeviceKeys, chance: Chance, now: Instant) -> None:
        if first.manage is None:
            raise LocalProtocolError("the first device of an account manages it")
        self.manage: SigningKey = first.manage
        recovery = SigningKey.from_seed(chance.entropy(32))
        self.log: AccountLog = fold([create(name, first, recovery, at=now)])

    def add(self, keys: DeviceKeys, now: Instant) -> None:
        """Let one more device stand in the account."""
        state = self.log.state
        consent = consent_to_stand(keys, state.account, state.length)
        self.log = self.log.extend([add_device(state, keys.record, consent, at=now, by=self.manage)])

    def let_serve(self, device: DeviceId, agents: Iterable[str], now: Instant) -> None:
        """Let a device serve these agents, beside those that serve them already."""
        for agent in agents:
            state = self.log.state
            serving = {*state.agents.get(agent, ()), device}
            self.log = self.log.extend([set_agent(state, agent, sorted(serving), at=now, by=self.manage)])


@attrs.frozen
class Connection:
    """A connection in force: what either side holds of it."""

    asker: AgentRef
    asked: AgentRef
    of_asker: Bond
    of_asked: Bond


def connect(
    asker: tuple[Owner, AgentRef],
    asked: tuple[Owner, AgentRef],
    allowance: Allowance,
    chance: Chance,
    now: Instant,
) -> Connection:
    """A request, its acceptance and a grant each way, signed by the owners and read as if they had come."""
    (left, asking), (right, answering) = asker, asked
    raw = sign_request(
        asking,
        answering,
        at=now,
        expires_at=Instant(now + DAY_MS),
        nonce=chance.entropy(16),
        log=left.log.position,
        by=left.manage,
    )
    request = read_request(raw, left.log)
    accept = sign_accept(request, at=now, log=right.log.position, by=right.manage)
    read_accept(accept, right.log, request)
    terms = Terms(
        chance.entropy(16),
        auto_trigger=True,
        human_gate=False,
        task_budget=allowance.open_tasks,
        largest_artifact=allowance.largest_artifact,
    )

    def granted(owner: Owner, agent: AgentRef) -> Grant:
        grant = sign_grant(
            request,
            agent,
            before=None,
            at=now,
            until=None,
            classes=allowance.classes,
            rate=allowance.rate,
            largest=allowance.largest,
            terms=sha256(encode_terms(terms)),
            log=owner.log.position,
            by=owner.manage,
        )
        return read_grant(grant, owner.log)

    return Connection(
        asking,
        answering,
        Bond(request, accept, granted(left, asking), terms),
        Bond(request, accept, granted(right, answering), terms),
    )
