"""What a worker does not do after all is left to others, and faults on the way end nothing."""

from __future__ import annotations

from typing import Any

import pytest

from taskferry_apps.client import AsyncClient
from taskferry_apps.daemon.approvals import Approvals
from taskferry_apps.daemon.runtimes import Runtimes
from taskferry_apps.worker import line, worker
from taskferry_apps.worker.telling import What

from .test_choosing import ECHO, answer


def failing(monkeypatch: pytest.MonkeyPatch, owner: type, name: str, times: int) -> None:
    """A call of the daemon's that fails so often."""
    left, call = [times], getattr(owner, name)

    async def fails(self: Any, *args: Any, **more: Any) -> Any:
        if left[0]:
            left[0] -= 1
            raise RuntimeError("a fault of the daemon's")
        return await call(self, *args, **more)

    monkeypatch.setattr(owner, name, fails)
    monkeypatch.setattr(line, "delay", lambda *_: 0.01)
    monkeypatch.setattr(worker, "_AGAIN_S", 0.2)
    monkeypatch.setattr(worker, "_POLL_S", 1)


@pytest.mark.parametrize("where", ["asking", "taking"])
async def test_a_daemon_that_fails_at_a_question_is_asked_again(shop, monkeypatch, where):
    """Before the owner has answered, and after: the worker goes on, and the task is done."""
    owner, name = (Approvals, "ask") if where == "asking" else (Runtimes, "take")
    failing(monkeypatch, owner, name, 5)
    handle = await shop.send("Ask first")
    async with shop.working(shop.script(ECHO), is_asking=True):
        await answer(shop, "approve")
        assert (await handle.result(40)).text == "done"


async def test_what_the_owner_does_not_want_done_here_another_program_can_have(shop):
    """A worker that took a task over, and may not run its command on it, holds it no longer."""
    handle = await shop.send()
    bob = shop.ferry.bob
    async with AsyncClient(url=bob.url, token=bob.token) as client:
        async with client.runtime("session") as session:
            job = await anext(aiter(client.work(idle=20, runtime=session)))
            await job.accept()
        async with shop.working(shop.script(ECHO), is_asking=True), client.runtime("heir") as heir:
            await answer(shop, "deny")
            await shop.until(lambda: any("denied" in words for words in shop.words(What.LEFT)))
            job = await anext(aiter(client.work(idle=20, runtime=heir)))
            await job.submit("the heir's")
            task = await shop.ended(handle, "submitted")
    assert [version.text for version in task.versions] == ["the heir's"]
