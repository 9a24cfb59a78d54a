"""A daemon's directory with a long history, for measuring lists and for looking at them.

`python -m benchmarks.big_history --tasks 100000 --messages 1000000 FOLDER`, and then
`taskferry up --data FOLDER`. Rows, contents and tasks are as a daemon writes them, keys and account are real;
the envelopes are noise of the right size, so nothing of it can be exported or proved. The same numbers and
seed make the same history.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Final

import attrs
import trio

from taskferry_apps import system
from taskferry_apps.daemon.keys import KeyRing
from taskferry_apps.daemon.link import RELAY_SETTING
from taskferry_apps.daemon.secret_choice import open_secrets
from taskferry_apps.daemon.taskbook import row_after, view_of
from taskferry_apps.daemon.vault import SecretVault
from taskferry_protocol.accounts import AccountLog, DeviceKeys, create, fold, set_agent
from taskferry_protocol.cards import Card, Visibility, sign_card
from taskferry_protocol.cbor import encode
from taskferry_protocol.crypto import SigningKey
from taskferry_protocol.ids import AgentRef, ConversationId, Hash, Instant, message_id, sha256
from taskferry_protocol.links import Role, Seen, TaskLink
from taskferry_protocol.messages import (
    ArtifactSubmit,
    Body,
    Content,
    RevisionRequest,
    TaskAccept,
    TaskCancel,
    TaskComplete,
    TaskDecline,
    TaskExpire,
    TaskFail,
    TaskProgress,
    TaskRequest,
    TextMessage,
    TextPart,
)
from taskferry_protocol.records import (
    AddTaskEvent,
    AppendStatements,
    CardRecord,
    DaemonChange,
    Direction,
    InboxState,
    LocalAgent,
    MessageRecord,
    PutAgent,
    PutCard,
    PutQuarantine,
    PutSetting,
    QuarantineRecord,
    Rung,
    SaveTask,
    SetTrust,
    StoreMessage,
    TaskEventRecord,
    TaskRecord,
    Trust,
)
from taskferry_protocol.task_messages import task_event
from taskferry_protocol.tasks import TaskEvent
from taskferry_stores.port import DaemonStore
from taskferry_stores.sqlite import open_daemon_store

__all__ = ["MINE", "PEERS", "Size", "make_history"]

MINE: Final = ("helper", "writer", "reviewer", "archivist")
PEERS: Final = tuple(
    f"{owner}/{agent}" for owner in ("bob", "carol", "dave", "erin", "frank") for agent in ("coder", "desk")
)
DAY_MS: Final = 86_400_000
YEAR_MS: Final = 365 * DAY_MS
#: Changes in one commit.
GROUP: Final = 2_000
#: What an envelope takes beside its content.
ENVELOPE_BYTES: Final = 400
QUARANTINED: Final = 40

COMMON: Final = (
    "the of to and a in is it for that with as was on be this have from or one had by but not what all were"
    " we when your can said there use each which she how their if will up other about out many then them"
    " so some her would make like him into time has look two more write go see number no way could people my"
    " than first been call who now find long down day did get come made may part report invoice refund draft"
    " review customer please check table query server release notes summary chapter translate image contract"
    " deadline budget version test error log deploy schema migrate totals quarter month figures mail answer"
)
SYLLABLES: Final = "ba co du fe gi ka lo mu ne pi ra so ta ul ven wor xi yon zer tion ment ing est"
STORIES: Final = (
    # Share of tasks, and who does what after the request.
    (0.010, ""),
    (0.010, "a"),
    (0.020, "app"),
    (0.010, "aps"),
    (0.005, "apsr"),
    (0.005, "apsrps"),
    (0.570, "appsc"),
    (0.150, "appsrpsc"),
    (0.070, "d"),
    (0.060, "apx"),
    (0.040, "e"),
    (0.050, "apf"),
)


@attrs.frozen
class Size:
    """How much there is to be."""

    tasks: int
    messages: int
    seed: int = 1


@attrs.frozen
class Party:
    """An owner: the device that writes, and the log."""

    keys: DeviceKeys
    log: AccountLog

    def agent(self, name: str) -> AgentRef:
        """An agent of this owner."""
        return AgentRef(self.log.account, name)


def make_party(owner: str, agents: tuple[str, ...], at: Instant, dice: random.Random) -> Party:
    """An owner with an account of one device that serves these agents."""
    keys = DeviceKeys.generate_managing("the only one", dice.randbytes)
    assert keys.manage is not None
    log = fold([create(owner, keys, SigningKey.from_seed(dice.randbytes(32)), at=at)])
    for name in agents:
        log = log.extend([set_agent(log.state, name, [keys.id], at=at, by=keys.manage)])
    return Party(keys, log)


class Words:
    """Texts in words of which a few are very common and most are rare."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        common, syllables = COMMON.split(), SYLLABLES.split()
        rare = {"".join(dice.choices(syllables, k=dice.randint(2, 4))) for _ in range(40_000)}
        words = [*common, *sorted(rare - set(common))]
        weights = list(accumulate(1 / (rank + 2) for rank in range(len(words))))
        self._drawn = dice.choices(words, cum_weights=weights, k=1_000_000)

    def text(self, least: int, most: int) -> str:
        """So many words, more often few than many: a stretch out of many that were drawn beforehand."""
        count = least + int((most - least) * self._dice.random() ** 3)
        start = int(self._dice.random() * (len(self._drawn) - count))
        return " ".join(self._drawn[start : start + count])


class Historian:
    """Makes the changes of a history, in the order in which a daemon would have made them."""

    def __init__(self, size: Size, now: Instant, owner: Party, peers: dict[str, Party]) -> None:
        self._dice = random.Random(size.seed)
        self._words = Words(self._dice)
        self._size = size
        self._now = now
        self._owner = owner
        self._peers = peers
        self._talks: dict[tuple[str, str], ConversationId] = {}
        self._seq = 0
        self.told = 0
        """Messages so far."""

    def changes(self) -> Iterator[list[DaemonChange]]:
        """What belongs together, one after another."""
        for number in range(self._size.tasks):
            at = Instant(self._now - YEAR_MS + YEAR_MS * number // self._size.tasks)
            yield self._task(at)
            # What is said outside of tasks is spread between them.
            due = (number + 1) * self._size.messages // self._size.tasks
            while self.told < due:
                yield self._talk(at)
        for number in range(QUARANTINED):
            yield [self._quarantined(number)]

    def _pair(self) -> tuple[str, str]:
        mine = self._dice.choices(MINE, (8, 4, 2, 1))[0]
        return mine, self._dice.choices(PEERS, range(len(PEERS), 0, -1))[0]

    def _talk(self, at: Instant) -> list[DaemonChange]:
        pair = self._pair()
        if pair not in self._talks or self._dice.random() < 0.05:
            self._talks[pair] = ConversationId(self._dice.randbytes(16))
        content = Content(TextMessage(self._words.text(4, 100)), self._talks[pair])
        _, change = self._message(pair, content, at, None, ours=self._dice.random() < 0.5)
        return [change]

    def _message(
        self, pair: tuple[str, str], content: Content, at: Instant, task: Hash | None, *, ours: bool
    ) -> tuple[Hash, StoreMessage]:
        dice, raw = self._dice, _encoded(content)
        owner, _, agent = pair[1].partition("/")
        peer = self._peers[owner]
        envelope = dice.randbytes(ENVELOPE_BYTES + len(raw))
        hash = sha256(envelope)
        if content.link is not None and task is None:
            task = hash
        self._seq += 1
        self.told += 1
        recent = at > self._now - 2 * DAY_MS
        inbox = InboxState.UNREAD if recent and dice.random() < 0.5 else InboxState.PROCESSED
        return hash, StoreMessage(
            MessageRecord(
                hash=hash,
                direction=Direction.OUT if ours else Direction.IN,
                mine=self._owner.agent(pair[0]),
                peer=peer.agent(agent),
                device=self._owner.keys.id if ours else peer.keys.id,
                id=message_id(at, dice.randbytes),
                seq=self._seq,
                cls=content.body.message_class.value,
                type=content.body.type_name,
                conv=content.conv,
                content=raw,
                created_at=at,
                expires_at=Instant(at + 14 * DAY_MS),
                stored_at=at,
                task=task,
                inbox=InboxState.QUIET if ours else inbox,
                rung=Rung.DELIVERED if ours else None,
                delivered_at=at if ours else None,
                read_at=at if not ours and inbox is InboxState.PROCESSED else None,
            ),
            envelope,
            dice.randbytes(32),
        )

    def _task(self, at: Instant) -> list[DaemonChange]:
        dice, pair = self._dice, self._pair()
        role = dice.choice(list(Role))
        story = dice.choices([story for _, story in STORIES], [share for share, _ in STORIES])[0]
        told = _Told(self, pair, role, ConversationId(dice.randbytes(16)))
        told.say(Role.REQUESTER, self._request(at), at)
        for step in story:
            at = Instant(min(self._now, at + dice.randrange(60_000, 7_200_000)))
            side, body = self._step(step, told, at)
            told.say(side, body, at)
        return told.changes(at)

    def _request(self, at: Instant) -> TaskRequest:
        return TaskRequest(
            self._words.text(3, 10)[:190],
            self._words.text(10, 200),
            requirements=tuple(self._words.text(3, 12) for _ in range(self._dice.randrange(3))),
            deadline=Instant(at + 30 * DAY_MS) if self._dice.random() < 0.3 else None,
            revisions=3,
        )

    def _step(self, step: str, told: _Told, at: Instant) -> tuple[Role, Body]:
        words = self._words
        match step:
            case "a":
                return Role.WORKER, TaskAccept(words.text(0, 8))
            case "p":
                return Role.WORKER, TaskProgress(words.text(2, 30), self._dice.randrange(5, 100, 5))
            case "s":
                part = TextPart(words.text(30, 600), "result.md")
                return Role.WORKER, ArtifactSubmit(words.text(2, 20), (part,), told.asks)
            case "r":
                return Role.REQUESTER, RevisionRequest(told.version, told.newest, (words.text(4, 40),))
            case "c":
                return Role.REQUESTER, TaskComplete(told.version, told.newest, words.text(0, 10))
            case "d":
                return Role.WORKER, TaskDecline(words.text(2, 20))
            case "x":
                return Role.REQUESTER, TaskCancel(words.text(2, 20))
            case "f":
                return Role.WORKER, TaskFail(words.text(2, 20))
            case _:
                return Role.REQUESTER, TaskExpire(told.deadline or at)

    def _quarantined(self, number: int) -> PutQuarantine:
        envelope = self._dice.randbytes(ENVELOPE_BYTES)
        at = Instant(self._now - number * DAY_MS)
        text = "The sender's account is not known here."
        return PutQuarantine(QuarantineRecord(sha256(envelope), "unknown-account", text, envelope, b"", at))


class _Told:
    """A task as it is told: its events are linked as both sides would have linked them."""

    def __init__(self, by: Historian, pair: tuple[str, str], role: Role, conv: ConversationId) -> None:
        self._by = by
        self._pair = pair
        self._role = role
        self._conv = conv
        self._ends: dict[Role, tuple[int, Hash | None]] = {Role.REQUESTER: (0, None), Role.WORKER: (0, None)}
        self._changes: list[DaemonChange] = []
        self._events: list[TaskEvent] = []
        self._contents: dict[Hash, Content] = {}
        self._first: MessageRecord | None = None
        self.asks = 0
        self.version = 0
        self.newest = Hash(bytes(32))
        self.deadline: Instant | None = None

    def say(self, side: Role, body: Body, at: Instant) -> None:
        """One more event."""
        task = self._first.hash if self._first is not None else None
        count, prev = self._ends[side]
        link = TaskLink(task, count, prev, Seen(*self._ends[side.other]))
        content = Content(body, self._conv, link=link)
        ours = side is self._role
        hash, change = self._by._message(self._pair, content, at, task, ours=ours)
        record = change.message
        if self._first is None:
            self._first = record
        self._ends[side] = (count + 1, hash)
        self._contents[hash] = content
        self._events.append(task_event(content, hash=hash, role=side, device=record.device, created_at=at))
        self._changes.append(change)
        self._changes.append(
            AddTaskEvent(TaskEventRecord(self._first.hash, hash, side.value, record.device, at, at))
        )
        match body:
            case TaskRequest():
                self.deadline = body.deadline
            case ArtifactSubmit():
                self.version, self.newest = self.version + 1, hash
            case RevisionRequest():
                self.asks += 1

    def changes(self, at: Instant) -> list[DaemonChange]:
        """All of it, with the row that lists show."""
        first = self._first
        assert first is not None
        request = self._contents[first.hash].body
        assert isinstance(request, TaskRequest)
        view = view_of(first.hash, self._events, self._by._owner.keys.id, frozenset())
        row = TaskRecord(
            task=first.hash,
            role=self._role.value,
            mine=first.mine,
            peer=first.peer,
            conv=self._conv,
            title=request.title,
            home=first.device,
            state="",
            open=True,
            snapshot=b"",
            created_at=first.created_at,
            updated_at=at,
        )
        return [*self._changes, SaveTask(row_after(row, view, self._contents, at))]


def _encoded(content: Content) -> bytes:
    """As `encode_content`, which reads what it has written once more, does it."""
    members: dict[str, object] = {
        "type": content.body.type_name,
        "minor": content.minor,
        "conv": content.conv,
        "hop": content.hop,
        "cause": [],
        "body": content.body.to_cbor(),
    }
    if content.link is not None:
        members["link"] = content.link.to_cbor()
    return encode(members)


async def make_history(folder: Path, size: Size, tell: Callable[[int], None]) -> None:
    """Make a daemon's directory of an empty folder; `tell` hears how many messages there are so far."""
    now = system.now()
    dice = random.Random(size.seed + 1)
    began = Instant(now - YEAR_MS)
    owner = make_party("alice", MINE, began, dice)
    names: dict[str, list[str]] = {}
    for peer in PEERS:
        names.setdefault(peer.partition("/")[0], []).append(peer.partition("/")[2])
    peers = {name: make_party(name, tuple(agents), began, dice) for name, agents in names.items()}
    await SecretVault(open_secrets(folder, "files")).save(KeyRing(owner.keys, now))
    historian = Historian(size, now, owner, peers)
    async with open_daemon_store(folder / "daemon.db") as store:
        await _commit_people(store, owner, peers, began)
        group: list[DaemonChange] = []
        for changes in historian.changes():
            group += changes
            if len(group) >= GROUP:
                await store.commit(group)
                group = []
                tell(historian.told)
        await store.commit(group)
        tell(historian.told)


async def _commit_people(store: DaemonStore, owner: Party, peers: dict[str, Party], at: Instant) -> None:
    changes: list[DaemonChange] = [PutSetting(RELAY_SETTING, b"http://127.0.0.1:9")]
    for party in (owner, *peers.values()):
        log = party.log
        changes += (
            AppendStatements(log.account, log.state.name, None, 0, log.statements, log.position),
            SetTrust(log.account, Trust.OWN if party is owner else Trust.VERIFIED, at),
        )
    assert owner.keys.manage is not None
    for name in MINE:
        card = Card(
            owner.agent(name), 1, at, owner.log.position, name.title(), "", "", (), (), Visibility.PRIVATE
        )
        changes += (
            PutAgent(LocalAgent(name, json.dumps({}), at)),
            PutCard(CardRecord(owner.agent(name), 1, False, sign_card(card, owner.keys.manage))),
        )
    await store.commit(changes)


class _Bar:
    """A bar on the terminal; a line now and then where there is none."""

    def __init__(self, whole: int) -> None:
        self._whole = whole
        self._began = self._told = time.monotonic()

    def __call__(self, done: int) -> None:
        """So many are made."""
        now = time.monotonic()
        if now - self._told < (0.2 if sys.stderr.isatty() else 15) and done < self._whole:
            return
        self._told = now
        share = min(1.0, done / self._whole)
        bar = "#" * round(30 * share)
        left = (now - self._began) * (1 - share) / share if share else 0
        text = f"[{bar:<30}] {done:>9,} messages, {left:4.0f} s left"
        print(text, end="\r" if sys.stderr.isatty() else "\n", file=sys.stderr, flush=True)


def main() -> int:
    """Make what was asked for; 1 if the folder is not empty."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.big_history", description=__doc__)
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--messages", type=int, default=1_000_000, help="in all, those of tasks too")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("folder", type=Path, help="a folder that is empty, or not there yet")
    asked = parser.parse_args()
    if asked.folder.exists() and any(asked.folder.iterdir()):
        print(f"{asked.folder} is not empty; name another folder.", file=sys.stderr)
        return 1
    asked.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    size = Size(asked.tasks, asked.messages, asked.seed)
    trio.run(partial(make_history, asked.folder, size, _Bar(size.messages)))
    print(f"\nMade. Look at it with: taskferry up --data {asked.folder}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
