"""The daemon's history: what lists find, figures count, and an agent is never shown by asking for it."""

from __future__ import annotations

from contextlib import asynccontextmanager

import attrs
import pytest

from taskferry_apps.daemon.history_port import MessageSearch, TaskSearch
from taskferry_apps.daemon.port import Caller, DaemonRefusal, GrantChange, NewAgent
from taskferry_protocol.breakers import BreakerLimits
from taskferry_protocol.ids import Instant
from taskferry_protocol.records.history import STEP_MS

from .worlds import OWNER, Machine, a_world, act, ask, connected, in_state, set_up, until

WRITER = Caller(frozenset({"writer"}))
NOBODY = Caller(frozenset())
FEW = BreakerLimits(talk=2, talk_a_day=20, events=8, events_a_day=40, repeats=3, budget=8)


@asynccontextmanager
async def a_pair(**more):
    """Alice's requester and bob's writer, connected; what more there is to say is about bob's machine."""
    async with a_world() as world, connected(world, bob=Machine("bob", **more)) as (a, b):
        yield a, b


async def tasks(daemon, caller=OWNER, cursor="", limit=50, **search):
    """The titles of the tasks found, and the cursor."""
    if "states" in search:
        search["states"] = frozenset(search["states"])
    found = await daemon.history.tasks(caller, TaskSearch(**search), cursor, limit)
    return [task.title for task in found.tasks], found.cursor


async def said(daemon, caller=OWNER, **search):
    """The texts of the messages found."""
    found = await daemon.history.messages(caller, MessageSearch(**search), "", 50)
    return [message.payload.get("text") or message.type for message in found.messages]


async def test_task_is_found_by_its_words_on_both_sides():
    """Title, brief and notes of a task lead to it, together with filters; it says whose turn it is."""
    async with a_pair() as (a, b):
        one = await ask(a, "requester", "@bob/writer", title="Quarterly figures", brief="For the café.")
        await ask(a, "requester", "@bob/writer", title="Logo", brief="In blue.")
        await in_state(b, one, "sent")
        await act(b, one, "accept", mine="writer")
        await act(b, one, "progress", mine="writer", text="Halfway\nthrough the ledgers", percent=50)
        await in_state(a, one, "working")
        line = "Halfway through the ledgers"
        for daemon, waits in ((a, "peer"), (b, "me")):
            assert await tasks(daemon, text="CAFE") == (["Quarterly figures"], "")
            assert (await tasks(daemon, text="ledg"))[0] == ["Quarterly figures"]
            assert (await tasks(daemon, text="ledg logo"))[0] == []
            (task,) = (await daemon.history.tasks(OWNER, TaskSearch(text="quarterly"), "", 10)).tasks
            assert (task.waiting_for, task.percent, task.progress) == (waits, 50, line)
            assert (await tasks(daemon, states=["working"], waiting_for=waits))[0] == ["Quarterly figures"]
            assert (await tasks(daemon, states=["completed"], waiting_for=waits))[0] == []
        narrow = {"agent": "writer", "peer": "@alice/requester"}
        assert (await tasks(b, text="blue", role="worker", **narrow))[0] == ["Logo"]
        assert (await tasks(b, text="blue", role="requester"))[0] == []
        assert (await tasks(a, text='"(*'))[0] == []
        first, cursor = await tasks(a, limit=1)
        assert first + (await tasks(a, cursor=cursor))[0] == (await tasks(a))[0]
        first, cursor = await tasks(a, limit=1, text="in")
        assert first == ["Logo"]


async def test_unread_of_a_task_is_in_its_summary():
    """Whoever looks at the list sees what its agent has not read."""
    async with a_pair() as (a, b):
        task = await ask(a, "requester", "@bob/writer")
        await in_state(b, task, "sent")
        (summary,) = (await b.history.tasks(OWNER, TaskSearch(), "", 5)).tasks
        assert summary.unread == 1
        await b.inbox(WRITER, "writer", True, "", 10, 0)
        (summary,) = (await b.history.tasks(OWNER, TaskSearch(), "", 5)).tasks
        assert summary.unread == 0


async def test_created_task_is_told_from_a_sent_one():
    """A request that has not left yet is `created`, as in every list."""
    async with a_world() as world, connected(world) as (a, _):
        gone = await ask(a, "requester", "@bob/writer", title="Gone")
        await in_state(a, gone, "sent")
        world.stop_relay()

        async def away():
            relay = (await a.status()).relay
            return relay is not None and not relay.connected

        await until(away)
        await ask(a, "requester", "@bob/writer", title="Kept")
        assert (await tasks(a, states=["created"]))[0] == ["Kept"]
        assert (await tasks(a, states=["created", "completed"]))[0] == ["Kept"]
        assert (await tasks(a, states=["sent"]))[0] == ["Kept", "Gone"]


async def test_messages_are_found_and_nothing_is_marked():
    """Searching for a message shows it, and its agent has still not read it."""
    async with a_pair() as (a, b):
        await a.send_message(OWNER, "requester", "@bob/writer", "The harbour at dawn", (), "", "")

        async def there():
            return await said(b, text="harbour")

        found = await until(there)
        assert found == ["The harbour at dawn"]
        assert await said(b, text="harbour", unread=True, agent="writer", direction="in") == found
        assert await said(b, text="harbour", direction="out") == []
        (shown,) = (await b.history.messages(OWNER, MessageSearch(text="dawn"), "", 5)).messages
        assert shown.state == "unread"
        conversation = shown.conversation.hex()
        assert await said(b, conversation=conversation) == ["The harbour at dawn"]
        page = await b.history.conversations(OWNER, "writer", "@alice/requester", "", 5)
        (talk,) = page.conversations
        assert (talk.line, talk.messages, talk.unread, talk.direction) == ("The harbour at dawn", 1, 1, "in")
        assert (talk.id.hex(), talk.mine, talk.peer) == (conversation, "@bob/writer", "@alice/requester")
        await b.inbox(WRITER, "writer", True, "", 10, 0)
        assert await said(b, text="harbour", unread=True) == []


async def test_agent_finds_nothing_that_it_may_not_see():
    """An agent learns no word of what waits at a gate, is held by a breaker, or is another agent's."""
    async with a_pair(limits=FEW) as (a, b):
        await b.create_agent(OWNER, NewAgent("other"))
        other = Caller(frozenset({"other"}))
        for n in range(3):
            await a.send_message(OWNER, "requester", "@bob/writer", f"word{n} secret{n}", (), "", "")

        async def all_there():
            found = await said(b, text="word")
            return found if len(found) == 3 else None

        # The third comes too soon after the others: a breaker holds it until the owner has looked.
        assert await until(all_there) == ["word2 secret2", "word1 secret1", "word0 secret0"]
        assert await said(b, WRITER, text="word") == ["word1 secret1", "word0 secret0"]
        assert await said(b, WRITER, text="secret2") == []
        assert await said(b, other, text="word") == []
        assert await said(b, NOBODY, text="word") == []
        for caller in (WRITER, other, NOBODY):
            found = await b.history.messages(caller, MessageSearch(text="secret2"), "", 1)
            assert (found.messages, found.cursor, found.cut) == ((), "", False)


async def test_agent_does_not_find_a_task_at_its_gate():
    """What the owner has not let pass is in no list of the agent's, by no word of it."""
    async with a_pair() as (a, b):
        await b.set_permissions(OWNER, ("writer", "@alice/requester"), GrantChange(human_gate=True))
        task = await ask(a, "requester", "@bob/writer", title="Confidential", brief="Only for the owner.")
        await in_state(b, task, "sent")
        assert (await tasks(b, text="confidential"))[0] == ["Confidential"]
        for caller in (WRITER, NOBODY):
            assert await tasks(b, caller, text="confidential") == ([], "")
            assert await tasks(b, caller) == ([], "")
        await b.gates.release(OWNER, task.hex())
        assert (await tasks(b, WRITER, text="confidential"))[0] == ["Confidential"]
        (summary,) = (await b.history.tasks(WRITER, TaskSearch(), "", 5)).tasks
        assert (summary.progress, summary.percent) == ("", None)


async def test_figures_are_the_owners():
    """Agents are told no figure: they count what the owner has not let them see."""
    async with a_pair() as (_, b):
        history = b.history
        for refused in (
            history.counts(WRITER),
            history.traffic(WRITER, Instant(0), STEP_MS),
            history.conversations(WRITER, "", "", "", 5),
        ):
            with pytest.raises(DaemonRefusal) as caught:
                await refused
            assert caught.value.code == "owner-only"


async def test_figures_tell_what_is_open_and_what_passed():
    """Open tasks by state and turn, what waits in inboxes, and traffic up to this moment."""
    async with a_pair() as (a, b):
        one = await ask(a, "requester", "@bob/writer")
        two = await ask(a, "requester", "@bob/writer")
        await a.send_message(OWNER, "requester", "@bob/writer", "hello", (), "", "")
        await in_state(b, two, "sent")
        await act(b, one, "decline", mine="writer")

        async def counted():
            counts = await b.history.counts(OWNER)
            return counts if counts.unread == 3 else None

        counts = await until(counted)
        assert (dict(counts.states), counts.waiting_for_me, counts.waiting_for_peer) == ({"sent": 1}, 1, 0)
        (agent,) = counts.agents
        assert (agent.agent, agent.unread, agent.waiting_for_me) == ("@bob/writer", 3, 1)
        now = (await b.history.messages(OWNER, MessageSearch(), "", 1)).messages[0].created_at
        bars = await b.history.traffic(OWNER, Instant(now - 4 * STEP_MS), STEP_MS)
        assert 5 <= len(bars) <= 6
        assert [bar.at % STEP_MS for bar in bars] == [0] * len(bars)
        assert sum(bar.messages_received for bar in bars) == 1
        assert sum(bar.events_received for bar in bars) == 2
        assert sum(bar.events_sent for bar in bars) >= 1
        assert sum(attrs.astuple(bar)[1] for bar in bars) == 0


@pytest.mark.parametrize(
    ("field", "ask_for"),
    [
        ("state", lambda h: h.tasks(OWNER, TaskSearch(states=frozenset({"lost"})), "", 5)),
        ("waiting_for", lambda h: h.tasks(OWNER, TaskSearch(waiting_for="you"), "", 5)),
        ("cursor", lambda h: h.tasks(OWNER, TaskSearch(text="x"), "not-a-cursor", 5)),
        ("cursor", lambda h: h.tasks(OWNER, TaskSearch(), "12", 5)),
        ("peer", lambda h: h.tasks(OWNER, TaskSearch(peer="nobody"), "", 5)),
        ("direction", lambda h: h.messages(OWNER, MessageSearch(direction="up"), "", 5)),
        ("conversation", lambda h: h.messages(OWNER, MessageSearch(conversation="xyz"), "", 5)),
        ("step_ms", lambda h: h.traffic(OWNER, Instant(0), 1_000)),
        ("since", lambda h: h.traffic(OWNER, Instant(0), STEP_MS)),
    ],
)
async def test_what_cannot_be_meant_is_refused(field, ask_for):
    """A value that no list knows is refused by its name."""
    async with a_world() as world, world.running(Machine("alice")) as a:
        await set_up(a, "alice", "requester")
        with pytest.raises(DaemonRefusal) as caught:
            await ask_for(a.history)
        assert (caught.value.code, caught.value.detail["field"]) == ("bad-value", field)
