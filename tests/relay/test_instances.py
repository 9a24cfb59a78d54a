"""Which copy of a device's data directory may open a session."""

import attrs
import pytest

from taskferry_apps.relay.instances import remember_instance
from taskferry_apps.relay.presence import Presence
from taskferry_protocol.errors import RejectCode, RemoteProtocolError
from taskferry_protocol.frame_items import Cursor
from taskferry_protocol.frame_types import Instance
from taskferry_protocol.records import Generation
from taskferry_stores.memory import MemoryRelayStore
from tests.protocol.session_pair import HELLO

GENERATION = Generation(b"g" * 16)
HERE = attrs.evolve(HELLO, instance=Instance(b"i" * 16, None, b"r" * 16))


async def test_a_copy_that_knows_less_than_its_device_has_taken_is_an_older_one():
    """What the relay was told to forget it cannot send again: whoever lacks it is not the device of now."""
    store, presence = MemoryRelayStore(GENERATION), Presence()
    for cursor in (None, Cursor(GENERATION, 6)):
        with pytest.raises(RemoteProtocolError) as refused:
            await remember_instance(store, presence, attrs.evolve(HERE, cursor=cursor), 7)
        assert refused.value.code is RejectCode.OTHER_INSTANCE
    await remember_instance(store, presence, attrs.evolve(HERE, cursor=Cursor(GENERATION, 7)), 7)


async def test_offsets_of_a_relay_that_was_restored_say_nothing():
    """A cursor of another generation is no older memory of this one."""
    store = MemoryRelayStore(GENERATION)
    hello = attrs.evolve(HERE, cursor=Cursor(b"o" * 16, 1))
    await remember_instance(store, Presence(), hello, 7)
