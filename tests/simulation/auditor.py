"""What must hold when a world has settled, whatever befell it; each breach is a sentence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from taskferry_apps.daemon.taskbook import Held, load_task, read_summary
from taskferry_protocol.errors import RejectCode
from taskferry_protocol.ids import DeviceId, Hash
from taskferry_protocol.messages import TextMessage, decode_content
from taskferry_protocol.records import (
    Direction,
    MessageQuery,
    MessageRecord,
    Order,
    Rung,
    TaskQuery,
    TaskRecord,
)

from .ledger import Accepted
from .plan import Kind
from .programs import DaemonMachine
from .second_looks import overlooked
from .town import Town

__all__ = ["Books", "audit", "is_put_out", "open_books", "unended", "waits"]

#: A quiet pair waits for nobody but the relay itself.
QUIET_BOUND_S = 60.0


@attrs.frozen
class Books:
    """Everything that one machine holds when all is over."""

    machine: DaemonMachine
    messages: tuple[MessageRecord, ...]
    quarantined: Mapping[Hash, str]
    tasks: Mapping[Hash, Held]
    rows: tuple[TaskRecord, ...]
    waiting: int
    devices: frozenset[DeviceId]
    """The owner's devices that are active by the log held here; none where no account is."""
    overlooked: tuple[Hash, ...] = ()
    """Words in tasks that were refused for want of permission, and are allowed now."""

    def message(self, hash: Hash) -> list[MessageRecord]:
        """The rows of a message."""
        return [row for row in self.messages if row.hash == hash]


async def open_books(machine: DaemonMachine, usual_rate: int) -> Books:
    """Read all of it."""
    daemon = machine.daemon
    assert daemon is not None
    core = daemon._core
    store = core.store
    messages: list[MessageRecord] = []
    after = None
    while True:
        page = await store.message_page(MessageQuery(), after, 200, Order.OLDEST_FIRST)
        messages += page.items
        if page.next is None:
            break
        after = page.next
    quarantined = {
        row.hash: row.code for row in (await store.quarantine_page(None, 500, Order.OLDEST_FIRST)).items
    }
    rows: list[TaskRecord] = []
    cursor = None
    while True:
        found = await store.task_page(TaskQuery(), cursor, 200)
        rows += found.items
        if found.next is None:
            break
        cursor = found.next
    tasks = {task: await load_task(core, task) for task in sorted({row.task for row in rows})}
    stats = await store.stats()
    active = (await core.own_log()).state.active_devices() if core.account is not None else ()
    devices = frozenset(device.id for device in active)
    allowed = await overlooked(core, usual_rate) if core.account is not None else ()
    waiting = stats.outbox_waiting
    return Books(machine, tuple(messages), quarantined, tasks, tuple(rows), waiting, devices, allowed)


def audit(town: Town, books: Mapping[str, Books]) -> list[str]:
    """All breaches, when whatever is to come to an end has done so."""
    found = [*town.crashes, *town.ledger.broken, *_unended(town, books)]
    for check in (_accounted, _once, _keyed, _agree, _let_in, _folds, _unforged, _unhindered):
        found += check(town, books)
    return found


def unended(town: Town, books: Mapping[str, Books]) -> list[str]:
    """What should have come to an end by now, under an honest relay.

    A device that is put out has to wait, and so has what only its mailbox had: nobody fetches that any more.
    """
    standing = {name: book for name, book in books.items() if not is_put_out(book.machine)}
    broken = {town.owner_of(name).name for name in books.keys() - standing.keys()}
    return [
        f"{_name(promise)} {what}" for promise, what in _waits(town, standing) if _to(promise) not in broken
    ]


def waits(town: Town, books: Mapping[str, Books]) -> bool:
    """Whether anything has still to come to an end."""
    return any(book.waiting for book in books.values()) or any(True for _ in _waits(town, books))


def _unended(town: Town, books: Mapping[str, Books]) -> Iterator[str]:
    yield from (f"{_name(promise)} {what}" for promise, what in _waits(town, books))


def _waits(town: Town, books: Mapping[str, Books]) -> Iterator[tuple[Accepted, str]]:
    for promise in town.ledger.accepted:
        for row in books[promise.machine].message(promise.hash) if promise.machine in books else ():
            if row.rung in (Rung.QUEUED, Rung.RELAYED):
                yield promise, f"has no end: it is still {row.rung.value} {row.code}".strip()


def _to(promise: Accepted) -> str:
    """The owner that it is for."""
    return promise.peer.partition("/")[0].removeprefix("@")


def is_put_out(machine: DaemonMachine) -> bool:
    """Whether the relay takes no session of the machine any more."""
    return machine.daemon is not None and machine.daemon._link.refused is RejectCode.DEVICE_GONE


def _accounted(town: Town, books: Mapping[str, Books]) -> Iterator[str]:
    """What a daemon accepted has come to an end that its agent can see."""
    for promise in town.ledger.accepted:
        book = books.get(promise.machine)
        if book is None:
            continue
        rows = [row for row in book.message(promise.hash) if row.rung is not None]
        name = _name(promise)
        if not rows:
            yield f"{name} was accepted and is gone"
            continue
        for row in rows:
            if row.rung is Rung.DELIVERED:
                yield from _arrived(town, books, promise, name)
            elif row.rung not in (Rung.QUEUED, Rung.RELAYED) and not row.code:
                yield f"{name} failed without a reason"


def _name(promise: Accepted) -> str:
    return f"{promise.what} ({promise.hash.hex()[:8]}) of {promise.machine}"


def _arrived(town: Town, books: Mapping[str, Books], promise: Accepted, name: str) -> Iterator[str]:
    peer, sender = _to(promise), town.owner_of(promise.machine).name
    theirs = [book for book in books.values() if town.owner_of(book.machine.name).name == peer]
    if not any(_has(book, promise) for book in theirs):
        yield f"{name} is said to be delivered, and {peer} has nothing of it"
    elif not town.plan.lies:
        # Whoever is linked later is given all that there was before; an owner's own mail follows as well.
        for machine in _lacking(promise, theirs):
            yield f"{name} is said to be delivered, and {machine} has nothing of it"
        ours = [book for book in books.values() if town.owner_of(book.machine.name).name == sender]
        for machine in _lacking(promise, ours):
            yield f"{name} is said to be delivered, and {machine} has no copy of it"


def _has(book: Books, promise: Accepted) -> bool:
    return bool(book.message(promise.hash)) or promise.hash in book.quarantined


def _lacking(promise: Accepted, owned: Sequence[Books]) -> Iterator[str]:
    """The machines of an owner that should have it and have not, while one is there to give it to them."""
    having = [book for book in owned if _has(book, promise)]
    if all(is_put_out(book.machine) for book in having):
        return
    for book in owned:
        if book not in having and not is_put_out(book.machine) and not _is_left_out(book, owned):
            yield book.machine.name


def _is_left_out(book: Books, theirs: Sequence[Books]) -> bool:
    """Whether its owner put the machine out before it had come in: it has no account to hold anything of."""
    daemon = book.machine.daemon
    if daemon is None or daemon._core.account is not None or daemon._core.ring is None:
        return False
    return all(daemon._core.ring.device.id not in other.devices for other in theirs)


def _once(town: Town, books: Mapping[str, Books]) -> Iterator[str]:
    """Nothing takes effect twice."""
    for name, book in books.items():
        keys = Counter((row.hash, row.mine) for row in book.messages)
        for (hash, _), count in keys.items():
            if count > 1:
                yield f"{name} holds {hash.hex()[:8]} {count} times"
        texts = Counter(
            body.text
            for row in book.messages
            if row.direction is Direction.IN
            and isinstance(body := decode_content(row.content).body, TextMessage)
        )
        for text, count in texts.items():
            if count > 1:
                yield f"{name} was told {text!r} {count} times"
        for task, held in book.tasks.items():
            taken = Counter(line.event.hash for line in held.view.taken)
            if any(count > 1 for count in taken.values()):
                yield f"{name} took an event of task {task.hex()[:8]} twice"


def _keyed(town: Town, books: Mapping[str, Books]) -> Iterator[str]:
    """What was asked for under a key was sent once, however often it was asked for, and as was said."""
    sent: dict[str, dict[str, set[Hash]]] = {}
    for name, book in books.items():
        texts = sent.setdefault(name, {})
        for row in book.messages:
            if row.direction is not Direction.IN and isinstance(
                body := decode_content(row.content).body, TextMessage
            ):
                texts.setdefault(body.text, set()).add(row.hash)
        for text, hashes in texts.items():
            if len(hashes) > 1:
                yield f"{name} sent {text!r} {len(hashes)} times"
    for kept in town.ledger.keyed.values():
        if kept.hash is not None and kept.machine in sent:
            found = sent[kept.machine].get(kept.text, set())
            if kept.hash not in found:
                yield f"{kept.machine} said to have sent {kept.text!r} as {kept.hash.hex()[:8]}, and has not"


def _agree(town: Town, books: Mapping[str, Books]) -> Iterator[str]:
    """Whoever holds the same events of a task shows the same."""
    for task in sorted({task for book in books.values() for task in book.tasks}):
        holding = [(name, book.tasks[task]) for name, book in books.items() if task in book.tasks]
        for (one, first), (other, second) in _pairs(holding):
            if first.records.keys() != second.records.keys() or first.revoked != second.revoked:
                continue
            if _shown(first) != _shown(second):
                yield (
                    f"{one} and {other} hold the same events of task {task.hex()[:8]}, and see "
                    f"{first.view.state} and {second.view.state}"
                )
        if town.plan.lies:
            continue
        # A device that was put out hears no more of it.
        told = [(name, held) for name, held in holding if not is_put_out(books[name].machine)]
        if all(_is_all_delivered(books, name, task) for name, _ in holding):
            states = {name: held.view.state for name, held in told}
            if len(set(states.values())) > 1:
                yield f"everything of task {task.hex()[:8]} is delivered, and they see {states}"


def _let_in(town: Town, books: Mapping[str, Books]) -> Iterator[str]:
    """No word in a task stays refused once the owner allows it: all later ones would wait behind it."""
    for name, book in books.items():
        for hash in () if is_put_out(book.machine) else book.overlooked:
            yield f"{name} still refuses {hash.hex()[:8]}, which is allowed"


def _is_all_delivered(books: Mapping[str, Books], name: str, task: Hash) -> bool:
    own = [row for row in books[name].messages if row.task == task and row.rung is not None]
    return all(row.rung is Rung.DELIVERED for row in own) and not books[name].quarantined


def _shown(held: Held) -> Any:
    view = held.view
    return view.state, [(line.event.hash, line.effect, line.state) for line in view.taken]


def _pairs(items: list[Any]) -> Iterator[tuple[Any, Any]]:
    for index, one in enumerate(items):
        for other in items[index + 1 :]:
            yield one, other


def _folds(town: Town, books: Mapping[str, Books]) -> Iterator[str]:
    """The stored row of a task is what its stored events come to."""
    for name, book in books.items():
        for row in book.rows:
            view = book.tasks[row.task].view
            state = view.state.value if view.state is not None else "unknown"
            summary = read_summary(row)
            stored = (row.state, row.open, summary.versions, summary.final)
            folded = (state, not view.is_final, len(view.versions), view.is_final)
            if stored != folded:
                yield f"{name} shows task {row.task.hex()[:8]} as {stored}; its events come to {folded}"


def _unforged(town: Town, books: Mapping[str, Books]) -> Iterator[str]:
    """What has an effect was written by the one whose name it bears."""
    sent = {
        row.hash: row.mine
        for book in books.values()
        for row in book.messages
        if row.direction is not Direction.IN
    }
    for name, book in books.items():
        for row in book.messages:
            if row.direction is Direction.IN and row.hash not in sent and row.rung is None:
                yield f"{name} believes {row.hash.hex()[:8]} ({row.type}), which nobody sent"


def _unhindered(town: Town, books: Mapping[str, Books]) -> Iterator[str]:
    """A pair that nothing befalls waits for nobody else's trouble."""
    if any(fault.kind is Kind.ROLLBACK for fault in town.plan.faults):
        return
    trouble = [fault for fault in town.plan.faults if fault.who == town.relay.name]
    bound = QUIET_BOUND_S + sum(abs(fault.amount) + 30 for fault in trouble)
    for promise in town.ledger.accepted:
        if not town.owner_of(promise.machine).quiet:
            continue
        for row in books[promise.machine].message(promise.hash):
            if row.delivered_at is None:
                yield f"{promise.what} of {promise.machine}, whom nothing befell, did not arrive"
            elif row.delivered_at - row.created_at > bound * 1000:
                late = (row.delivered_at - row.created_at) / 1000
                yield f"{promise.what} of {promise.machine}, whom nothing befell, took {late:.0f} s"
