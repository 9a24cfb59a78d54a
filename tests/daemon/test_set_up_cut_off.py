"""Whoever is cut off during set-up can ask again for the recovery phrase, once."""

from __future__ import annotations

import pytest
import trio

from taskferry_apps.daemon.port import DaemonRefusal
from taskferry_apps.phrase import seed_of

from .worlds import OWNER, URL, Machine, a_world


async def test_a_phrase_that_nobody_was_told_is_told_to_who_asks_again(monkeypatch):
    """The client hangs up while the name is being claimed; the account is made by then."""
    async with a_world() as world:
        machine = Machine("alice")
        async with world.running(machine) as daemon:
            waiting = trio.Event()

            async def wait_for_ever(*_: object) -> None:
                waiting.set()
                await trio.sleep_forever()

            with monkeypatch.context() as slow:
                slow.setattr("taskferry_apps.daemon.setting_up.wait_claimed", wait_for_ever)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(daemon.set_up, OWNER, "alice", URL, "laptop")
                    await waiting.wait()
                    nursery.cancel_scope.cancel()
            assert (await daemon.status()).set_up
        async with world.running(machine) as daemon:
            done = await daemon.set_up(OWNER, "alice", URL, "laptop")
            assert done.name_claimed
            assert len(seed_of(done.recovery_key)) == 32
            assert machine.vault.beginning is None
            with pytest.raises(DaemonRefusal) as again:
                await daemon.set_up(OWNER, "alice", URL, "laptop")
            assert again.value.code == "conflict"
