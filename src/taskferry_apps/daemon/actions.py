"""Actions on tasks: signed here, or asked of the owner's device that writes for our side.

One device writes for each side of a task. What a program asks of another one is checked here, as far as this
machine knows, and again there, where it counts.
"""

from __future__ import annotations

from typing import Final

import trio

from taskferry_protocol.cbor import encode
from taskferry_protocol.errors import RejectCode
from taskferry_protocol.ids import AgentRef, DeviceId, Hash, Instant, sha256
from taskferry_protocol.links import EventType, Role
from taskferry_protocol.messages import ActionRequest, Credential

from .action_port import AskedView
from .asked import ASKED_MS, MOST_WAITING, Asked, AskedState, asked_view, keep, rows_of
from .core import Core
from .draft import Draft
from .labels import label_of
from .link import Link
from .names import match_prefix, may_use, not_found, parse_prefix
from .outgoing import posted_as, sent
from .port import Caller, DaemonRefusal, TaskAction
from .possible import acts_nowhere, writer_of
from .search import find_task
from .steps import done_before
from .taskbook import load_task
from .tasks import Step, Tasks
from .views import Sent
from .visibility import shown_rows

__all__ = ["Actions"]

#: Actions that speak of a version: the one that was shown where they were asked.
_OF_VERSIONS: Final = frozenset({EventType.REVISION_REQUEST, EventType.TASK_COMPLETE})


class Actions:
    """Carries out what callers ask, or passes it on."""

    def __init__(self, core: Core, link: Link, tasks: Tasks) -> None:
        self._core = core
        self._link = link
        self._tasks = tasks

    async def act(self, caller: Caller, named: str, action: TaskAction) -> Sent | AskedView:
        """Act on a task by id or prefix; what another device has to do is passed on to it."""
        core = self._core
        task = await find_task(core.store, named)
        before = await done_before(core)
        # Whatever was asked of another device is no message: its envelope may have gone since it was sent.
        if before is not None and before not in await core.store.messages((before,)):
            return await self._asked(before)
        if before is not None:
            posted = await posted_as(core, before)
            return await sent(core, self._link, posted, await load_task(core, task))
        async with core.lock:
            draft = Draft(core)
            step = await self._tasks.prepare(draft, caller, task, action)
            if not step.is_ours(core.device):
                id = await self._ask(draft, caller, step, action)
                await draft.commit()
                return await self._asked(id)
            posted, held = await self._tasks.sign(draft, step, action)
            await draft.commit()
        return await sent(core, self._link, posted, held)

    async def one(self, caller: Caller, task: str, request: str, wait_s: float) -> AskedView:
        """As promised."""
        core = self._core
        found = await self._find(caller, await find_task(core.store, task), request)
        with trio.move_on_after(wait_s):
            while True:
                heard = core.feed.next
                if (await rows_of(Draft(core)))[found].state is not AskedState.WAITING:
                    break
                await heard.wait()
        return await self._asked(found)

    async def _asked(self, id: Hash) -> AskedView:
        asked = (await rows_of(Draft(self._core))).get(id)
        if asked is None:
            raise not_found("request")
        return await asked_view(self._core, asked)

    async def _find(self, caller: Caller, task: Hash, named: str) -> Hash:
        core = self._core
        seen = await shown_rows(core, caller, (await core.store.tasks((task,))).get(task, ()))
        agents = {row.mine.name for row in seen if may_use(caller, row.mine.name)}
        rows = await rows_of(Draft(core))
        ids = {id for id, asked in rows.items() if asked.task == task and asked.agent in agents}
        wanted = parse_prefix(named, "request")
        return match_prefix(wanted if isinstance(wanted, str) else wanted.hex(), ids, "request")

    # --- Passing on

    async def _ask(self, draft: Draft, caller: Caller, step: Step, action: TaskAction) -> Hash:
        """Post the request in this draft; the one that waits already, where it is the same. Its id."""
        writer = await _writer(draft, step)
        step.check_possible(draft.now)
        body = _request(caller, step, action, Instant(draft.now + ASKED_MS))
        same = _same(body)
        waiting = [asked for asked in (await rows_of(draft)).values() if asked.waits(draft.now)]
        for asked in waiting:
            if (asked.device, asked.same) == (writer, same):
                return asked.id
        label = await label_of(self._core.store, await draft.own_log(), writer)
        if len(waiting) >= MOST_WAITING:
            raise DaemonRefusal(
                "too-many",
                f"{MOST_WAITING} requests wait for your other devices already.",
                f"Switch {label} on, or do it there.",
                status=429,
            )
        own = self._core.own
        to = AgentRef.to_device(own, writer)
        try:
            posted = await draft.post_quietly(body, AgentRef(own, ""), to)
        except DaemonRefusal as refused:
            if refused.code != RejectCode.TOO_LARGE.value:
                raise
            raise DaemonRefusal(
                refused.code,
                f"That is too large to be passed on to your device {label}, which acts in this task.",
                f"Do it on {label}.",
                status=413,
            ) from refused
        asked = Asked(
            posted.hash, writer, step.held.task, step.row.mine.name, action.kind, same, draft.now, body.until
        )
        await keep(draft, asked)
        return asked.id


async def _writer(draft: Draft, step: Step) -> DeviceId:
    """Our device that writes in the task. Raises DaemonRefusal(not-possible) if it is gone."""
    view, log = step.held.view, await draft.own_log()
    writer = writer_of(view, step.role, log)
    if writer is not None:
        return writer
    gone = view.home if step.role is Role.REQUESTER else view.worker_device
    raise acts_nowhere(
        view, await label_of(draft.core.store, log, gone) if gone is not None else "another one"
    )


def _request(caller: Caller, step: Step, action: TaskAction, until: Instant) -> ActionRequest:
    names = step.names if step.kind in _OF_VERSIONS else None
    return ActionRequest(
        task=step.held.task,
        action=action.kind,
        agent=step.row.mine.name,
        by=Credential.OWNER if caller.is_owner else Credential.AGENT,
        until=until,
        text=action.text,
        percent=action.percent,
        parts=action.parts,
        reasons=action.reasons,
        version=names.version if names is not None else None,
        hash=names.hash if names is not None else None,
        answers=step.answers if step.kind is EventType.ARTIFACT_SUBMIT else None,
    )


def _same(body: ActionRequest) -> Hash:
    """A hash over all that is asked but until when."""
    members = {key: value for key, value in body.to_cbor().items() if key != "until"}
    return sha256(encode(members))
