"""What this machine has asked of another one of its owner's: kept until it is answered, and a while after.

Rows are bounded in number; those that wait are never dropped before their time is over.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

import attrs

from taskferry_protocol.account_state import DeviceStatus
from taskferry_protocol.accounts import AccountLog
from taskferry_protocol.errors import RejectCode
from taskferry_protocol.ids import DeviceId, Hash, Instant
from taskferry_protocol.limits import DAY_MS
from taskferry_protocol.messages import ActionOutcome, Upshot
from taskferry_protocol.records import PutSetting, TaskRecord

from .action_port import AskedView
from .bounds import BOUNDS
from .core import Core
from .draft import Draft
from .labels import label_of
from .names import handle_of

__all__ = [
    "ASKED_MS",
    "MOST_WAITING",
    "Asked",
    "AskedState",
    "asked_view",
    "asked_views",
    "keep",
    "lose",
    "rows_of",
]

_KEY: Final = "asked"
#: How long a request may wait for the other machine. Whoever comes home after a day decides anew.
ASKED_MS: Final = DAY_MS
MOST_WAITING: Final = BOUNDS.asked
#: Rows altogether, and how long one is shown after it ended.
_KEPT: Final = 100
_KEPT_MS: Final = 7 * DAY_MS


class AskedState(StrEnum):
    """How a request stands."""

    WAITING = "waiting"
    DONE = "done"
    REFUSED = "refused"
    OVERDUE = "overdue"
    LOST = "lost"


@attrs.frozen
class Asked:
    """One request. `id` is its envelope's hash, `same` a hash over all that was asked but the time."""

    id: Hash
    device: DeviceId
    task: Hash
    agent: str
    action: str
    same: Hash
    at: Instant
    until: Instant
    state: AskedState = AskedState.WAITING
    ended_at: Instant | None = None
    event: Hash | None = None
    code: str = ""
    text: str = ""
    next_step: str = ""

    def waits(self, now: Instant) -> bool:
        """Whether it can still be carried out, as far as is known here."""
        return self.state is AskedState.WAITING and now < self.until

    def answered(self, outcome: ActionOutcome, now: Instant) -> Asked:
        """With what the other machine said."""
        return attrs.evolve(
            self,
            state=AskedState.DONE if outcome.outcome is Upshot.DONE else AskedState.REFUSED,
            ended_at=now,
            event=outcome.event,
            code=outcome.code,
            text=outcome.text,
            next_step=outcome.next_step,
        )


_BYTES: Final = ("id", "device", "task", "same", "event")


def _read(raw: bytes | None) -> dict[Hash, Asked]:
    rows = json.loads(raw) if raw is not None else []
    listed = []
    for row in rows:
        octets = {key: bytes.fromhex(row[key]) if row[key] is not None else None for key in _BYTES}
        listed.append(Asked(**{**row, **octets, "state": AskedState(row["state"])}))
    return {asked.id: asked for asked in listed}


def _write(rows: Mapping[Hash, Asked], now: Instant) -> bytes:
    fresh = [
        asked
        for asked in rows.values()
        if asked.waits(now) or now - (asked.ended_at or asked.until) < _KEPT_MS
    ]
    fresh.sort(key=lambda asked: (asked.waits(now), asked.at), reverse=True)
    shown = [
        {**attrs.asdict(asked), **{key: _hex(getattr(asked, key)) for key in _BYTES}}
        for asked in fresh[:_KEPT]
    ]
    return json.dumps(shown, separators=(",", ":")).encode()


def _hex(value: bytes | None) -> str | None:
    return None if value is None else value.hex()


async def rows_of(draft: Draft) -> Mapping[Hash, Asked]:
    """All that is kept, by id, as it will be after this draft."""
    return _read(await draft.setting(_KEY))


async def keep(draft: Draft, asked: Asked) -> None:
    """Keep a request as it stands now, and say so in the feed."""
    rows = {**await rows_of(draft), asked.id: asked}
    draft.add(PutSetting(_KEY, _write(rows, draft.now)))
    facts = {"id": asked.id.hex(), "state": asked.state.value, "action": asked.action}
    draft.tell("action", asked.agent, (asked.task, asked.task), **facts)


async def lose(draft: Draft, id: Hash, code: str) -> None:
    """End a request, if this is one, that the relay did not take for the other machine."""
    asked = (await rows_of(draft)).get(id)
    if asked is not None and asked.state is AskedState.WAITING:
        await keep(draft, attrs.evolve(asked, state=AskedState.LOST, ended_at=draft.now, code=code))


# --- As it is shown -----------------------------------------------------------------------------------------

_GONE: Final = "It was put out before it answered. Look at the task, and do it anew if it is not done."
_UNSENT: Final = "The relay did not take it for that device."
_LATE: Final = "It did not answer in time, and does nothing about it any more."


async def asked_views(core: Core, row: TaskRecord) -> tuple[AskedView, ...]:
    """What was asked in a task for the agent of `row`, oldest first."""
    raw = (await core.store.settings((_KEY,))).get(_KEY)
    rows = [asked for asked in _read(raw).values() if (asked.task, asked.agent) == (row.task, row.mine.name)]
    return tuple([await asked_view(core, asked) for asked in sorted(rows, key=lambda asked: asked.at)])


async def asked_view(core: Core, asked: Asked) -> AskedView:
    """A request as of now."""
    log = await core.own_log()
    shown = _as_of(asked, log, core.now())
    return AskedView(
        id=shown.id,
        task=shown.task,
        device=await label_of(core.store, log, shown.device),
        agent=await handle_of(core, core.agent(shown.agent)),
        action=shown.action,
        state=shown.state.value,
        asked_at=shown.at,
        until=shown.until,
        ended_at=shown.ended_at,
        event=shown.event,
        code=shown.code,
        text=shown.text,
        next_step=shown.next_step,
    )


def _as_of(asked: Asked, log: AccountLog, now: Instant) -> Asked:
    if asked.state is AskedState.LOST:
        return attrs.evolve(asked, text=_UNSENT)
    if asked.state is not AskedState.WAITING:
        return asked
    device = log.state.devices.get(asked.device)
    if device is None or device.status is not DeviceStatus.ACTIVE:
        return attrs.evolve(asked, state=AskedState.LOST, code=RejectCode.DEVICE_GONE.value, text=_GONE)
    if not asked.waits(now):
        return attrs.evolve(asked, state=AskedState.OVERDUE, code=RejectCode.EXPIRED.value, text=_LATE)
    return asked
