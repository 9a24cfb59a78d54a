"""A worker on each of two machines of one owner: a task is one's, and the other lets go of it."""

from __future__ import annotations

import trio

from taskferry_apps.worker.serving import work
from taskferry_apps.worker.telling import What
from taskferry_protocol.gates import AgentMode
from taskferry_protocol.ids import Hash
from taskferry_protocol.messages import TextPart
from tests.client.conftest import _open_door
from tests.daemon.api.house import serve_api
from tests.daemon.worlds import OWNER, Machine, act, in_state, until
from tests.devices.courier import Courier
from tests.devices.machines import knows_device, link_to

from .test_sharing import waiting


async def test_a_task_that_another_machine_got_is_let_go_of(shop):
    """Both have accepted it at once, and the other side names the other machine's: one version, no second."""
    house = shop.ferry.house
    first, alice = house.bob.daemon, house.alice.daemon
    machine = Machine("bob2")
    device = await link_to(house.world, first, machine)
    async with house.world.running(machine) as second:
        await knows_device(alice, first, device, "writer")
        await until(lambda: _is_served(second))
        await second.gates.set_mode(OWNER, "writer", AgentMode.OPEN.value)
        courier = Courier(second, lambda envelope: envelope.device == first._core.device)
        house.world.tamper = courier.tamper
        handle = await shop.send()
        task = Hash(bytes.fromhex(handle.id))
        await in_state(second, task, "sent")
        await act(first, task, "accept")
        await in_state(alice, task, "accepted")
        async with _open_door(serve_api(second), "writer") as door, trio.open_nursery() as nursery:
            orders = shop.orders(
                shop.script(waiting(shop)),
                most=None,
                token=door.token,
                find_url=lambda: door.url,
            )
            nursery.start_soon(work, orders, shop.told.append)
            await shop.until((shop.room / "tasks" / handle.id / "begun").exists)
            house.world.tamper = None
            await courier.deliver()
            await shop.until(lambda: bool(shop.words(What.LOST)))
            (shop.folder / "go").touch()
            await act(first, task, "submit", parts=(TextPart("the first's"),))
            ended = await shop.ended(handle, "submitted")
            nursery.cancel_scope.cancel()
    assert shop.words(What.LOST) == ["Your machine laptop has it. What was done here is discarded."]
    assert [version.text for version in ended.versions] == ["the first's"]
    assert not (shop.room / "tasks" / handle.id).exists()


async def _is_served(daemon):
    return daemon._core.account is not None and await daemon.agents(OWNER)
