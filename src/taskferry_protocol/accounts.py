"""Account logs: folding, comparing and asking them (spec/identity.md sections 2 to 5).

The parts that a log is made of live beside it and are named here once more, so that callers have one door.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Sequence
from enum import StrEnum
from functools import cached_property
from typing import Final, TypeVar

import attrs

from .account_state import AccountState, DeviceState, DeviceStatus, Ledger
from .authoring import (
    add_device,
    create,
    recover,
    rename,
    retire,
    revoke_device,
    rotate_keys,
    set_agent,
    set_recovery,
)
from .crypto import parse_signed
from .devices import DeviceKeys, DeviceRecord, consent_to_recovery, consent_to_stand
from .errors import LocalProtocolError, RejectCode, RemoteProtocolError
from .ids import AccountId, DeviceId, Hash, LogPosition
from .limits import STATEMENT_BYTES

__all__ = [
    "STEP_BYTES",
    "AccountLog",
    "AccountState",
    "DeviceKeys",
    "DeviceRecord",
    "DeviceState",
    "DeviceStatus",
    "LogRelation",
    "Steps",
    "add_device",
    "admits_device",
    "check_authority",
    "compare",
    "consent_to_recovery",
    "consent_to_stand",
    "create",
    "fold",
    "fold_in_steps",
    "recover",
    "refold",
    "refold_in_steps",
    "rename",
    "retire",
    "revoke_device",
    "rotate_keys",
    "set_agent",
    "set_recovery",
    "settles",
    "whole",
    "withdrawn",
]

T = TypeVar("T")
Steps = Generator[None, None, T]
"""Work in steps of a few milliseconds each: whoever has others to serve serves them between two."""

#: As much as one statement may have: the dearest ones take some 3 ms to verify.
STEP_BYTES: Final = STATEMENT_BYTES


def whole(steps: Steps[T]) -> T:
    """What comes of it, without a pause."""
    while True:
        try:
            next(steps)
        except StopIteration as done:
            result: T = done.value
            return result


@attrs.frozen
class AccountLog:
    """A log that folds, made by `fold`, `refold` and `extend` alone. `heads[i]` is statement i's hash."""

    statements: tuple[bytes, ...] = attrs.field(repr=False)
    state: AccountState
    heads: tuple[Hash, ...] = attrs.field(repr=False, eq=False)

    @property
    def account(self) -> AccountId:
        """The account id."""
        return self.state.account

    @property
    def position(self) -> LogPosition:
        """The log's length and head."""
        return self.state.position

    def extend(self, more: Iterable[bytes]) -> AccountLog:
        """The log with further statements, of which only those are verified. Raises as `fold` does."""
        return whole(self.extend_in_steps(more))

    def extend_in_steps(self, more: Iterable[bytes]) -> Steps[AccountLog]:
        """As `extend`."""
        ledger = Ledger.resume(self.state)
        return _gather(self, ledger, more, ledger.take)

    def contains(self, position: LogPosition) -> bool:
        """Whether `position` is this log's or that of a prefix of it."""
        return 1 <= position.length <= len(self.heads) and self.heads[position.length - 1] == position.head

    def position_at(self, length: int) -> LogPosition:
        """The position after the first `length` statements, which the log has."""
        if not 1 <= length <= len(self.heads):
            raise LocalProtocolError(f"a log of {len(self.heads)} has no prefix of {length}")
        return LogPosition(length, self.heads[length - 1])

    def state_at(self, length: int) -> AccountState:
        """The state after the first `length` statements, which the log has. Takes time linear in `length`."""
        if self.position_at(length) == self.position:
            return self.state
        return refold(self.statements[:length]).state

    def served_at(self, device: DeviceId, agent: str, length: int) -> bool:
        """Whether `device` was active and served `agent` ("" for the account) after `length` statements.

        The first question about an earlier state takes time linear in the log, later ones hardly any: whoever
        has many messages, each of which quotes another position, asks here and not `state_at`.
        """
        if length == self.state.length:
            return any(served.id == device for served in self.state.serving(agent))
        found = self.state.devices.get(device)
        if found is None or not found.stood_at(length):
            return False
        return not agent or bisect_right(self._service.get((agent, device), ()), length) % 2 == 1

    @cached_property
    def _service(self) -> dict[tuple[str, DeviceId], list[int]]:
        """The lengths at which each device began to serve an agent and ceased to, in turns."""
        turns: defaultdict[tuple[str, DeviceId], list[int]] = defaultdict(list)
        ledger = Ledger()
        before: dict[str, tuple[DeviceId, ...]] = {}
        for length, raw in enumerate(self.statements, 1):
            ledger.retake(raw)
            agents = dict(ledger.agents)
            for agent in before.keys() | agents.keys():
                old, new = before.get(agent, ()), agents.get(agent, ())
                if old is not new:
                    for device in {*old} ^ {*new}:
                        turns[agent, device].append(length)
            before = agents
        return dict(turns)

    def began_after(self, agent: str, position: LogPosition) -> bool:
        """Whether the agent that is called so now began after `position`, which is of this log.

        Who spoke then for one of that name spoke for another, which was withdrawn since.
        """
        return agent in self.state.agents and position.length < self.state.made[agent][-1]

    def after(self, length: int) -> tuple[bytes, ...]:
        """The statements from index `length` on; none if there are no more than that."""
        return self.statements[max(length, 0) :]

    def shared_with(self, other: AccountLog) -> int:
        """How many statements the two logs begin with in common."""
        return _shared_length(self.heads, other.heads)

    @cached_property
    def _managing(self) -> dict[bytes, tuple[DeviceState, ...]]:
        index: dict[bytes, tuple[DeviceState, ...]] = {}
        for device in self.state.devices.values():
            if device.record.manage is not None:
                index[device.record.manage] = (*index.get(device.record.manage, ()), device)
        return index

    def signer_was_manager(self, key: bytes, position: LogPosition) -> bool:
        """Whether `position` is in this log and `key` was a manage key of a device active there."""
        return self.contains(position) and any(
            device.stood_at(position.length) for device in self._managing.get(key, ())
        )


def fold(statements: Iterable[bytes]) -> AccountLog:
    """The log that these statements are, each verified once.

    Raises RemoteProtocolError with the codes of spec/identity.md section 2 and its order; `field` begins with
    the index of the statement refused.
    """
    return whole(fold_in_steps(statements))


def fold_in_steps(statements: Iterable[bytes]) -> Steps[AccountLog]:
    """As `fold`."""
    ledger = Ledger()
    return _gather(None, ledger, statements, ledger.take)


def refold(statements: Iterable[bytes]) -> AccountLog:
    """The log of statements that this side has folded before and kept itself: no signature is verified again.

    Never for statements that came from elsewhere. Raises as `fold` does.
    """
    return whole(refold_in_steps(statements))


def refold_in_steps(statements: Iterable[bytes]) -> Steps[AccountLog]:
    """As `refold`."""
    ledger = Ledger()
    return _gather(None, ledger, statements, ledger.retake)


def _gather(
    before: AccountLog | None, ledger: Ledger, more: Iterable[bytes], take: Callable[[bytes], Hash]
) -> Steps[AccountLog]:
    statements: list[bytes] = list(before.statements) if before is not None else []
    heads: list[Hash] = list(before.heads) if before is not None else []
    size = 0
    for raw in more:
        size += len(raw)
        if size > STEP_BYTES:
            yield
            size = len(raw)
        try:
            heads.append(take(raw))
        except RemoteProtocolError as error:
            field = f"statements[{len(heads)}].{error.field}".rstrip(".")
            raise RemoteProtocolError(error.code, error.text, field=field) from error
        statements.append(raw)
    return AccountLog(tuple(statements), ledger.state(), tuple(heads))


class LogRelation(StrEnum):
    """How an offered log stands to the one that is pinned (spec/identity.md section 3)."""

    SAME = "same"
    EXTENSION = "extension"
    BEHIND = "behind"
    WINS = "wins"
    LOSES = "loses"
    FORKED = "forked"


def compare(pinned: AccountLog, offered: AccountLog, *, shared: AccountState | None = None) -> LogRelation:
    """How `offered` stands to `pinned`: take it on EXTENSION and WINS, hold the account on FORKED.

    `shared` is the state up to where they part, for who has it: it is folded otherwise.
    Raises RemoteProtocolError(pinned-otherwise) for a log of another account.
    """
    if pinned.account != offered.account:
        raise RemoteProtocolError(RejectCode.PINNED_OTHERWISE, "a log of another account than the pinned one")
    length = pinned.shared_with(offered)
    if length == len(pinned.heads) == len(offered.heads):
        return LogRelation.SAME
    if length == len(pinned.heads):
        return LogRelation.EXTENSION
    if length == len(offered.heads):
        return LogRelation.BEHIND
    recovery = (shared or pinned.state_at(length)).recovery
    ours, theirs = (_signers(log, length) for log in (pinned, offered))
    # A recovery key that leaked and was replaced must not rewrite what the owner did before replacing it: no
    # branch loses in which the recovery key has spoken at all.
    if theirs[0] == recovery and recovery not in ours:
        return LogRelation.WINS
    if ours[0] == recovery and recovery not in theirs:
        return LogRelation.LOSES
    return LogRelation.FORKED


def settles(pinned: AccountLog, offered: AccountLog) -> bool:
    """Whether `offered`, which is to be taken, ends a hold: the recovery key has spoken in what is new of it.

    So it is with one that wins, and with an extension that the recovery key in force had a hand in.
    """
    if compare(pinned, offered) not in {LogRelation.EXTENSION, LogRelation.WINS}:
        return False
    shared = pinned.shared_with(offered)
    return pinned.state_at(shared).recovery in _signers(offered, shared)


def withdrawn(held: AccountLog, log: AccountLog) -> frozenset[str]:
    """Agents of `held` that no device served at some place of `log` beyond what the two share.

    Who has such a name in `log` now is another agent. Both logs were folded: no signature is verified again.
    """
    shared = held.shared_with(log)
    before = held.state_at(shared)
    gone = held.state.agents.keys() - before.agents.keys()
    ledger = Ledger.resume(before)
    for raw in log.after(shared):
        ledger.retake(raw)
        gone |= before.agents.keys() - ledger.agents.keys()
    return frozenset(gone)


def _signers(log: AccountLog, start: int) -> list[bytes]:
    return [parse_signed(raw).key for raw in log.statements[start:]]


def _shared_length(left: Sequence[Hash], right: Sequence[Hash]) -> int:
    # A head commits to everything before it, so the first difference can be found by halving.
    return bisect_left(range(min(len(left), len(right))), True, key=lambda index: left[index] != right[index])


def admits_device(log: AccountLog, device: DeviceId, quoted: LogPosition) -> None:
    """Nothing if an envelope of `device` that quotes `quoted` counts by `log` (spec/identity.md section 4).

    Raises RemoteProtocolError: stale-log if the log is shorter than what is quoted, and is to be fetched
    first, not-an-extension, unknown-device, device-gone.
    """
    if quoted.length > log.state.length:
        raise RemoteProtocolError(RejectCode.STALE_LOG, "quotes a longer log than is held", field="log")
    if not log.contains(quoted):
        raise RemoteProtocolError(RejectCode.NOT_AN_EXTENSION, "quotes another branch", field="log")
    found = log.state.devices.get(device)
    if found is None or quoted.length <= found.since:
        raise RemoteProtocolError(RejectCode.UNKNOWN_DEVICE, "not in the log that is quoted", field="device")
    if found.status is DeviceStatus.REVOKED or not found.stood_at(quoted.length):
        raise RemoteProtocolError(RejectCode.DEVICE_GONE, f"was {found.status.value}", field="device")


def check_authority(log: AccountLog, key: bytes, quoted: LogPosition) -> None:
    """Nothing if `key` may now sign cards, connections, grants and invites for the account, quoting `quoted`.

    Raises RemoteProtocolError: not-authorized, not-an-extension (spec/identity.md section 5).
    """
    if key not in log.state.manage_keys():
        raise RemoteProtocolError(RejectCode.NOT_AUTHORIZED, "not a manage key of an active device")
    if not log.contains(quoted):
        raise RemoteProtocolError(RejectCode.NOT_AN_EXTENSION, "not a position of the log held", field="log")
