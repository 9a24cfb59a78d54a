"""What answers mean, and what is believed of them."""

from __future__ import annotations

import inspect
import json
import pickle

import pytest

from taskferry_apps import client
from taskferry_apps.client import (
    ApprovalNeeded,
    AsyncClient,
    Attachment,
    Client,
    Conflict,
    DaemonFault,
    Locked,
    NotAllowed,
    NotFound,
    NotPossible,
    NotReady,
    NotTaskFerry,
    NotValid,
    PassedOn,
    Refused,
    TakenOver,
    TaskEnded,
    TooFast,
    Unauthorized,
)
from taskferry_apps.client.calls import message, status
from taskferry_apps.client.plans import Ties
from taskferry_apps.client.requests import Answer, as_object
from taskferry_apps.client.task_calls import accept, show_task

from .scripted import AT, URL, Script, a_task, ok, refusal

STATUS = {
    "status": "ok",
    "service": "daemon",
    "set_up": True,
    "handle_owner": "alice",
    "account": None,
    "device": None,
    "relay": None,
    "version": "1",
    "alarms": [],
    "changed_peers": [],
}


@pytest.mark.parametrize(
    ("code", "status_code", "kind"),
    [
        ("bad-value", 400, NotValid),
        ("unauthorized", 401, Unauthorized),
        ("owner-only", 403, NotAllowed),
        ("approval-needed", 403, ApprovalNeeded),
        ("not-found", 404, NotFound),
        ("ambiguous", 409, Conflict),
        ("not-possible", 409, NotPossible),
        ("taken-over", 409, TakenOver),
        ("too-large", 413, NotValid),
        ("unsupported-media", 415, NotValid),
        ("locked", 423, Locked),
        ("too-many", 429, TooFast),
        ("internal", 500, DaemonFault),
        ("not-set-up", 503, NotReady),
        ("teapot", 418, Refused),
    ],
)
def test_a_refusal_is_an_error_by_its_meaning(code, status_code, kind):
    """Status and code choose the class; sentence, next step and detail come along, through pickling too."""
    detail = {"state": "completed", "actions": ["a"], "approval": "aa", "field": "to", "retry_after": 99_999}
    with pytest.raises(Refused) as caught:
        Script([refusal(status_code, code, **detail)]).play(message("aa"), Ties(1.0))
    error = pickle.loads(pickle.dumps(caught.value))
    assert type(error) is kind
    assert (error.status, error.code, str(error)) == (status_code, code, "No. Mend it.")
    assert (error.state, error.actions, error.approval, error.field) == ("completed", ("a",), "aa", "to")
    assert error.retry_after == 99_999


def test_other_errors_travel_between_processes_too():
    """What a worker process raises arrives whole."""
    ended = TaskEnded("Over.", "Ask again.", task="aa", state="failed", reason="It broke")
    error = pickle.loads(pickle.dumps(ended))
    assert (str(error), error.task, error.state, error.reason) == (str(ended), "aa", "failed", "It broke")


def test_a_newer_daemon_may_tell_more():
    """Members that this client does not know are passed over."""
    assert Script([ok({**STATUS, "mood": {"good": [1]}})]).play(status()).owner == "alice"


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"[]",
        b"null",
        b"",
        b"\xff",
        b"[" * 100_000,
        {k: v for k, v in STATUS.items() if k != "alarms"},
        {**STATUS, "alarms": "none"},
        {**STATUS, "alarms": [1]},
        {**STATUS, "set_up": 1},
        {**STATUS, "relay": {"url": 7}},
        {**STATUS, "handle_owner": None},
    ],
)
def test_what_is_not_as_described_is_no_answer(body):
    """Another program's answer, or another shape, is one plain error and never a value of a wrong type."""
    answer = Answer(200, body, URL) if isinstance(body, bytes) else ok(body)
    with pytest.raises(NotTaskFerry):
        Script([answer]).play(status())


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'"x"', b'{"error": 1}', b'{"error": {}}', b"{}"])
def test_a_refusal_of_another_program_is_recognised(body):
    """A 404 of somebody else's server is not taken for a missing task."""
    with pytest.raises(NotTaskFerry):
        Script([Answer(404, body, URL)]).play(message("aa"))


def test_no_secret_and_no_content_is_shown():
    """Neither the credential nor a file's bytes stand in what is printed of objects and errors."""
    with Client(token="tfa_secret", url="http://127.0.0.1:9") as made:
        shown = [repr(made), repr(made.task("aa")), repr(vars(made)), repr(Attachment("a", b"content"))]
        try:
            made.agents()
        except client.DaemonAway as error:
            shown += [repr(error), str(error), repr(error.__cause__), repr(error.__context__)]
    assert not any("secret" in text or "content" in text for text in shown)


def test_methods_show_what_they_take():
    """Both kinds of client have the same methods, with the parameters and the text of what they describe."""
    names = {name for name in dir(Client) if not name.startswith("_")} - {"close", "url"}
    assert names <= set(dir(AsyncClient))
    for name in names - {"as_owner", "do", "do_once", "drop", "work", "events", "task", "runtime"}:
        blocking, waiting = getattr(Client, name), getattr(AsyncClient, name)
        assert inspect.signature(blocking) == inspect.signature(waiting)
        assert blocking.__doc__
        assert blocking.__doc__ == waiting.__doc__
    assert list(inspect.signature(Client.send_task).parameters)[:3] == ["self", "to", "title"]


def test_every_public_name_is_there():
    """Each name of the package can be imported from it; others are refused as usual."""
    for name in client.__all__:
        assert getattr(client, name) is not None
    assert sorted(client.__all__) == dir(client)
    with pytest.raises(AttributeError, match="nothing_such"):
        _ = client.nothing_such


def test_an_action_that_another_device_carries_out_is_neither_done_nor_lost():
    """The caller hears which device was asked, and under which id to look for what came of it."""
    told = {"passed_on": True, "request": {"request_id": "77ab", "task_id": "aa", "device": "laptop"}}
    answer = Answer(202, json.dumps({"ok": True, **told}).encode(), URL)
    with pytest.raises(PassedOn, match="laptop") as asked:
        accept("aa").read(answer)
    assert (asked.value.request, asked.value.device) == ("77ab", "laptop")
    assert as_object(answer)["passed_on"] is True


def test_an_answer_that_only_claims_to_be_passed_on_is_a_strangers():
    """A 202 that names no request is none of the local API's."""
    with pytest.raises(NotTaskFerry):
        accept("aa").read(Answer(202, b'{"ok": true}', URL))


def test_a_task_shows_who_writes_in_it_and_what_was_passed_on():
    """The device that acts, what it was asked, and how far a message came, in words."""
    asked = {
        **dict.fromkeys(("device", "agent", "code", "message"), "x"),
        **dict.fromkeys(("asked_at", "until"), AT),
        **dict.fromkeys(("ended_at", "event")),
        "request_id": "77ab",
        "action": "accept",
        "state": "waiting",
        "next": "Wait.",
    }
    delivery: dict[str, object] = {
        "rung": "relayed",
        "at": AT,
        "code": "",
        "history": [],
        "told": None,
        "words": "On its way.",
    }
    task = a_task(acts_on="laptop", requests=[asked], delivery=delivery)
    found = Script([ok(task)]).play(show_task("aa"))
    assert (found.acts_on, found.delivery.told, found.delivery.words) == ("laptop", None, "On its way.")
    (request,) = found.requests
    assert (request.id, request.action, request.next_step) == ("77ab", "accept", "Wait.")
