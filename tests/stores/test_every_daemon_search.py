"""What every daemon store promises about searches and figures over all that it keeps."""

import random

import attrs
import pytest

from taskferry_protocol.ids import ConversationId, Instant
from taskferry_protocol.links import Seen, TaskLink
from taskferry_protocol.messages import Content, TaskProgress, TextMessage, encode_content
from taskferry_protocol.records import (
    Direction,
    InboxCount,
    InboxState,
    Mark,
    MarkMessages,
    SaveTask,
    ShowMessages,
)
from taskferry_protocol.records.forgetting import ForgetTraffic
from taskferry_protocol.records.history import STEP_MS, MessageFilter, OpenTasks, TaskFilter, TrafficRecord
from taskferry_protocol.search_words import asked_words

from .samples import NOW, agent, message, outbound, sha, store, task

HELPER, OTHER = agent("alice/helper"), agent("alice/other")
CODER, DRAWER = agent("bob/coder"), agent("carol/drawer")
HOUR_MS = 4 * STEP_MS
CONV = ConversationId(b"c" * 16)


def later(ms):
    """An instant after `NOW`."""
    return Instant(NOW + ms)


def said(name, words, make=message, **changes):
    """A message that says these words."""
    return attrs.evolve(make(name), content=encode_content(Content(TextMessage(words), CONV)), **changes)


def told(name, about, words, make=message, **changes):
    """A line of progress in a task."""
    link = TaskLink(sha(about), 0, None, Seen(1, sha(about)))
    content = encode_content(Content(TaskProgress(words), CONV, link=link))
    values = {"cls": "task", "type": "task_progress", "task": sha(about), **changes}
    return attrs.evolve(make(name), content=content, **values)


def asked(text):
    """What a text asks for, in which there is a word."""
    found = asked_words(text)
    assert found is not None
    return found


async def put(daemon, *records):
    """Store messages and tasks, each in a commit of its own."""
    for record in records:
        await daemon.commit([SaveTask(record) if hasattr(record, "role") else store(record)])


def names(records, of):
    """The names of records, out of those that were stored, in their order."""
    by_key = {sha(name): name for name in of}
    return [by_key[getattr(record, "hash", None) or record.task] for record in records]


async def found(daemon, text, of="abcdefgh", limit=50, after=None, **narrow):
    """The names of the messages that a search finds."""
    query = MessageFilter(asked=asked(text), **narrow)
    return names((await daemon.messages_filtered(query, after, limit)).items, of)


# --- words ------------------------------------------------------------------------------------------------


async def test_messages_are_found_by_all_of_their_words(daemon):
    """Every word has to be there, in any order, case and accent; the last may be unfinished."""
    await put(
        daemon,
        said("a", "The café refunds INVOICES on Monday"),
        said("b", "No invoice, no refund: cafeteria"),
        said("c", "Straße 東京 and snake_case"),
    )
    assert await found(daemon, "cafe") == ["b", "a"]
    assert await found(daemon, "cafe ") == ["a"]
    assert await found(daemon, "monday CAFÉ") == ["a"]
    assert await found(daemon, "invoice refund") == ["b"]
    assert await found(daemon, "refund invoice") == ["b"]
    assert await found(daemon, "strasse") == ["c"]
    assert await found(daemon, "京") == ["c"]
    assert await found(daemon, "case") == ["c"]
    assert await found(daemon, "case monday") == []
    assert await found(daemon, "") == ["c", "b", "a"]


@pytest.mark.parametrize(
    "text",
    [
        'a" OR b NEAR(',
        "words:x",
        "^x",
        "x*",
        "-x",
        "NOT x",
        "(x",
        'x""',
        "{words} : x",
        "x' --",
        "x\0y",
        "\ue000m1",
    ],
)
async def test_no_words_are_an_operator(daemon, text):
    """Whatever is typed is words: it finds the message that says them, and not the one that does not."""
    await put(daemon, said("a", f"so {text} it was"), said("b", "a b c words"))
    assert await found(daemon, text) == ["a"]


async def test_marks_of_the_index_are_no_words(daemon):
    """Nobody who knows how the index says whose a message is finds it by that."""
    await put(daemon, said("a", "plain"))
    for text in ("m1", "\ue000m1", "\ue000k", "k", "p2"):
        assert await found(daemon, text) == []


async def test_giant_text_is_found_by_its_beginning(daemon):
    """A peer's giant text is indexed up to a limit, and no further."""
    text = "beginning " + "x" * 60_000 + " ending"
    await put(daemon, said("a", text))
    assert await found(daemon, "beginning") == ["a"]
    assert await found(daemon, "ending") == []


async def test_words_are_narrowed_like_lists(daemon):
    """Words go together with agent, peer, direction, conversation and what is unread."""
    await put(
        daemon,
        said("a", "ship it", conv=ConversationId(b"d" * 16)),
        said("b", "ship it", make=outbound),
        said("c", "ship it", mine=OTHER),
        said("d", "ship it", peer=DRAWER),
        said("e", "wait", peer=DRAWER),
    )
    assert await found(daemon, "ship", agents=frozenset({HELPER})) == ["d", "b", "a"]
    assert await found(daemon, "ship", agents=frozenset({HELPER, OTHER})) == ["d", "c", "b", "a"]
    assert await found(daemon, "ship", peer=DRAWER) == ["d"]
    assert await found(daemon, "ship", direction=Direction.OUT) == ["b"]
    assert await found(daemon, "ship", conv=ConversationId(b"d" * 16)) == ["a"]
    assert await found(daemon, "", peer=DRAWER) == ["e", "d"]
    assert await found(daemon, "", agents=frozenset({agent("alice/nobody")})) == []
    assert await found(daemon, "", peer=agent("nobody/x")) == []
    unread = frozenset({InboxState.UNREAD})
    assert await found(daemon, "ship", inbox=unread) == ["d", "c", "a"]
    await daemon.commit([MarkMessages("helper", (sha("a"),), Mark.READ, later(1))])
    assert await found(daemon, "ship", inbox=unread) == ["d", "c"]
    assert await found(daemon, "", inbox=unread, agents=frozenset({HELPER})) == ["e", "d"]


async def test_what_is_not_to_be_seen_is_not_found(daemon):
    """Messages that stand so in an inbox are left out, and come in once they are shown."""
    await put(daemon, said("a", "word", inbox=InboxState.HELD), said("b", "word"))
    unseen = frozenset({InboxState.HELD})
    assert await found(daemon, "word", unseen=unseen) == ["b"]
    assert await found(daemon, "word") == ["b", "a"]
    await daemon.commit([ShowMessages("helper", (sha("a"),))])
    assert await found(daemon, "word", unseen=unseen) == ["a", "b"]
    assert await found(daemon, "word") == ["a", "b"]


async def test_found_messages_come_in_pages(daemon):
    """A page leads on to the next until nothing is left, with and without words."""
    await put(daemon, *[said(str(n), "even word" if n % 2 == 0 else "odd word") for n in range(9)])
    for text, expected in (("even", "86420"), ("", "876543210"), ("nowhere", "")):
        paged, after = [], None
        while True:
            query = MessageFilter(asked=asked(text))
            page = await daemon.messages_filtered(query, after, 2)
            paged += names(page.items, "012345678")
            assert not page.cut
            after = page.next
            if after is None:
                break
        assert "".join(paged) == expected


# --- tasks ------------------------------------------------------------------------------------------------


async def listed(daemon, limit=50, after=None, **narrow):
    """The names of the tasks of one page of a list without words."""
    page = await daemon.tasks_filtered(TaskFilter(**narrow), after, limit)
    return "".join(names(page.items, "abcdefgh")), page.next


async def test_tasks_are_listed_by_filters_together(daemon):
    """Agents, peer, roles with states, and times narrow the list of tasks, which keeps its order."""
    await put(
        daemon,
        task("a", updated_at=later(1)),
        task("b", updated_at=later(2), state="working"),
        task("c", updated_at=later(3), role="worker", mine=OTHER, state="working"),
        task("d", updated_at=later(4), peer=DRAWER, state="submitted"),
        task("e", updated_at=later(5), role="worker", mine=OTHER, peer=DRAWER, state="submitted"),
    )
    assert await listed(daemon) == ("edcba", None)
    assert await listed(daemon, agents=frozenset({OTHER})) == ("ec", None)
    assert await listed(daemon, agents=frozenset({OTHER, HELPER})) == ("edcba", None)
    assert await listed(daemon, peer=DRAWER) == ("ed", None)
    assert await listed(daemon, peer=DRAWER, agents=frozenset({HELPER})) == ("d", None)
    assert await listed(daemon, since=later(2), until=later(4)) == ("dcb", None)
    working = frozenset({("worker", "working"), ("requester", "submitted")})
    assert await listed(daemon, standings=working) == ("dc", None)
    assert await listed(daemon, standings=working, peer=CODER) == ("c", None)
    assert await listed(daemon, standings=working, agents=frozenset({HELPER})) == ("d", None)
    assert await listed(daemon, agents=frozenset({agent("alice/nobody")})) == ("", None)


async def test_filtered_tasks_come_in_pages(daemon):
    """Pages of one list join into the whole, also where it is made of several standings."""
    dice = random.Random(7)
    states = ["sent", "working", "submitted"]
    for name in "abcdefgh":
        await put(daemon, task(name, updated_at=later(dice.randrange(4)), state=dice.choice(states)))
    for narrow in ({}, {"standings": frozenset({("requester", "sent"), ("requester", "working")})}):
        whole, _ = await listed(daemon, **narrow)
        paged, after = "", None
        while True:
            page, after = await listed(daemon, 2, after, **narrow)
            paged += page
            if after is None:
                break
        assert paged == whole


async def test_tasks_are_found_by_what_was_said_in_them(daemon):
    """A task stands where its words were said last, once, on whichever page that is."""
    await put(
        daemon,
        task("a"),
        task("b"),
        task("c", mine=OTHER, role="worker", state="working"),
        told("a1", "a", "needle"),
        told("b1", "b", "needle in it"),
        told("c1", "c", "needle", mine=OTHER),
        told("a2", "a", "another needle"),
        told("a3", "a", "hay"),
        said("x", "needle outside of any task"),
    )

    async def saying(text, limit=50, **narrow):
        pages, after = [], None
        while True:
            query = TaskFilter(asked=asked(text), **narrow)
            page = await daemon.tasks_saying(query, after, limit)
            assert not page.cut
            pages.append("".join(names(page.items, "abc")))
            after = page.next
            if after is None:
                return pages

    assert await saying("needle") == ["acb"]
    assert await saying("needle", 1) == ["a", "c", "b"]
    assert await saying("needle", 2) == ["ac", "b"]
    assert await saying("hay needle") == [""]
    assert await saying("needle", agents=frozenset({OTHER})) == ["c"]
    assert await saying("needle", standings=frozenset({("worker", "working")})) == ["c"]
    assert await saying("needle", peer=DRAWER) == [""]
    assert await saying("needle", since=later(1)) == [""]


async def test_tasks_are_not_found_by_what_is_not_to_be_seen(daemon):
    """What is held back says nothing about a task, not even where it stands in the answer."""
    await put(
        daemon,
        task("a"),
        task("b"),
        told("a1", "a", "needle"),
        told("b1", "b", "needle"),
        told("a2", "a", "needle", inbox=InboxState.STOPPED),
        told("b2", "b", "secret", inbox=InboxState.STOPPED),
    )
    unseen = frozenset({InboxState.STOPPED})

    async def saying(text, after=None, limit=5):
        query = TaskFilter(asked=asked(text), unseen=unseen)
        page = await daemon.tasks_saying(query, after, limit)
        return "".join(names(page.items, "ab")), page.next

    assert await saying("secret") == ("", None)
    assert (await saying("needle"))[0] == "ba"
    first, after = await saying("needle", limit=1)
    assert (first, await saying("needle", after)) == ("b", ("a", None))


async def test_unread_messages_are_counted_by_task(daemon):
    """For each task and agent, what it has not read, and nothing else."""
    await put(
        daemon,
        told("1", "a", "x"),
        told("2", "a", "y"),
        told("3", "b", "z"),
        told("4", "a", "mine", make=outbound),
        said("5", "no task"),
    )
    await daemon.commit([MarkMessages("helper", (sha("3"),), Mark.READ, NOW)])
    keys = [(sha("a"), HELPER), (sha("b"), HELPER), (sha("a"), OTHER)]
    assert await daemon.unread_in_tasks(keys) == {keys[0]: 2}
    assert await daemon.unread_in_tasks([]) == {}


# --- conversations and figures ----------------------------------------------------------------------------


async def test_conversations_are_one_row_each(daemon):
    """Agent, peer and conversation make a row, with its last message and what is unread; newest first."""
    second = ConversationId(b"d" * 16)
    await put(
        daemon,
        said("a", "one"),
        said("b", "two", make=outbound),
        said("c", "three", conv=second),
        said("d", "four", peer=DRAWER, mine=OTHER),
        said("e", "five"),
        said("f", "a statement", cls="connection", type="connection_request", peer=DRAWER),
    )

    async def rows(agents=(), peer=None, after=None, limit=50):
        page = await daemon.talks(agents, peer, after, limit)
        last = names([talk.last for talk in page.items], "abcdef")
        return [(*row, t.messages, t.unread) for row, t in zip(last, page.items, strict=True)], page.next

    whole = [("e", 3, 2), ("d", 1, 1), ("c", 1, 1)]
    assert await rows() == (whole, None)
    assert (await rows([OTHER]))[0] == whole[1:2]
    assert (await rows([OTHER, HELPER]))[0] == whole
    assert (await rows((), CODER))[0] == [whole[0], whole[2]]
    assert (await rows([HELPER], DRAWER))[0] == []
    assert (await rows([agent("alice/nobody")]))[0] == []
    first, after = await rows(limit=2)
    assert first + (await rows(after=after))[0] == whole


async def test_message_that_is_shown_counts_once_in_its_conversation(daemon):
    """What was held comes as if just now, and is no second message."""
    await put(daemon, said("a", "held", inbox=InboxState.HELD), said("b", "free"))
    await daemon.commit([ShowMessages("helper", (sha("a"),))])
    (talk,) = (await daemon.talks((), None, None, 5)).items
    assert (talk.messages, talk.unread, names([talk.last], "ab")) == (2, 2, ["a"])
    assert (
        sum(bar.messages_received for bar in await daemon.traffic((), Instant(0), later(STEP_MS), STEP_MS))
        == 2
    )


async def test_open_tasks_are_counted_by_agent_role_and_state(daemon):
    """Tasks that are over are in no figure."""
    await put(
        daemon,
        task("a"),
        task("b"),
        task("c", mine=OTHER, role="worker", state="working"),
        task("d", state="completed", open=False),
    )
    assert (await daemon.counts(())).open == (
        OpenTasks(HELPER, "requester", "sent", 2),
        OpenTasks(OTHER, "worker", "working", 1),
    )
    held = (await daemon.tasks([sha("a")]))[sha("a")][0]
    await daemon.commit([SaveTask(attrs.evolve(held, state="declined", open=False))])
    assert (await daemon.counts(())).open[0].count == 1


async def test_traffic_is_counted_by_steps(daemon):
    """Messages and task events, sent and received, fall into the step in which they were stored."""
    start = Instant(NOW - NOW % STEP_MS)

    def at(n):
        return Instant(start + n * STEP_MS + 5)

    await put(
        daemon,
        said("a", "x", stored_at=at(0)),
        said("b", "x", stored_at=at(1), make=outbound),
        told("c", "t", "x", stored_at=at(1), mine=OTHER),
        told("d", "t", "x", stored_at=at(3), make=outbound),
        said("e", "x", stored_at=at(3), direction=Direction.COPY),
        said("f", "x", stored_at=at(3), cls="connection"),
    )
    until = Instant(start + 4 * STEP_MS)
    assert await daemon.traffic((), start, until, 2 * STEP_MS) == (
        TrafficRecord(start, 1, 1, 0, 1),
        TrafficRecord(Instant(start + 2 * STEP_MS), 1, 0, 1, 0),
    )
    assert await daemon.traffic([OTHER], start, until, STEP_MS) == (
        TrafficRecord(Instant(start + STEP_MS), 0, 0, 0, 1),
    )
    assert await daemon.traffic((), Instant(start + STEP_MS), Instant(start + 2 * STEP_MS), STEP_MS) == (
        TrafficRecord(Instant(start + STEP_MS), 1, 0, 0, 1),
    )
    assert await daemon.traffic([agent("alice/nobody")], start, until, STEP_MS) == ()


async def test_traffic_of_long_ago_is_counted_no_more(daemon):
    """Before a whole hour that is named; what came later stays, in steps of any length."""
    hour = Instant(NOW - NOW % HOUR_MS)
    before, after = Instant(hour - 1), Instant(hour + 1)
    await put(daemon, said("a", "x", stored_at=before), said("b", "x", stored_at=after))
    start, until = Instant(hour - HOUR_MS), Instant(hour + HOUR_MS)
    assert len(await daemon.traffic((), start, until, HOUR_MS)) == 2
    await daemon.commit([ForgetTraffic(hour, 10), ForgetTraffic(start, 10)])
    for step in (HOUR_MS, STEP_MS):
        assert await daemon.traffic((), start, until, step) == (TrafficRecord(hour, 0, 1, 0, 0),)
    found = await daemon.messages_filtered(MessageFilter(), None, 10)
    assert names(found.items, "ab") == ["b", "a"]


async def test_what_waits_in_inboxes_is_counted_with_the_rest(daemon):
    """As it is counted alone: unread and read apart, of those agents that were asked for."""
    await put(
        daemon,
        said("a", "x"),
        said("b", "x", inbox=InboxState.READ),
        said("c", "x"),
        said("d", "x", inbox=InboxState.PROCESSED),
        said("e", "x", mine=OTHER),
        said("f", "x", make=outbound),
    )
    assert (await daemon.counts(["helper"])).inbox == {"helper": InboxCount(2, 1)}
    both = await daemon.counts(["helper", "other", "nobody"])
    assert both.inbox == await daemon.inbox_counts(["helper", "other", "nobody"])
    assert both.inbox["nobody"] == InboxCount()


async def test_nothing_of_before_is_left_in_a_new_store(daemon):
    """What a store has taken itself is in its figures already."""
    await put(daemon, said("a", "x"))
    assert await daemon.index_history(10) == 0
