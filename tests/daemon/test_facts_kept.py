"""Facts that a daemon keeps in memory never outlive what changed them: the very next message obeys.

On the store that keeps them. Each test sends first, so that all that is asked before a message is held.
"""

from __future__ import annotations

from contextlib import asynccontextmanager

from taskferry_apps.daemon.port import Caller, DaemonRefusal, GrantChange
from taskferry_protocol.gates import AgentMode
from taskferry_protocol.records import HoldAccount
from taskferry_stores.sqlite import open_daemon_store

from .worlds import OWNER, Machine, a_world, introduce, until

REQUESTER = Caller(frozenset({"requester"}))
ALICE, BOB = ("requester", "@bob/writer"), ("writer", "@alice/requester")


@asynccontextmanager
async def a_pair(folder):
    """Alice and bob on stores in files, connected, and a message of each arrived."""
    async with (
        open_daemon_store(folder / "alice.db") as a_store,
        open_daemon_store(folder / "bob.db") as b_store,
        a_world() as world,
        world.running(Machine("alice", store=a_store)) as a,
        world.running(Machine("bob", store=b_store)) as b,
    ):
        await introduce(a, b)
        for daemon, pair in ((a, ALICE), (b, BOB)):
            for number in range(2):
                await say(daemon, pair, f"first {number}")
        yield world, a, b


async def say(daemon, pair, text, caller=OWNER):
    """Send a message."""
    return await daemon.send_message(caller, *pair, text, (), "", "")


async def code_of(daemon, pair, caller=OWNER):
    """Why a message is not sent now, "" if it is."""
    try:
        await say(daemon, pair, "the next one", caller)
    except DaemonRefusal as refused:
        return refused.code
    return ""


async def test_a_block_ends_what_goes_out_at_once(tmp_path):
    """The owner blocks the peer: the next message is refused."""
    async with a_pair(tmp_path) as (_, a, _b):
        assert await code_of(a, ALICE) == ""
        await a.end_connection(OWNER, ALICE, "blocked", "")
        assert await code_of(a, ALICE) == "not-connected"


async def test_a_permission_that_is_withdrawn_is_withdrawn_at_once(tmp_path):
    """Bob allows tasks alone from now on: once alice's daemon has heard it, her next message is refused."""
    async with a_pair(tmp_path) as (_, a, b):
        await b.set_permissions(OWNER, BOB, GrantChange(classes=("task", "artifact")))

        async def heard():
            (bond,) = await a.connections(OWNER, "accepted", "")
            return bond.received is not None and "message" not in bond.received.classes

        await until(heard)
        assert await code_of(a, ALICE) == "not-permitted"


async def test_a_mode_counts_from_the_next_message_on(tmp_path):
    """An agent that its owner makes read-only says nothing more, and may again once that is lifted."""
    async with a_pair(tmp_path) as (_, a, _b):
        assert await code_of(a, ALICE, REQUESTER) == ""
        await a.gates.set_mode(OWNER, "requester", AgentMode.READ_ONLY)
        assert await code_of(a, ALICE, REQUESTER) == "read-only"
        await a.gates.set_mode(OWNER, "requester", AgentMode.OPEN)
        assert await code_of(a, ALICE, REQUESTER) == ""


async def test_a_revoked_credential_opens_nothing_more(tmp_path):
    """Known a moment ago, and to nobody after its revocation."""
    async with a_pair(tmp_path) as (_, a, _b):
        secret, token = await a.create_token(OWNER, ("requester",), "program")
        for _ in range(2):
            assert await a.caller_for(secret) == REQUESTER
        await a.revoke_token(OWNER, token.id)
        assert await a.caller_for(secret) is None


async def test_limits_of_a_breaker_count_from_the_next_message_on(tmp_path):
    """The owner sets less for a connection than has passed: nothing more goes."""
    async with a_pair(tmp_path) as (_, a, _b):
        await a.gates.set_breaker_limits(OWNER, ALICE, {"talk": 1})
        assert await code_of(a, ALICE) == "pair-limit"


async def test_a_peer_whose_identity_is_in_question_gets_nothing_more(tmp_path):
    """Bob's account is held as forked: the next message to it is refused."""
    async with a_pair(tmp_path) as (_, a, b):
        core = a._core
        held = (await core.store.accounts((b._core.own,)))[b._core.own]
        assert held.record.held == ""
        await core.commit((HoldAccount(b._core.own, "forked"),))
        assert await code_of(a, ALICE) == "account-held"
