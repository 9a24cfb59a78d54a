"""What is sent again, how often, and that a repeated request is the same one."""

from __future__ import annotations

import pytest

from taskferry_apps.client import DaemonAway, NotAllowed, NotReady, TooFast, Unauthorized
from taskferry_apps.client.calls import acknowledge, agents, own_agent, send_message
from taskferry_apps.client.plans import Ties

from .scripted import Script, ok, refusal

AWAY = DaemonAway("No daemon answers.")
SENT = {
    "message_id": "aa",
    "message_ids": ["aa"],
    "conversation": "",
    "delivery": {"rung": "queued", "at": "2030-01-01T00:00:00.000Z", "code": "", "history": []},
    "warnings": [],
}


def known() -> Ties:
    """Of a client whose daemon has answered before."""
    return Ties(30.0, "writer", is_known=True)


def test_a_repeated_post_carries_the_same_key():
    """However a try failed, the next one is the same request under the same key; another call has its own."""
    script = Script([AWAY, refusal(503, "storage"), refusal(429, "rate-limited", retry_after=2), ok(SENT)])
    assert script.play(send_message("writer", "@bob/x", "hi"), known()).message_id == "aa"
    assert len({(request.key, request.path, str(request.body)) for request in script.sent}) == 1
    assert script.sent[0].key
    assert script.pauses[-1] >= 2
    again = Script([ok(SENT)])
    again.play(send_message("writer", "@bob/x", "hi"), known())
    assert again.sent[0].key != script.sent[0].key


def test_a_program_may_keep_the_key_itself():
    """A key that is named is the one that is sent."""
    script = Script([ok(SENT)])
    script.play(send_message("writer", "@bob/x", "hi", key="order-7"))
    assert script.sent[0].key == "order-7"


def test_a_daemon_that_never_answered_is_away_at_once():
    """Where nothing has answered yet, waiting would start no daemon."""
    script = Script([AWAY])
    with pytest.raises(DaemonAway):
        script.play(agents(), Ties(30.0))
    assert script.pauses == []


def test_trying_again_ends_with_the_patience():
    """However long the daemon stays away: no more than the patience is waited, and the error says why."""
    script = Script([AWAY] * 200)
    with pytest.raises(DaemonAway):
        script.play(agents(), known())
    assert script.pauses
    assert script.now <= 30


def test_slow_failures_count_against_the_patience():
    """Tries that each take long are fewer."""
    script = Script([AWAY] * 200, slow_s=20)
    with pytest.raises(DaemonAway):
        script.play(agents(), known())
    assert len(script.sent) <= 2


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (refusal(429, "rate-limited", retry_after=3_600), TooFast),
        (refusal(429, "too-many"), TooFast),
        (refusal(429, "rate-limited", retry_after="soon"), TooFast),
        (refusal(429, "rate-limited", retry_after=True), TooFast),
        (refusal(503, "not-set-up"), NotReady),
        (refusal(503, "other-instance"), NotReady),
        (refusal(401, "unauthorized"), Unauthorized),
    ],
)
def test_what_waiting_does_not_cure_is_told_at_once(answer, kind):
    """An hour of waiting, a person's turn, nonsense for a number of seconds: the caller decides."""
    script = Script([answer])
    with pytest.raises(kind):
        script.play(acknowledge("aa"), known())
    assert script.pauses == []


def test_a_credential_for_several_agents_needs_a_name():
    """Which agent to act as is asked once, and never guessed."""
    agent = {
        "handle": "@bob/a",
        "name": "a",
        "display_name": "",
        "tagline": "",
        "description": "",
        "capabilities": [],
        "public": False,
        "created_at": "2030-01-01T00:00:00.000Z",
        "last_seen_at": None,
    }
    alone, several, named = Ties(1.0), Ties(1.0), Ties(1.0, "b")
    assert Script([ok({"agents": [agent]})]).play(own_agent(alone)) == "a"
    assert Script([]).play(own_agent(alone)) == "a"
    with pytest.raises(NotAllowed, match=r"a, b.*agent="):
        Script([ok({"agents": [agent, {**agent, "name": "b"}]})]).play(own_agent(several))
    with pytest.raises(NotAllowed, match="none"):
        Script([ok({"agents": []})]).play(own_agent(several))
    assert Script([]).play(own_agent(named)) == "b"
