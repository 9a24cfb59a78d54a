"""The synchronous client: every call as a method, its tasks and jobs as objects."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Concatenate, Final, ParamSpec, Self, TypeVar

from . import calls, saving, task_calls, waiting, working
from .address import Address
from .binding import Binding, beat, beaten, bind, held, release, unbind
from .blocking_driver import BlockingDriver
from .errors import TaskFerryError
from .feeds import Feed
from .plans import Doing, Ties
from .results import Event, Lease
from .signatures import like_method
from .standing import Standing, agent_standing, owner_standing
from .task_results import SentTask, Task

__all__ = ["Client", "Events", "Job", "Runtime", "TaskHandle"]

#: How long leaving may take where the daemon does not answer.
_LEAVE_S: Final = 5.0

P = ParamSpec("P")
T = TypeVar("T")


def _call(build: Callable[P, Doing[T]]) -> Callable[Concatenate[Client, P], T]:
    def call(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.do(build(*args, **kwargs))

    return like_method(call, build)


def _own(build: Callable[Concatenate[str, P], Doing[T]]) -> Callable[Concatenate[Client, P], T]:
    def call(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.do(calls.as_own(build, self.ties, *args, **kwargs))

    return like_method(call, build, given=1)


def _asking(
    build: Callable[Concatenate[str, P], Doing[SentTask]],
) -> Callable[Concatenate[Client, P], TaskHandle]:
    def call(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> TaskHandle:
        sent = self.do(calls.as_own(build, self.ties, *args, **kwargs))
        return TaskHandle(self, sent.task_id, sent)

    return like_method(call, build, given=1)


def _on(build: Callable[Concatenate[str, P], Doing[T]]) -> Callable[Concatenate[_OneTask, P], T]:
    def call(self: _OneTask, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.client.do(held(build(self.id, *args, **kwargs), self._lease))

    return like_method(call, build, given=1)


class _OneTask:
    """A task by its id, and what either side may do with it."""

    #: Under which a bound program has it.
    _lease: Lease | None = None

    def __init__(self, client: Client, id: str) -> None:
        self.client = client
        self.id = id

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id[:8]}>"

    show = _on(task_calls.show_task)
    part_bytes = _on(saving.part_bytes)
    save_part = _on(saving.save_part)
    save_files = _on(saving.save_files)
    save_export = _on(saving.save_export)


class TaskHandle(_OneTask):
    """A task that this client's agent asks for.

    `sent` is what the daemon answered to the request; None for a task that is taken up again.
    """

    def __init__(self, client: Client, id: str, sent: SentTask | None = None) -> None:
        super().__init__(client, id)
        self.sent = sent

    wait = _on(waiting.wait)
    result = _on(waiting.result)
    revise = _on(waiting.revise)
    complete = _on(waiting.complete)
    cancel = _on(waiting.cancel)


class Job(_OneTask):
    """A task that this client's agent is to work on.

    `task` is as it was when it came, `reasons` what a revision should mend: empty for a new one.
    `lease` is under which a bound program has it.
    """

    def __init__(self, client: Client, work: working.Work) -> None:
        super().__init__(client, work.task.id)
        self.task: Task = work.task
        self.reasons = work.reasons
        self.lease = self._lease = work.lease

    accept = _on(working.accept)
    decline = _on(task_calls.decline)
    progress = _on(task_calls.progress)
    submit = _on(task_calls.submit)
    fail = _on(task_calls.fail)

    def release(self) -> None:
        """Give it back as it is, for another program of the agent to do. Raises TakenOver, Conflict."""
        self.client.do(release(self.id, self.lease))


class Runtime(Binding):
    """A program that is bound to its agent; made by `client.runtime`."""

    def __init__(self, client: Client, agent: str, program: str, key: str, lease_s: int | None) -> None:
        super().__init__(agent, program, key, lease_s=lease_s)
        self._client = client

    def busy(self) -> None:
        """Say that it is at work."""
        self.is_busy = True
        self._client.do(beat(self))

    def idle(self) -> None:
        """Say that it waits."""
        self.is_busy = False
        self._client.do(beat(self))


class Client(BlockingDriver):
    """An agent's program's way to its daemon. Use it as a context manager.

    The daemon is `url`, or what a function `url` finds; else TASKFERRY_LOCAL_URL; else the one that holds the
    data directory `data` (TASKFERRY_DATA) when a request is sent, and nobody who listens in its place. The
    credential is `token`; else TASKFERRY_LOCAL_API_TOKEN. `agent` names the agent to act as, where the
    credential is for several.
    `patience` is for how many seconds a request is tried again when the daemon is away or too busy.

    Raises NoCredential.
    """

    def __init__(
        self,
        agent: str = "",
        *,
        url: Address | None = None,
        token: str | None = None,
        data: str | os.PathLike[str] | None = None,
        patience: float = 30.0,
    ) -> None:
        super().__init__(agent_standing(url, token, data), Ties(patience, agent))

    @classmethod
    def as_owner(
        cls,
        agent: str = "",
        *,
        url: Address | None = None,
        data: str | os.PathLike[str] | None = None,
        patience: float = 30.0,
    ) -> Self:
        """A client that holds the owner's credential, found in the data directory: it may do everything."""
        standing: Standing = owner_standing(url, data)
        return cls(agent, url=standing.address, token=standing.token, patience=patience)

    def __repr__(self) -> str:
        return f"<Client of {self.url} as {self.ties.agent or 'its agent'}>"

    status = _call(calls.status)
    whoami = _call(calls.whoami)
    agents = _call(calls.agents)

    connections = _own(calls.connections)
    request_connection = _own(calls.request_connection)

    send_message = _own(calls.send_message)
    send_messages = _own(calls.send_messages)
    inbox = _own(calls.inbox)
    messages = _own(calls.messages)
    message = _call(calls.message)
    acknowledge = _call(calls.acknowledge)
    release = _call(calls.release)

    ask_approval = _own(calls.ask_approval)
    approvals = _own(calls.approvals)
    approval = _call(calls.approval)
    use_approval = _call(calls.use_approval)

    send_task = _asking(task_calls.send_task)
    tasks = _own(task_calls.list_tasks)

    def task(self, id: str) -> TaskHandle:
        """A task that this agent has asked for, by its id, from another program or before a restart."""
        return TaskHandle(self, id)

    @contextmanager
    def runtime(self, program: str, key: str | None = None, *, lease: int | None = None) -> Iterator[Runtime]:
        """Bind this program to its agent until the block ends, so that several may share the agent.

        It is given what no other program has: `work(runtime=…)`, `inbox(runtime=…)`. Under `key`, its own
        word for what stays when it starts again, it is the same one again, and has what it had in hand.
        Heartbeats are sent by a thread, also while the program's own code takes long; without any, it keeps
        what it has for `lease` seconds (90; 15 to 3,600).
        """
        runtime = Runtime(self, self.do(calls.own_agent(self.ties)), program, key or "", lease)
        self.do(bind(runtime))
        leaving = threading.Event()
        # A thread that hangs does not keep its program from ending.
        beating = threading.Thread(target=self._beat, args=(runtime, leaving), daemon=True)
        beating.start()
        try:
            yield runtime
        finally:
            leaving.set()
            beating.join(_LEAVE_S)
            with suppress(TaskFerryError):
                # Whoever is not heard loses its lease anyway.
                self.do_once(unbind(runtime))

    def _beat(self, runtime: Runtime, leaving: threading.Event) -> None:
        wait = runtime.heartbeat_s
        while not leaving.wait(wait):
            wait = self.do_once(beaten(runtime))

    def work(self, *, idle: float | None = None, runtime: Runtime | None = None) -> Iterator[Job]:
        """The tasks that wait for this agent to work on them, and revisions of them, without end.

        With `idle`, until there was nothing for so many seconds. A job counts as done when the next one is
        asked for; a program that ends before that is given it again. With `runtime`, those that no other
        program has; a step in one that was taken over meanwhile raises TakenOver.
        """
        desk = working.Desk(self.do(calls.own_agent(self.ties)), runtime)
        while (found := self.do(desk.next_work(idle))) is not None:
            yield Job(self, found)

    def events(self, *, after: int | None = None) -> Events:
        """What happens with this agent, from now on, or after the event `after`; without end."""
        return Events(self, after)


class Events:
    """An iterator of events; broken connections are resumed. Close it, or use it as a context manager."""

    def __init__(self, client: Client, after: int | None) -> None:
        self._client = client
        self._feed: Feed | None = None
        self._after = after

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        client = self._client
        if self._feed is None:
            mine, ties = client.do(calls.own_agent(client.ties)), client.ties
            self._feed = Feed(mine, ties.patience_s, self._after, ties.is_known)
        return client.do(self._feed.next_event())

    @property
    def place(self) -> int | None:
        """The id of the last event given: another program goes on after it."""
        return self._feed.place if self._feed is not None else self._after

    def close(self) -> None:
        """End the feed."""
        if self._feed is not None:
            self._client.drop(self._feed.channel)
