"""Signed events without signatures, and daemons that act on them: what the tests of tasks are told with."""

from collections.abc import Collection, Iterable, Iterator
from functools import cache, lru_cache
from itertools import permutations

import attrs

from taskferry_protocol.ids import DeviceId, Hash, Instant, sha256
from taskferry_protocol.tasks import (
    EventType,
    Role,
    Seen,
    TaskEvent,
    TaskLink,
    TaskTerms,
    TaskView,
    VersionName,
    Viewer,
    confirmation_due,
    fold_task,
)

DEADLINE = Instant(1_000_000)
TERMS = TaskTerms(deadline=DEADLINE, revisions=2, budget=None)
HOME = DeviceId(b"H" * 32)
PHONE = DeviceId(b"P" * 32)
DESK = DeviceId(b"K" * 32)
RACK = DeviceId(b"R" * 32)
DEVICES = {Role.REQUESTER: HOME, Role.WORKER: DESK}
NOTHING = Seen(0, None)
FAKE = Hash(b"\xfa" * 32)

Held = frozenset[TaskEvent]


@lru_cache(maxsize=20_000)
def sign(
    role: Role,
    type_: EventType,
    link: TaskLink,
    *,
    device: DeviceId | None = None,
    created_at: int = DEADLINE,
    terms: TaskTerms | None = None,
    names: VersionName | None = None,
    answers: int | None = None,
    deadline: Instant | None = None,
    salt: int = 0,
) -> TaskEvent:
    """An event whose hash follows from all that is in it, as an envelope's does; `salt` makes another.

    What is signed again is the same object: walks through many worlds compare events all the time.
    """
    device = DEVICES[role] if device is None else device
    told = (role, type_, link, device, created_at, terms, names, answers, deadline, salt)
    name = sha256(repr(told).encode())
    return TaskEvent(name, role, device, type_, link, Instant(created_at), terms, names, answers, deadline)


@cache
def request(terms: TaskTerms = TERMS, device: DeviceId = HOME) -> TaskEvent:
    """The request that every story begins with."""
    first = TaskLink(None, 0, None, NOTHING)
    return sign(Role.REQUESTER, EventType.TASK_REQUEST, first, terms=terms, device=device)


def seen(event: TaskEvent) -> Seen:
    """The `seen` of one that has taken its peer's chain up to `event`."""
    return Seen(event.link.n + 1, event.hash)


def after(
    before: TaskEvent | None,
    type_: EventType,
    seen_: Seen,
    *,
    role: Role,
    task: Hash | None = None,
    device: DeviceId | None = None,
    adopt: bool = False,
    n: int | None = None,
    names: VersionName | None = None,
    answers: int | None = None,
    deadline: Instant | None = None,
    salt: int = 0,
) -> TaskEvent:
    """The event of `role` that follows `before` in its chain, honest or not; facts default to good ones."""
    number = (0 if before is None else before.link.n + 1) if n is None else n
    link = TaskLink(task or request().hash, number, before.hash if before else None, seen_, adopt)
    if type_ is EventType.ARTIFACT_SUBMIT and answers is None:
        answers = 0
    if type_ is EventType.TASK_EXPIRE and deadline is None:
        deadline = DEADLINE
    if device is None and before is not None:
        device = before.device
    return sign(role, type_, link, device=device, names=names, answers=answers, deadline=deadline, salt=salt)


@lru_cache(maxsize=20_000)
def view(
    held: Held, viewer: Viewer | DeviceId = Viewer.ELSEWHERE, revoked: frozenset[DeviceId] = frozenset()
) -> TaskView:
    """The fold of what is held."""
    return fold_task(held, task=_task(held), viewer=viewer, revoked=revoked)


def _task(held: Held) -> Hash:
    return next((event.hash if event.link.task is None else event.link.task) for event in held)


def fold(
    *events: TaskEvent, viewer: Viewer | DeviceId = Viewer.ELSEWHERE, revoked: Collection[DeviceId] = ()
) -> TaskView:
    """The fold of some events."""
    return view(frozenset(events), viewer, frozenset(revoked))


def every_order(events: Iterable[TaskEvent]) -> Iterator[tuple[TaskEvent, ...]]:
    """All permutations."""
    return permutations(tuple(events))


@attrs.frozen
class Daemon:
    """An honest daemon: it signs on `device` what its own view allows, and `task_seen` when that is due."""

    role: Role
    device: DeviceId

    def view(self, held: Held) -> TaskView:
        """What it shows of what it holds."""
        return view(held, self.device)

    @lru_cache(maxsize=20_000)  # noqa: B019 - as of the next: the few daemons last as long as the tests
    def receive(self, held: Held, event: TaskEvent) -> Held:
        """What it holds after `event` arrived, with the confirmation that it signs in the same step."""
        before = self.view(held) if held else None
        now_held = held | {event}
        shown = self.view(now_held)
        if event.role is self.role or not shown.may_write(self.role, self.device):
            return now_held
        link = confirmation_due(before, shown, self.role)
        if link is None:
            return now_held
        return now_held | {sign(self.role, EventType.TASK_SEEN, link, device=self.device)}

    @lru_cache(maxsize=20_000)  # noqa: B019
    def possible(self, held: Held) -> tuple[TaskEvent, ...]:
        """Every event that its agent can have it sign now, and a submission that missed the last request."""
        return tuple(self._possible(held))

    def _possible(self, held: Held) -> Iterator[TaskEvent]:
        shown = self.view(held)
        if not shown.may_write(self.role, self.device):
            return
        for action in shown.actions(self.role, DEADLINE):
            yield self.signed(shown, action, shown.asks)
            if action is EventType.ARTIFACT_SUBMIT and shown.asks:
                yield self.signed(shown, action, shown.asks - 1)

    def signed(self, shown: TaskView, action: EventType, answers: int) -> TaskEvent:
        """The event that `action` makes at this place."""
        speaks = action in {EventType.TASK_COMPLETE, EventType.REVISION_REQUEST}
        return sign(
            self.role,
            action,
            shown.next_link(self.role),
            device=self.device,
            names=shown.newest if speaks else None,
            answers=answers if action is EventType.ARTIFACT_SUBMIT else None,
            deadline=DEADLINE if action is EventType.TASK_EXPIRE else None,
        )


def forget() -> None:
    """Let go of all that was kept of walks: the collector would look through it as long as the tests run."""
    for kept in (sign, view, Daemon.receive, Daemon.possible):
        kept.cache_clear()


AT_HOME = Daemon(Role.REQUESTER, HOME)
AT_WORK = Daemon(Role.WORKER, DESK)
AT_OTHER_WORK = Daemon(Role.WORKER, RACK)


def settled_effects(shown: TaskView) -> tuple[tuple[Hash, str, str], ...]:
    """What is settled of all that does something: the events, their effects, the states after them."""
    return tuple(
        (line.event.hash, line.effect.value, line.state.value)
        for line in shown.taken
        if line.settled and line.event.type is not EventType.TASK_SEEN
    )


def assert_goes_on(earlier: TaskView, later: TaskView) -> None:
    """Nothing that was settled is changed, and nothing that was final is left."""
    told = settled_effects(earlier)
    assert settled_effects(later)[: len(told)] == told
    assert not earlier.is_final or (later.is_final and later.settled_state is earlier.settled_state)
