"""Finding messages and tasks by the beginning of their ids, among the newest ones."""

from __future__ import annotations

from typing import Final

from taskferry_protocol.ids import Hash
from taskferry_protocol.records import MessageQuery, Order, Place, TaskCursor, TaskQuery
from taskferry_stores.port import DaemonStore

from .names import match_prefix, parse_prefix

__all__ = ["find_message", "find_task", "recent_messages"]

_PAGE: Final = 500
#: A prefix is for people, who mean something recent; what is older is named in full.
_PAGES: Final = 20


async def recent_messages(store: DaemonStore, agent: str | None) -> list[Hash]:
    """The hashes of the newest messages of one agent, or of all."""
    found: list[Hash] = []
    after: Place | None = None
    for _ in range(_PAGES):
        page = await store.message_page(MessageQuery(agent=agent), after, _PAGE, Order.NEWEST_FIRST)
        found.extend(message.hash for message in page.items)
        after = page.next
        if after is None:
            break
    return found


async def find_message(store: DaemonStore, text: str) -> Hash:
    """The message that an id or unique prefix means. Raises DaemonRefusal."""
    wanted = parse_prefix(text, "message")
    if not isinstance(wanted, str):
        return wanted
    return match_prefix(wanted, await recent_messages(store, None), "message")


async def find_task(store: DaemonStore, text: str) -> Hash:
    """The task that an id or unique prefix means. Raises DaemonRefusal."""
    wanted = parse_prefix(text, "task")
    if not isinstance(wanted, str):
        return wanted
    found: list[Hash] = []
    after: TaskCursor | None = None
    for _ in range(_PAGES):
        page = await store.task_page(TaskQuery(), after, _PAGE)
        found.extend(task.task for task in page.items)
        after = page.next
        if after is None:
            break
    return match_prefix(wanted, found, "task")
