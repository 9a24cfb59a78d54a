"""What further devices of the owner are still to be given, and how far that has come: one setting."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Final

import attrs

from taskferry_protocol.ids import DeviceId, Hash, Instant
from taskferry_protocol.limits import DAY_MS, MINUTE_MS
from taskferry_protocol.records import DropSetting, PutSetting

from .draft import Draft

__all__ = ["JOBS", "History", "Job", "Phase", "put_job", "read_jobs", "under_way"]

JOBS: Final = "sharing"
"""The setting."""


class History(StrEnum):
    """How much of what was before a new device is given. What belongs to open tasks always goes along."""

    NONE = "none"
    MONTH = "30d"
    ALL = "all"


class Phase(StrEnum):
    """What comes next."""

    SHARE = "share"
    SERVE = "serve"
    HISTORY = "history"
    REST = "rest"
    """What has come to this device alone, while the new one did not serve yet, and what that changed."""


@attrs.frozen
class Job:
    """How far a device has been brought. `since` is when history begins; `done` of `total` are looked at.

    `through` is when history was first through, 0 before; what came to this device alone is waited for then.
    `told` is the place of the last message that was here when the logs of others were shared. The log
    need not name the device until `named_by`: the relay is being asked.
    """

    device: DeviceId
    since: Instant
    phase: str = Phase.SHARE.value
    after: int = 0
    done: int = 0
    total: int = 0
    waits: Hash | None = None
    through: int = 0
    told: int = 0
    named_by: int = 0

    @classmethod
    def begin(cls, device: DeviceId, history: History, now: Instant) -> Job:
        """A job for a device that is about to be added."""
        since = {History.NONE: now, History.MONTH: max(0, now - 30 * DAY_MS), History.ALL: 0}[history]
        return cls(device, Instant(since), named_by=now + MINUTE_MS)


def read_jobs(raw: bytes | None) -> dict[DeviceId, Job]:
    """What the setting says, by device."""
    rows = json.loads(raw) if raw is not None else []
    jobs = [
        Job(
            DeviceId(bytes.fromhex(row["device"])),
            Instant(row["since"]),
            row["phase"],
            row["after"],
            row["done"],
            row["total"],
            Hash(bytes.fromhex(row["waits"])) if row["waits"] else None,
            row.get("through", 0),
            row.get("told", 0),
            row.get("named_by", 0),
        )
        for row in rows
    ]
    return {job.device: job for job in jobs}


async def under_way(draft: Draft) -> frozenset[DeviceId]:
    """The devices that are being brought up to date from here: all that is stored meanwhile goes along."""
    return frozenset(read_jobs(await draft.setting(JOBS)))


async def put_job(draft: Draft, job: Job | None, device: DeviceId) -> None:
    """Note how far a device has been brought; None: it lacks nothing any more."""
    jobs = read_jobs(await draft.setting(JOBS))
    jobs.pop(device, None)
    if job is not None:
        jobs[device] = job
    if not jobs:
        draft.add(DropSetting(JOBS))
        return
    rows = [
        attrs.asdict(row) | {"device": row.device.hex(), "waits": row.waits.hex() if row.waits else ""}
        for row in jobs.values()
    ]
    draft.add(PutSetting(JOBS, json.dumps(rows).encode()))
