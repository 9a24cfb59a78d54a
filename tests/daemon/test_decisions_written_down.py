"""What owners decide on connections, tasks, questions and rules stands in the audit log, and no words do."""

from __future__ import annotations

from taskferry_apps.daemon.gates_port import NewRule, Question
from taskferry_apps.daemon.service import Daemon
from taskferry_protocol.records import Trust

from .test_gates import PAIR, WRITER, gated, waits
from .test_rules import accepted_second, acquainted, trust
from .worlds import OWNER, a_world, ask, until


async def written(daemon: Daemon, kind: str) -> list[dict[str, object]]:
    """The facts of the entries of a kind, newest first, each with its subject."""
    page = await daemon.audit.entries(OWNER, kind, "", 50)
    return [{"subject": entry.note.subject, **dict(entry.note.facts)} for entry in page.entries]


async def test_what_passes_the_gate_and_what_does_not_is_written_down():
    """Who decided, on what, from whom; not a word of the task."""
    async with a_world() as world, gated(world) as (a, b):
        first = await ask(a, "requester", "@bob/writer", title="Secret title")
        await waits(b, first)
        await b.gates.release(OWNER, first.hex())
        second = await ask(a, "requester", "@bob/writer")
        await waits(b, second)
        await b.gates.turn_away(OWNER, second.hex(), "No, because of secrets")
        third = await ask(a, "requester", "@bob/writer")
        await waits(b, third)
        await b.gates.add_rule(OWNER, NewRule("@alice/requester", tasks_per_day=1))
        await ask(a, "requester", "@bob/writer")

        (rule,) = await b.gates.rules(OWNER)
        (made,) = await written(b, "rule_changed")
        assert (made["subject"], made["did"], made["tasks_per_day"]) == ("@alice/requester", "made", 1)

        async def by_rule():
            return [one for one in await written(b, "approval") if str(one["by"]) == rule.id.hex()]

        (passed,) = await until(by_rule)
        assert (passed["what"], passed["subject"]) == ("task", "@alice/requester")
        approvals = [one for one in await written(b, "approval") if one["by"] == "owner"]
        assert [one["task"] for one in approvals] == [first.hex()[:16]]
        assert [one["task"] for one in await written(b, "denial")] == [second.hex()[:16]]
        assert "ecret" not in str(await written(b, ""))


async def test_answers_modes_and_blocks_are_written_down():
    """By the owner or by policy, each under its kind."""
    async with a_world() as world, gated(world) as (_, b):
        question = (await b.gates.ask(WRITER, Question("writer", "shell", "rm -rf secret"))).id.hex()
        await b.gates.answer(OWNER, question, "denied", "once", "no secret")
        await b.gates.set_policy(OWNER, "writer", "mail", "always")
        for _ in range(3):
            await b.gates.ask(WRITER, Question("writer", "mail", "secret"))
        await b.gates.set_mode(OWNER, "writer", "guarded")
        await b.end_connection(OWNER, PAIR, "blocked", "")
        await b.gates.unblock(OWNER, PAIR)
        (denied,) = await written(b, "denial")
        assert (denied["what"], denied["question"], denied["by"]) == ("shell", question[:16], "owner")
        # What an agent can repeat at will is written down once an hour, with a count.
        assert [one["by"] for one in await written(b, "approval")] == ["policy"]
        assert [one.get("mode", one.get("policy")) for one in await written(b, "gate_changed")] == [
            "guarded",
            "always",
        ]
        assert len(await written(b, "connection_unblocked")) == 1
        assert "secret" not in str(await written(b, ""))
        assert (await b.audit.verify(OWNER, None)).broken_at is None


async def test_what_a_rule_accepts_is_written_down_with_the_rule():
    """The request, the acceptance and the grant, each by whom."""
    async with a_world() as world, acquainted(world) as (a, b):
        await trust(b, "alice", Trust.VERIFIED)
        rule = await b.gates.add_rule(OWNER, NewRule("@alice/*"))
        await a.request_connection(OWNER, "second", "@bob/writer", "hello")
        await accepted_second(b)
        by = f"rule {rule.id.hex()[:16]}"
        assert (await written(b, "connection_accepted"))[0]["by"] == by
        assert (await written(b, "grant"))[0]["by"] == by
        assert (await written(b, "connection_asked"))[0]["subject"] == "@alice/second"
