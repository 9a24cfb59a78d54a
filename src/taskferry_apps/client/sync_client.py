"""The synchronous client: every call as a method, its tasks and jobs as objects."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Concatenate, ParamSpec, Self, TypeVar

from . import calls, saving, task_calls, waiting, working
from .address import Address
from .blocking_driver import BlockingDriver
from .feeds import Feed
from .plans import Doing, Ties
from .results import Event
from .signatures import like_method
from .standing import Standing, agent_standing, owner_standing
from .task_results import SentTask, Task

__all__ = ["Client", "Events", "Job", "TaskHandle"]

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
        return self.client.do(build(self.id, *args, **kwargs))

    return like_method(call, build, given=1)


class _OneTask:
    """A task by its id, and what either side may do with it."""

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
    """

    def __init__(self, client: Client, work: working.Work) -> None:
        super().__init__(client, work.task.id)
        self.task: Task = work.task
        self.reasons = work.reasons

    accept = _on(working.accept)
    decline = _on(task_calls.decline)
    progress = _on(task_calls.progress)
    submit = _on(task_calls.submit)
    fail = _on(task_calls.fail)


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
    inbox = _own(calls.inbox)
    messages = _own(calls.messages)
    message = _call(calls.message)
    acknowledge = _call(calls.acknowledge)

    ask_approval = _own(calls.ask_approval)
    approvals = _own(calls.approvals)
    approval = _call(calls.approval)
    use_approval = _call(calls.use_approval)

    send_task = _asking(task_calls.send_task)
    tasks = _own(task_calls.list_tasks)

    def task(self, id: str) -> TaskHandle:
        """A task that this agent has asked for, by its id, from another program or before a restart."""
        return TaskHandle(self, id)

    def work(self, *, idle: float | None = None) -> Iterator[Job]:
        """The tasks that wait for this agent to work on them, and revisions of them, without end.

        With `idle`, until there was nothing for so many seconds. A job counts as done when the next one is
        asked for; a program that ends before that is given it again.
        """
        desk = working.Desk(self.do(calls.own_agent(self.ties)))
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
