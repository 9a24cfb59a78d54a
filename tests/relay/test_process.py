"""The relay as it is run: a process with a socket, a file and signals."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import trio

from taskferry_apps import system
from taskferry_apps.cli.outcome import Exit
from taskferry_apps.relay.addresses import both_origins
from taskferry_apps.relay_client import LinkEnded
from taskferry_protocol.frame_items import Cursor, ParcelAccepted
from tests import warm

from .conftest import codes, mails, take
from .people import connect, person, read_text, seal
from .process import ENVIRONMENT, ended, running, started, words


async def introduce(relay, alice, bob) -> None:
    """Both owners join and connect."""
    async with relay.open(bob), relay.open(alice) as client:
        await client.call(connect(alice, bob, system.now()))


def people():
    """Two owners."""
    return person("alice", 1, system.now()), person("bob", 2, system.now())


@pytest.mark.parametrize("longpoll", [False, True])
async def test_mail_travels_over_real_sockets(tmp_path, longpoll):
    """Over WebSocket and over long-poll alike."""
    alice, bob = people()
    async with running(tmp_path) as relay:
        await introduce(relay, alice, bob)
        async with (
            relay.open(alice, longpoll=longpoll) as sender,
            relay.open(bob, longpoll=longpoll) as recipient,
        ):
            texts = [f"{n}" for n in range(100)]
            parcels = [seal(alice, bob, text, system.now()).parcel for text in texts]
            assert set(codes(await sender.send(parcels))) == {"accepted"}
            assert [read_text(bob, entry) for entry in mails(await take(recipient, 100))] == texts


async def test_a_relay_goes_on_where_its_log_cannot_be_written(tmp_path):
    """Whoever read its log is gone, as a terminal that is closed; it says so to nobody, and carries mail."""
    reader, writer = os.pipe()
    process = started(words(tmp_path), writer)
    os.close(writer)
    try:
        with trio.fail_after(20):
            said = await trio.to_thread.run_sync(os.read, reader, 65536)
        os.close(reader)
        url = json.loads(said.splitlines()[0])["url"]
        # It has something to log at the one, and answers the other.
        process.send_signal(signal.SIGHUP)
        async with httpx.AsyncClient() as client:
            for _ in range(3):
                assert (await client.get(f"{url}/health")).status_code == 200
        process.terminate()
        assert await ended(process) == 0
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await ended(process)


async def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path):
    """Killed while mail pours in, the relay still has every envelope that it accepted, once and in order."""
    alice, bob = people()
    accepted: list[str] = []
    async with running(tmp_path) as relay:
        await introduce(relay, alice, bob)

        async def pour() -> None:
            async with relay.open(alice) as client:
                for start in range(0, 100_000, 8):
                    texts = [f"{n}" for n in range(start, start + 8)]
                    outcomes = await client.send([seal(alice, bob, t, system.now()).parcel for t in texts])
                    accepted.extend(
                        t for t, o in zip(texts, outcomes, strict=True) if o.__class__ is ParcelAccepted
                    )

        with pytest.raises(ExceptionGroup) as caught:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(pour)
                while len(accepted) < 200:
                    await trio.sleep(0.005)
                relay.kill()
        assert caught.group_contains(LinkEnded)
    async with running(tmp_path) as relay, relay.open(bob) as client:
        entries = mails(await take(client, len(accepted)))
        # What was stored and not answered in time may follow.
        assert [read_text(bob, entry) for entry in entries][: len(accepted)] == accepted


async def test_kill_9_gives_nobody_a_rate_back(tmp_path):
    """What the relay let through before it was killed is counted after: the recipient counts it, too."""
    alice, bob = people()
    async with running(tmp_path) as relay:
        async with relay.open(bob), relay.open(alice) as client:
            await client.call(connect(alice, bob, system.now(), rate=3))
            outcomes = await client.send([seal(alice, bob, f"{n}", system.now()).parcel for n in range(3)])
            assert codes(outcomes) == ["accepted"] * 3
        relay.kill()
    async with running(tmp_path) as relay, relay.open(alice) as client:
        outcomes = await client.send([seal(alice, bob, "more", system.now()).parcel])
        assert codes(outcomes) == ["rate-limited"]


async def test_a_cursor_holds_over_a_restart(tmp_path):
    """The generation stays, and what was acknowledged does not come again."""
    alice, bob = people()
    async with running(tmp_path) as relay:
        await introduce(relay, alice, bob)
        async with relay.open(alice) as sender, relay.open(bob) as recipient:
            await sender.send([seal(alice, bob, f"{n}", system.now()).parcel for n in range(3)])
            entries = await take(recipient, 3)
            cursor = Cursor(recipient.ready.generation, entries[1].offset)
        relay.kill()
    async with running(tmp_path) as relay, relay.open(bob, cursor=cursor) as recipient:
        assert recipient.ready.continued
        assert recipient.ready.next_offset > cursor.offset


async def test_sigterm_says_goodbye_and_ends_well(tmp_path):
    """Open sessions get goaway, and the exit code is 0."""
    alice, _ = people()
    async with running(tmp_path) as relay, relay.open(alice) as client:
        async with trio.open_nursery() as nursery:
            ended = []

            async def listen() -> None:
                ended.append(await client.wait_ended())

            nursery.start_soon(listen)
            assert await relay.stop() == 0
        assert ended[0].code == "shutting-down"
        assert ended[0].retry_after is not None


async def test_health_and_home_answer(tmp_path):
    """Operators and people find out what this is."""
    async with running(tmp_path) as relay, httpx.AsyncClient(trust_env=False) as http:
        health = await http.get(f"{relay.url}/health")
        assert (health.status_code, health.json()) == (200, {"status": "ok", "service": "relay"})
        assert "TaskFerry relay" in (await http.get(relay.url)).text
        assert (await http.get(f"{relay.url}/nothing")).status_code == 404


async def test_the_database_belongs_to_its_owner(tmp_path):
    """Nobody else on the machine reads it."""
    async with running(tmp_path):
        assert stat.S_IMODE((tmp_path / "relay.db").stat().st_mode) == 0o600


def fails(arguments: list[str], expected: Exit = Exit.TROUBLE, **settings: str) -> str:
    """What a relay that cannot start says."""
    done = warm.run(arguments, ENVIRONMENT | settings, Path.cwd(), stdin=b"", timeout=30)
    return sentence_of(done.code, done.err.decode(), expected)


def sentence_of(code: int, said: str, expected: Exit = Exit.TROUBLE) -> str:
    """The one sentence."""
    assert code == expected, said
    (sentence,) = said.splitlines()
    assert sentence.startswith("taskferry relay: ")
    return sentence


async def test_a_second_relay_on_one_file_says_so(tmp_path):
    """One process owns the database."""
    async with running(tmp_path):
        said = await trio.to_thread.run_sync(fails, words(tmp_path))
    assert "Another process has" in said
    assert said.endswith("Another file is named with --db.")


def test_a_port_in_use_is_named(tmp_path):
    """The sentence says which address, and what may be there."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"127.0.0.1:{port} is already in use" in fails(words(tmp_path, port=port))


async def test_a_newer_file_is_not_touched(tmp_path):
    """A later version's database is refused as such."""
    async with running(tmp_path) as relay:
        assert await relay.stop() == 0
    with sqlite3.connect(tmp_path / "relay.db") as connection:
        connection.execute("PRAGMA user_version = 9999")
    connection.close()
    assert "newer version" in await trio.to_thread.run_sync(fails, words(tmp_path))


def test_another_programs_file_is_refused(tmp_path):
    """Text is no database."""
    (tmp_path / "relay.db").write_text("not a database, but long enough to look like a file\n" * 50)
    assert "relay.db" in fails(words(tmp_path))


#: Root goes through any mode by this one capability (capabilities(7)); a program started without it does not.
WITHOUT_OVERRIDE = """
import ctypes, os, sys
DROP_FROM_BOUNDING_SET, CAP_DAC_OVERRIDE = 24, 1
assert ctypes.CDLL(None).prctl(DROP_FROM_BOUNDING_SET, CAP_DAC_OVERRIDE, 0, 0, 0) == 0
os.execv(sys.argv[1], sys.argv[1:])
"""


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    """The remedy is said."""
    tmp_path.chmod(0o500)
    bound_by_modes = [] if os.geteuid() else [sys.executable, "-c", WITHOUT_OVERRIDE]
    done = subprocess.run(
        [*bound_by_modes, sys.executable, "-m", "taskferry_apps.cli", *words(tmp_path)],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert "writ" in sentence_of(done.returncode, done.stderr)


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    """A file stands where the folder should be."""
    (tmp_path / "file").write_text("")
    assert "cannot be made" in fails(words(tmp_path / "file"))


def test_an_open_address_needs_its_origins(tmp_path):
    """Which addresses daemons dial has to be said when others can come; trying again does not help."""
    assert "TASKFERRY_RELAY_ORIGINS" in fails(words(tmp_path, host="0.0.0.0"), Exit.USAGE)


def test_a_mail_server_needs_a_sender(tmp_path):
    """What is missing is named, with the exit code of a setting that stays wrong."""
    said = fails(words(tmp_path), Exit.USAGE, TASKFERRY_RELAY_SMTP="mail.example:587")
    assert "TASKFERRY_RELAY_SMTP_FROM" in said


def test_origins_are_written_in_full():
    """With port, in small letters, for WebSocket and for the fallback."""
    assert both_origins(["wss://Relay.Example"]) == {"wss://relay.example:443", "https://relay.example:443"}
    assert both_origins(["http://[::1]:8080"]) == {"ws://[::1]:8080", "http://[::1]:8080"}
