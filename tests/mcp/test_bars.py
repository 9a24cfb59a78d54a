"""What MCP may cost a model, counted with a public tokenizer (o200k)."""

from __future__ import annotations

from typing import Any

import trio

from .counting import real_tokens
from .hosts import HANDSHAKE, Ferry, Way, as_json

STDIO = Way("stdio", HANDSHAKE)
WAITING = 50


async def test_the_list_of_tools_is_short(ferry: Ferry) -> None:
    """Under 4,000 tokens, with every schema and description, as it travels."""
    async with ferry.bob.host(STDIO) as bob:
        listed = await bob.client.list_tools()
        instructions = bob.client.instructions or ""
    whole = as_json(listed.model_dump(mode="json", by_alias=True, exclude_none=True))
    count = real_tokens(whole)
    print(f"tools/list: {count} tokens; instructions: {real_tokens(instructions)} tokens")
    assert count < 4_000
    assert real_tokens(instructions) < 250


async def test_a_full_inbox_is_short(ferry: Ferry) -> None:
    """With 50 tasks waiting: under 1,500 tokens, words and facts together; cursors reach all of them."""
    more = {"task_budget": 100, "rate_per_minute": 1_000}
    await ferry.house.bob.ok("POST", "/permissions", {"from": "writer", "to": "@alice/requester", **more})
    for number in range(WAITING):
        body = {"from": "requester", "to": "@bob/writer", "title": f"Write the report about station {number}"}
        await ferry.house.alice.ok("POST", "/tasks", body)
    async with ferry.bob.host(STDIO) as bob:
        with trio.fail_after(60):
            while (await bob.call("inbox"))["waiting"] < WAITING:
                await trio.sleep(0.1)
        result = await bob.client.call_tool("taskferry_inbox", {})
        (words,) = result.content
        assert words.type == "text"
        counts = real_tokens(words.text), real_tokens(as_json(result.structured_content))
        shown: list[str] = []
        page: Any = result.structured_content
        pages = 1
        while True:
            shown += [item["id"] for group in page["from"] for item in group["items"]]
            if "next" not in page:
                break
            page = await bob.call("inbox", cursor=page["next"])
            pages += 1
        large = await bob.client.call_tool("taskferry_inbox", {"max_tokens": 3_000})
    first = sum(len(group["items"]) for group in (result.structured_content or {})["from"])
    print(
        f"inbox of {WAITING} tasks: {counts[0]} tokens of words, {counts[1]} of facts, {first} tasks on the "
        f"first of {pages} pages"
    )
    assert sum(counts) < 1_500
    assert first >= 15
    assert len(shown) == len(set(shown)) == WAITING
    assert "next" not in (large.structured_content or {})


async def test_a_long_brief_is_cut_and_said_to_be(ferry: Ferry) -> None:
    """What does not fit is named, with the way to the rest; a file has all of it."""
    brief = "All work and no play makes Jack a dull boy. " * 1_400
    task = await ferry.house.task(description=brief, parts=[{"kind": "text", "text": brief}])
    async with ferry.bob.host(STDIO) as bob:
        result = await bob.client.call_tool("taskferry_show", {"id": task})
        (words,) = result.content
        assert words.type == "text"
        assert real_tokens(words.text) < 4_800
        assert "taskferry_artifact_save" in words.text
        facts = result.structured_content or {}
        assert "cut here" in facts["peer_brief"]
        assert "peer_text" not in facts["parts"][0]
        saved = await bob.call("artifact_save", task=task)
    contents = [(ferry.bob.work / file["path"]).read_text() for file in saved["files"]]
    assert contents == [brief, brief]
