"""Many messages in one call of the client: each has its own outcome, and a key sends them once."""

from __future__ import annotations

from taskferry_apps.client import Outgoing

from .stories import tell


async def test_many_messages_go_in_one_call(ferry, kind):
    """Two arrive and one is refused, in their places; the same call under the same key sends nothing more."""

    async def story() -> None:
        async with ferry.alice.client(kind) as alice, ferry.bob.client(kind) as bob:
            messages = [
                Outgoing("@bob/writer", "first"),
                Outgoing("@nobody/there", "lost"),
                Outgoing("@bob/writer", "second", payload={"n": 2}),
            ]
            sent = await alice.send_messages(messages, key="all-of-them")
            assert [one.ok for one in sent] == [True, False, True]
            assert sent[1].error is not None
            assert sent[1].error["code"] == "unknown-account"
            again = await alice.send_messages(messages, key="all-of-them")
            assert [one.message_id for one in again] == [one.message_id for one in sent]
            while len((await bob.inbox(wait=5, header_only=True)).messages) < 2:
                pass
            texts = [(await bob.message(one.id)).text for one in (await bob.inbox()).messages]
            assert texts == ["first", "second"]

    await tell(kind, story)
