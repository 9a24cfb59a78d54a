"""A worker that dies between any two steps, and daemons that are away: nothing lost, nothing twice."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
import trio

from taskferry_apps.client import calls, task_calls
from taskferry_apps.daemon.looking import Looking
from taskferry_apps.daemon.mail import Mail
from taskferry_apps.worker import line, worker
from taskferry_apps.worker.line import Line
from taskferry_apps.worker.room import Room, RoomTrouble, held_room
from taskferry_apps.worker.seat import leased
from taskferry_apps.worker.steps import Kept, Stage
from taskferry_apps.worker.telling import What

DEEDS = {task_calls.accept, task_calls.submit, task_calls.fail, calls.acknowledge}


class Died(BaseException):
    """The process is gone."""


@attrs.define
class Fate:
    """Lets the worker die at one of its steps: before it takes effect, or right after."""

    at: int
    is_after: bool
    count: int = 0

    def step(self, is_after: bool) -> None:
        """One more."""
        if is_after is self.is_after:
            self.count += 1
            if self.count == self.at:
                raise Died


def under(monkeypatch: pytest.MonkeyPatch, fate: Fate) -> None:
    """Every step that lasts goes by fate."""
    do, keep, forget = Line.do, Room.keep, Room.forget

    async def fated_do(self: Line, make: Any) -> Any:
        deed = make.args[0] if getattr(make, "func", None) is leased else make
        if getattr(deed, "func", None) not in DEEDS:
            return await do(self, make)
        fate.step(False)
        outcome = await do(self, make)
        fate.step(True)
        return outcome

    def fated(write: Any) -> Any:
        def step(self: Room, *args: Any) -> None:
            fate.step(False)
            write(self, *args)
            fate.step(True)

        return step

    monkeypatch.setattr(Line, "do", fated_do)
    monkeypatch.setattr(Room, "keep", fated(keep))
    monkeypatch.setattr(Room, "forget", fated(forget))


async def work_until_death(shop: Any, command: str) -> None:
    """A worker that takes one task, or dies over it."""
    try:
        await shop.work(command)
    except* Died:
        pass


@pytest.mark.parametrize("is_after", [False, True])
@pytest.mark.parametrize("ending", ["print('done')", "raise SystemExit(1)"])
async def test_dying_at_any_step_loses_nothing_and_does_nothing_twice(shop, monkeypatch, is_after, ending):
    """One acceptance, and one version or one failure, wherever the worker died."""
    command = shop.script(ending)
    at = 0
    while True:
        at += 1
        handle = await shop.send(f"Task {at}")
        fate = Fate(at, is_after)
        with monkeypatch.context() as patch:
            under(patch, fate)
            await work_until_death(shop, command)
        if fate.count == at:
            async with shop.working(command):
                await shop.ended(handle, "submitted", "failed")
        task = await shop.ended(handle, "submitted", "failed")
        kinds = [
            event.type for event in task.events if event.side == "worker" and event.effect == "effective"
        ]
        last = "artifact_submit" if "print" in ending else "task_fail"
        assert kinds == ["task_accept", last], at
        assert len(task.versions) == ("print" in ending)
        if fate.count < at:
            break
    assert at > 4


async def test_a_daemon_that_is_away_is_waited_for_and_that_is_said_once(shop):
    """Under way, too: when it answers again, at another address even, the work goes on."""
    handle = await shop.send()
    urls = ["http://127.0.0.1:9"]
    async with shop.working(shop.script("print('done')"), find_url=lambda: urls[-1]):
        await shop.until(lambda: bool(shop.words(What.AWAY)))
        await trio.sleep(1)
        urls.append(shop.ferry.bob.url)
        assert (await handle.result(40)).text == "done"
    assert (len(shop.words(What.AWAY)), len(shop.words(What.BACK))) == (1, 1)


async def test_a_daemon_that_fails_at_its_inbox_does_not_end_the_worker(shop, monkeypatch):
    """Once or often: it is asked again, and the worker says what is wrong, once, while it does not help."""
    monkeypatch.setattr(worker, "_PAUSE_S", 0.01)
    monkeypatch.setattr(line, "delay", lambda *_: 0.01)
    failures = 17
    inbox = Mail.inbox

    async def failing(self: Mail, *args: Any, **more: Any) -> Any:
        nonlocal failures
        if failures:
            failures -= 1
            raise RuntimeError("a fault of the daemon's")
        return await inbox(self, *args, **more)

    monkeypatch.setattr(Mail, "inbox", failing)
    handle = await shop.send()
    async with shop.working(shop.script("print('done')")):
        assert (await handle.result(40)).text == "done"
    assert failures == 0
    (said,) = shop.words(What.TROUBLE)
    assert said.startswith("the inbox cannot be read: ")


async def test_a_task_at_which_the_daemon_fails_keeps_no_other_waiting(shop, monkeypatch):
    """It is looked at again later; what came after it is done now."""
    monkeypatch.setattr(line, "delay", lambda *_: 0.01)
    bad, good = await shop.send("Bad"), await shop.send("Good")
    look = Looking.task

    async def failing(self: Looking, caller: Any, task: str, *args: Any) -> Any:
        if task == bad.id and not caller.is_owner:
            raise RuntimeError("a fault of the daemon's")
        return await look(self, caller, task, *args)

    monkeypatch.setattr(Looking, "task", failing)
    async with shop.working(shop.script("print('done')")):
        assert (await good.result(40)).text == "done"
    assert shop.words(What.TROUBLE)


async def test_an_acceptance_whose_key_is_forgotten_counts_as_its_own(shop):
    """A day after a crash in the very moment of accepting, the task is done all the same."""
    handle = await shop.send()
    await shop.work(shop.script("print('done')"))
    (place,) = (shop.room / "state").iterdir()
    with held_room(shop.room) as room:
        kept = room.find(handle.id)
        assert kept is not None
        assert (kept.stage, place.stem) == (Stage.HANDED_IN, handle.id)
        room.keep(attrs.evolve(kept, stage=Stage.ACCEPTING, since_ms=kept.since_ms - 2 * 86_400_000))
    await handle.revise("More")
    async with shop.working(shop.script("print('more')")):
        task = await shop.ended(handle, "resubmitted")
    assert [version.text for version in task.versions] == ["done", "more"]


def test_a_damaged_state_stops_the_worker_with_a_sentence(tmp_path):
    """It names the file, and nothing is guessed; a file that others can read is refused, too."""
    with held_room(tmp_path / "room") as room:
        room.keep(Kept("ab" * 32, Stage.ACCEPTED, 5))
        (place,) = (room.path / "state").iterdir()
        place.chmod(0o644)
        with pytest.raises(RoomTrouble, match="chmod 600"):
            room.kept()
        place.chmod(0o600)
        place.write_text("{")
        with pytest.raises(RoomTrouble, match="Move it away"):
            room.kept()
        with pytest.raises(ValueError, match="no task"):
            room.folder("../up")


def test_a_folder_without_rights_is_removed_all_the_same(tmp_path):
    """And nothing outside of it, whatever links are in it."""
    (tmp_path / "keep").mkdir()
    (tmp_path / "keep" / "mine").touch()
    with held_room(tmp_path / "room") as room:
        folder = room.fresh_folder("ab" * 32)
        (folder / "out" / "deep").mkdir()
        (folder / "out" / "deep" / "file").touch()
        (folder / "out" / "link").symlink_to(tmp_path / "keep")
        (folder / "out" / "deep").chmod(0)
        (folder / "out").chmod(0o500)
        again = room.fresh_folder("ab" * 32)
        assert sorted(path.name for path in again.iterdir()) == ["in", "out", "versions"]
        assert list((again / "out").iterdir()) == []
    assert (tmp_path / "keep" / "mine").exists()
