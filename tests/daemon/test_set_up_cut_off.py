"""Whoever is cut off during set-up can ask again for the recovery phrase, once."""

from __future__ import annotations

import attrs
import pytest
import trio

from taskferry_apps import system
from taskferry_apps.daemon.api.errors import refusal_for
from taskferry_apps.daemon.beginning import Beginning, decode_beginning, encode_beginning
from taskferry_apps.daemon.keys import DamagedKeys, make_keys
from taskferry_apps.daemon.port import DaemonRefusal
from taskferry_apps.phrase import seed_of
from taskferry_protocol.accounts import create
from taskferry_protocol.crypto import SigningKey
from taskferry_protocol.ids import Instant

from .worlds import OWNER, URL, Machine, a_world

NOW = Instant(1_700_000_000_000)


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


def a_beginning(owner: str = "alice") -> Beginning:
    """What is kept of a set-up under way."""
    keys, seed = make_keys("laptop", system.entropy, NOW).device, bytes(range(32))
    return Beginning(owner, create(owner, keys, SigningKey.from_seed(seed), at=NOW), seed)


def test_a_set_up_under_way_is_read_as_it_was_written():
    """Name, statement and recovery key come back."""
    beginning = a_beginning()
    assert decode_beginning(encode_beginning(beginning), "the file") == beginning


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[" * 5_000,
        b"{}",
        encode_beginning(attrs.evolve(a_beginning(), owner="mallory")),
        encode_beginning(attrs.evolve(a_beginning(), recovery=bytes(32))),
        encode_beginning(attrs.evolve(a_beginning(), recovery=b"short")),
        encode_beginning(attrs.evolve(a_beginning(), statement=a_beginning("mallory").statement)),
        encode_beginning(attrs.evolve(a_beginning(), statement=a_beginning().statement[:-1])),
    ],
    ids=["empty", "deep", "no fields", "name", "other key", "short key", "statement", "cut statement"],
)
def test_nobody_goes_on_from_a_set_up_that_is_damaged(raw: bytes):
    """Another name, another key or half a statement: it is refused before an account is claimed with it."""
    with pytest.raises(DamagedKeys, match="the file is damaged"):
        decode_beginning(raw, "the file")


def test_who_sets_up_over_a_damaged_beginning_is_told_what_to_do():
    """The one mapping of errors gives the sentence and the next step, and no fault of the daemon's."""
    with pytest.raises(DamagedKeys) as damaged:
        decode_beginning(b"{}", "the file")
    refused = refusal_for(damaged.value)
    assert (refused.status, refused.code) == (503, "storage")
    assert "Remove it" in refused.message
