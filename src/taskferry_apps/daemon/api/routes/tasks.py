"""Tasks: asking for work, looking at it, and taking its results and its proof away."""

from __future__ import annotations

from typing import Final

from taskferry_protocol.ids import sha256
from taskferry_protocol.limits import REASON_BYTES, REASONS, TEXT_BYTES, TITLE_CHARS

from ...bounds import BOUNDS
from ...history_port import TaskSearch
from ...port import DaemonService, NewTask
from ...views import TaskView, TaskWindow
from ..answers import Object, link_object, sent_object, summary_object, task_object, versions_object
from ..body import compact
from ..fields import Choice, Form, Listed, Text, Whole, bad_value, optional, required
from ..holds import RUNTIME
from ..kinds import ID, Moment, OwnAgent, Peer, ReadAgent
from ..parts import FILES, PARTS_FIELD, attached
from ..schemas import ref
from ..shapes import SEARCH_BYTES, searched_page
from ..table import BODY_WITH_FILES_BYTES, Call, Download, Repeat, Route
from ..waits import while_serving

__all__ = ["ROUTES", "TASK_ID"]

_FROM: Final = required("from", OwnAgent(), "The agent of yours that asks.")
_TO: Final = required("to", Peer(), "The agent that shall do it.")
_TITLE: Final = required("title", Text(4 * TITLE_CHARS, 1), f"At most {TITLE_CHARS} characters.")
_DESCRIPTION: Final = optional("description", Text(TEXT_BYTES), "The brief: what is to be done.", "")
_REQUIREMENTS: Final = optional(
    "requirements", Listed(Text(REASON_BYTES, 1), REASONS), "What the result must meet.", ()
)
_REVISIONS: Final = optional("max_revisions", Whole(0, 1000), "How many revisions may be asked for.", 3)
_FORMAT: Final = optional("expected_format", Text(256), "Becomes a requirement.", "")
_DEADLINE: Final = optional("deadline", Moment(), "When the task expires if it is not done.", None)
_BUDGET: Final = optional("budget", Whole(1), "How many messages this task may take.", None)
_CAUSE: Final = optional("cause", Text(64), "The message or task that led to this one.", "")

_MARK_DIGITS: Final = 32
_WAIT: Final = optional("wait", Whole(0, 60), "Seconds to wait while it is as it was with `mark`.", 0)
_MARK: Final = optional("mark", Text(_MARK_DIGITS), "The mark that it had when the caller looked last.", "")

_PAGE_CURSOR: Final = optional("cursor", Text(64), "Where to go on to what came before.", "")
_MOST: Final = "How many at most."
_EVENTS: Final = optional("limit", Whole(1, BOUNDS.events_a_page), _MOST, BOUNDS.events_shown)
_VERSIONS: Final = optional("limit", Whole(1, BOUNDS.versions_shown), _MOST, BOUNDS.versions_shown)

#: The task that a path is about.
TASK_ID: Final = required("id", ID, "The task's id, or at least 8 digits of it.")
_VERSION: Final = required(
    "version", Whole(0, 2**31), "The version's number; 0 for what came with the request."
)
_PART: Final = required("part", Whole(0, 31), "The part's number, from 0.")

_AGENT: Final = optional("agent", ReadAgent(), "Only those of one agent of yours.", None)
_STATE: Final = optional("state", Text(32), "Only those in this state.", "")
_ROLE: Final = optional("role", Choice(("requester", "worker")), "Only those in this role.", "")
_CURSOR: Final = optional("cursor", Text(256), "Where to go on.", "")
_LIMIT: Final = optional("limit", Whole(1, 200), "How many at most.", 50)
_SEARCH: Final = optional(
    "search",
    Text(SEARCH_BYTES),
    "Only those in which one message has all these words.",
    "",
)


async def _create(daemon: DaemonService, call: Call) -> Object:
    body = call.body
    if len(body[_TITLE]) > TITLE_CHARS:
        raise bad_value("title", f"title is longer than {TITLE_CHARS} characters.")
    requirements = body[_REQUIREMENTS]
    if body[_FORMAT]:
        requirements = (*requirements, f"Expected format: {body[_FORMAT]}")
    if len(requirements) > REASONS:
        raise bad_value("requirements", f"At most {REASONS} requirements, the expected format among them.")
    sent = await daemon.create_task(
        call.known_caller,
        NewTask(
            mine=body[_FROM],
            peer=body[_TO],
            title=body[_TITLE],
            brief=body[_DESCRIPTION],
            requirements=requirements,
            parts=attached(body[PARTS_FIELD], body[FILES]),
            deadline=body[_DEADLINE],
            revisions=body[_REVISIONS],
            budget=body[_BUDGET],
            runtime=(body[RUNTIME] or "").lower(),
            cause=body[_CAUSE],
        ),
    )
    task = sent.task or sent.message
    return {**sent_object(sent), "task_id": task.hex(), "state": sent.state}


async def _list(daemon: DaemonService, call: Call) -> Object:
    query, agent = call.query, call.query[_AGENT] or ""
    cut = False
    if query[_SEARCH]:
        states = frozenset({query[_STATE]} if query[_STATE] else ())
        search = TaskSearch(query[_SEARCH], states, query[_ROLE], agent)
        page = await daemon.history.tasks(call.known_caller, search, query[_CURSOR], query[_LIMIT])
        found, cursor, cut = page.tasks, page.cursor, page.cut
    else:
        found, cursor = await daemon.tasks(
            call.known_caller, agent, query[_STATE], query[_ROLE], query[_CURSOR], query[_LIMIT]
        )
    shown = [summary_object(task) for task in found]
    return {"tasks": shown, "cursor": cursor, "more": bool(cursor), "cut": cut}


async def _show(daemon: DaemonService, call: Call) -> Object:
    caller, task = call.known_caller, call.path[TASK_ID].lower()
    known, seconds = call.query[_MARK], call.query[_WAIT]
    if known and seconds:
        await while_serving(
            call,
            lambda: daemon.task(
                caller, task, lambda view: _marked(view)["mark"] == known, seconds, TaskWindow()
            ),
        )
    return _marked(await daemon.task(caller, task, window=TaskWindow()))


def _marked(task: TaskView) -> Object:
    shown = task_object(task)
    return {**shown, "mark": sha256(compact(shown)).hex()[:_MARK_DIGITS]}


async def _log(daemon: DaemonService, call: Call) -> Object:
    window = TaskWindow(call.query[_EVENTS], call.query[_PAGE_CURSOR].lower(), versions=0)
    task = await daemon.task(call.known_caller, call.path[TASK_ID].lower(), window=window)
    return {
        "task_id": task.summary.id.hex(),
        "state": task.summary.state,
        "events": [link_object(event) for event in task.events],
        "cursor": task.events_cursor,
        "more": bool(task.events_cursor),
    }


async def _versions(daemon: DaemonService, call: Call) -> Object:
    cursor = call.query[_PAGE_CURSOR].lower()
    window = TaskWindow(events=0, versions=call.query[_VERSIONS], versions_cursor=cursor)
    return versions_object(await daemon.task(call.known_caller, call.path[TASK_ID].lower(), window=window))


async def _artifact(daemon: DaemonService, call: Call) -> Download:
    path = call.path
    name, _, content = await daemon.artifact(
        call.known_caller, path[TASK_ID].lower(), path[_VERSION], path[_PART]
    )
    # What the peer calls its type stands in the task; as a header it could make a browser show it.
    return Download(content, name or f"version-{path[_VERSION]}-part-{path[_PART]}")


async def _export(daemon: DaemonService, call: Call) -> Download:
    task = call.path[TASK_ID].lower()
    content = await daemon.export_task(call.known_caller, task)
    return Download(content, f"task-{task[:12]}.handoff.cbor", "application/cbor")


_BYTES: Final = {"type": "string", "format": "binary"}
_BY_ID: Final = Form.of(TASK_ID)

ROUTES: Final = (
    Route(
        method="POST",
        path="/tasks",
        name="create_task",
        about="Ask a connected agent for work.",
        handler=_create,
        answer=ref("SentTask"),
        body=Form.of(
            _FROM,
            _TO,
            _TITLE,
            _DESCRIPTION,
            _REQUIREMENTS,
            _REVISIONS,
            _FORMAT,
            _DEADLINE,
            _BUDGET,
            RUNTIME,
            _CAUSE,
            PARTS_FIELD,
            FILES,
        ),
        body_bytes=BODY_WITH_FILES_BYTES,
        repeat=Repeat.ONCE,
    ),
    Route(
        method="GET",
        path="/tasks",
        name="list_tasks",
        about="Tasks, newest first.",
        handler=_list,
        answer=searched_page("tasks", ref("ListedTask")),
        query=Form.of(_SEARCH, _AGENT, _STATE, _ROLE, _CURSOR, _LIMIT),
    ),
    Route(
        method="GET",
        path="/tasks/{id}",
        name="show_task",
        about="One task, its newest events and versions, what can be done now; waits for news, if asked to.",
        handler=_show,
        answer=ref("Task"),
        parameters=_BY_ID,
        query=Form.of(_WAIT, _MARK),
    ),
    Route(
        method="GET",
        path="/tasks/{id}/log",
        name="task_log",
        about="The task's newest events with their chain links, oldest first; earlier ones before a cursor.",
        handler=_log,
        answer=ref("TaskLog"),
        parameters=_BY_ID,
        query=Form.of(_PAGE_CURSOR, _EVENTS),
    ),
    Route(
        method="GET",
        path="/tasks/{id}/versions",
        name="task_versions",
        about="The task's newest versions, oldest first; earlier ones before a cursor.",
        handler=_versions,
        answer=ref("TaskVersions"),
        parameters=_BY_ID,
        query=Form.of(_PAGE_CURSOR, _VERSIONS),
    ),
    Route(
        method="GET",
        path="/tasks/{id}/artifacts/{version}/{part}",
        name="download_part",
        about="The bytes of one part, as a download.",
        handler=_artifact,
        answer=_BYTES,
        parameters=Form.of(TASK_ID, _VERSION, _PART),
        media="application/octet-stream",
    ),
    Route(
        method="GET",
        path="/tasks/{id}/export",
        name="export_task",
        about="The signed history of the task, which anybody can verify offline.",
        handler=_export,
        answer=_BYTES,
        parameters=_BY_ID,
        media="application/cbor",
    ),
)
