"""A word of ours in a task that is brought again, as the owner's other machine sees it."""

from __future__ import annotations

from taskferry_apps.daemon.draft import Draft
from taskferry_apps.daemon.service import Daemon
from taskferry_protocol.ids import Hash
from taskferry_protocol.messages import TaskRepeat
from tests.daemon.forger import codes
from tests.daemon.worlds import ask, in_state, until

from .machines import a_pair


async def bring_again(daemon: Daemon, word: Hash) -> Hash:
    """Send a word of ours once more, as if it had expired; what brings it."""
    core = daemon._core
    async with core.lock:
        draft = Draft(core)
        (message,) = (await core.store.messages((word,)))[word]
        kept = (await core.store.sealed((word,)))[word]
        body = TaskRepeat(kept.envelope, kept.key)
        posted = await draft.post_quietly(body, message.mine, message.peer)
        await draft.commit()
    core.due.ring()
    return posted.hash


async def test_the_owners_other_machine_has_it_and_sets_nothing_aside(autojump_clock):
    """What the first brings to a peer comes to the second, too, which had the word when it was signed."""
    async with a_pair() as pair:
        task = await ask(pair.first, "requester", "@bob/writer")
        for daemon in (pair.second, pair.bob):
            await in_state(daemon, task, "sent")
        before = (await pair.second._core.store.task_events((task,)))[task]
        carrier = await bring_again(pair.first, task)

        async def decided() -> bool:
            store = pair.second._core.store
            return bool(await store.sealed((carrier,)) or await store.quarantine((carrier,)))

        await until(decided)
        assert await codes(pair.second) == []
        assert (await pair.second._core.store.task_events((task,)))[task] == before
