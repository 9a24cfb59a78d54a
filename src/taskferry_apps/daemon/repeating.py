"""Bringing words of tasks once more that expired on their way: a peer that was long away misses none.

So is what was refused for want of permission alone, where that came only after its time, and what was signed
by a clock that was ahead, once its time has come. What expires is noted in the commit that says so. Each time
what brings it has expired as well it is brought again, until the peer has it or half a year is over: one
envelope at a time waits for who never comes back.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

import attrs

from taskferry_protocol.envelope import Envelope, parse_envelope
from taskferry_protocol.errors import RejectCode
from taskferry_protocol.former import made_since
from taskferry_protocol.ids import AccountId, Hash, Instant
from taskferry_protocol.limits import DAY_MS
from taskferry_protocol.links import Role
from taskferry_protocol.messages import TaskRepeat
from taskferry_protocol.records import DropSetting, MessageRecord, PutSetting, Rung, TaskRecord

from .bonds import bond_between
from .bounds import BOUNDS
from .core import Core
from .draft import LIFETIME_MS, Draft
from .port import DaemonRefusal
from .relay_clock import ClockOff

__all__ = [
    "brought_again",
    "is_barred_there",
    "is_early",
    "is_to_former",
    "is_untimely_there",
    "note_expired",
    "repeat_expired",
]

#: The setting that notes them.
_KEY: Final = "expired words"
MOST: Final = BOUNDS.expired_words
MOST_OF_ONE: Final = BOUNDS.expired_words_of_account
#: How often one is brought: with its own time, half a year.
TIMES: Final = 12
#: How far ahead the time of one that was refused for that may lie: nobody waits for another year to come.
_EARLY_MS: Final = 30 * DAY_MS
#: No word waits for longer: what is to be brought beyond it was noted by a clock that was ahead.
_LONGEST_MS: Final = _EARLY_MS + DAY_MS
#: Posted in one commit.
_LOT: Final = 8
_BARRED: Final = frozenset(
    f"{where}{code.value}"
    for where, code in (
        ("", RejectCode.NOT_PERMITTED),
        ("quarantined: ", RejectCode.NOT_PERMITTED),
        ("quarantined: ", RejectCode.RATE_LIMITED),
    )
)

#: What a peer says that was away, or asleep with it in hand, or whose clock is wrong.
_UNTIMELY: Final = frozenset(
    f"quarantined: {code.value}" for code in (RejectCode.EXPIRED, RejectCode.BAD_TIME)
)


@attrs.frozen
class _Word:
    """One of them: when it is to be brought next, and how often it was."""

    hash: Hash
    at: Instant
    times: int = 0


async def _noted(draft: Draft) -> tuple[_Word, ...]:
    raw = await draft.setting(_KEY)
    listed = json.loads(raw) if raw else []
    return tuple(_Word(Hash(bytes.fromhex(hash)), Instant(at), times) for hash, at, times in listed)


def _note(draft: Draft, words: Sequence[_Word]) -> None:
    listed = [[word.hash.hex(), word.at, word.times] for word in words]
    draft.add(PutSetting(_KEY, json.dumps(listed).encode()) if listed else DropSetting(_KEY))


def is_early(message: MessageRecord, now: Instant) -> bool:
    """Whether a message of ours is from a future that comes, by a clock that was ahead, and was refused."""
    refused = message.rung is Rung.FAILED and message.code == RejectCode.BAD_TIME
    return refused and message.created_at - now <= _EARLY_MS


def is_untimely_there(message: MessageRecord) -> bool:
    """Whether a message of ours came to its peer in time, and was looked at when it was not, by its clock."""
    return message.rung is Rung.FAILED and message.code in _UNTIMELY


def is_barred_there(message: MessageRecord) -> bool:
    """Whether only a permission keeps a message of ours from its peer."""
    return message.rung is Rung.FAILED and message.code in _BARRED


async def is_to_former(draft: Draft, envelope: Envelope) -> bool:
    """Whether something of ours was said to an agent that was withdrawn: it is nothing for the next one."""
    to, log = envelope.header.to, await draft.log(envelope.header.to.account)
    return log is not None and made_since(log, to.name, envelope.header.to_log.length)


async def note_expired(draft: Draft, message: MessageRecord) -> None:
    """Note a message of ours whose time is over, or still to come, if it is in a task and there is room."""
    words = await _noted(draft)
    if message.task is None or len(words) >= MOST or any(word.hash == message.hash for word in words):
        return
    if await _are_many(draft, words, message.peer.account):
        return
    _note(draft, (*words, _Word(message.hash, Instant(max(draft.now, message.created_at)))))


async def _are_many(draft: Draft, words: Sequence[_Word], account: AccountId) -> bool:
    """Whether as many wait for an account's agents as one may have: a peer can refuse whatever it likes."""
    if len(words) < MOST_OF_ONE:
        return False
    found = await draft.core.store.message_states([word.hash for word in words])
    return sum(any(row.peer.account == account for row in rows) for rows in found.values()) >= MOST_OF_ONE


async def brought_again(core: Core, hash: Hash) -> bool:
    """Whether a message is still to be brought, or on its way once more."""
    return any(word.hash == hash for word in await _noted(Draft(core)))


async def repeat_expired(core: Core) -> None:
    """Bring what is due, some in a commit. The lock must be free."""
    while await _repeat_some(core):
        pass


async def _repeat_some(core: Core) -> bool:
    """The next of it; whether there may be more."""
    if core.suspended:
        return False  # another copy of this device may be at work: nothing is signed now
    async with core.lock:
        draft = Draft(core)
        words = await _noted(draft)
        due = [word for word in words if not draft.now < word.at <= draft.now + _LONGEST_MS][:_LOT]
        if not due:
            return False
        found = await core.store.messages([word.hash for word in due])
        later: dict[Hash, _Word] = {}
        for word in due:
            for message in found.get(word.hash, ()):
                try:
                    if word.times < TIMES and await _bring(draft, message):
                        at = Instant(draft.now + LIFETIME_MS)
                        later[word.hash] = _Word(word.hash, at, word.times + 1)
                except ClockOff:
                    return False  # nothing is signed now, and all of it is due afterwards
        gone = {word.hash for word in due}
        rest = [later.get(word.hash, word) for word in words if word.hash not in gone or word.hash in later]
        _note(draft, rest)
        await draft.commit()
    return True


async def _bring(draft: Draft, message: MessageRecord) -> bool:
    """Post what brings it. False where that helps nobody any more, or cannot be. Raises ClockOff."""
    store = draft.core.store
    ended = message.rung is Rung.EXPIRED or is_untimely_there(message)
    ended = ended or is_barred_there(message) or is_early(message, draft.now)
    if message.task is None or not ended:
        return False
    rows = (await store.tasks((message.task,))).get(message.task, ())
    row = next((row for row in rows if (row.mine, row.peer) == (message.mine, message.peer)), None)
    kept = (await store.sealed((message.hash,))).get(message.hash)
    if row is None or kept is None or not await _is_wanted(draft, row, message):
        return False
    if await is_to_former(draft, parse_envelope(kept.envelope)):
        return False
    mark = draft.mark()
    try:
        await draft.post_quietly(TaskRepeat(kept.envelope, kept.key), message.mine, message.peer)
    except ClockOff:
        raise
    except DaemonRefusal:
        draft.back_to(mark)  # nobody serves that agent any more, or it fits into no envelope
        return False
    return True


async def _is_wanted(draft: Draft, row: TaskRecord, message: MessageRecord) -> bool:
    """Whether the two are connected, and the task was not taken back before anything of it had arrived."""
    if await bond_between(draft.core.store, message.mine, message.peer) is None:
        return False
    if row.open or row.role != Role.REQUESTER.value:
        return True
    asked = (await draft.core.store.messages((row.task,))).get(row.task, ())
    return any(one.rung is Rung.DELIVERED for one in asked)
