"""The page of the owner's agents: what it says of them, and what its buttons change."""

from __future__ import annotations

import pytest

from taskferry_apps.daemon.pages.agents import _CLASSES, _MODES
from taskferry_apps.daemon.pages.owner import OWNER
from taskferry_protocol.gates import ActionClass, AgentMode

from .browsing import ODD

PLACE = "/dashboard/agents"


def test_page_speaks_of_every_mode_and_class_of_action():
    """None is left out, and none is invented."""
    assert {word for word, _ in _MODES} == {mode.value for mode in AgentMode}
    assert {word for word, _ in _CLASSES} == {action.value for action in ActionClass}


async def test_agents_are_listed_with_mode_and_connections(alice):
    """One look says who there is."""
    text = await alice.page(PLACE)
    for words in ("@alice/requester", "offline", "no program has run it yet", "private", ">0</td>", "open"):
        assert words in text


async def test_agent_is_made_from_the_page(alice):
    """Its own page follows, with a line that says so, once."""
    text = await alice.done(
        PLACE, "", do="create", name="writer", tagline="Writes & edits", public="yes", description="Prose."
    )
    for words in ("@alice/writer is made.", "Writes &amp; edits", "everybody: the relay may list it"):
        assert words in text
    assert "is made." not in await alice.page(f"{PLACE}/writer")


async def test_card_is_changed_from_the_page(alice):
    """What is there stands in the form; a form that began with another card changes nothing."""
    place = f"{PLACE}/requester"
    first = {"do": "card", "version": "1", "tagline": "Asks & asks", "capabilities": "review, , prose"}
    text = await alice.done(place, "", **first, description="One\r\ntwo", public="yes")
    for words in (
        "is signed anew",
        'value="Asks &amp; asks"',
        'value="prose, review"',
        "One\ntwo</textarea>",
    ):
        assert words in text
    assert 'name="public" value="yes" checked' in text
    late = await alice.press(place, "", **{**first, "tagline": "Late"})
    assert late.status == 409
    assert "Late" not in await alice.page(place)
    again = {**first, "version": "2", "description": "One\ntwo", "public": "yes"}
    assert "The card is as it was." in await alice.done(place, "", **again)


async def test_agents_words_stay_words(alice):
    """Whatever stands in a card runs nowhere and turns nothing around."""
    await alice.done(PLACE, "", do="create", name="odd", tagline=ODD, description=ODD, display_name=ODD[:40])
    for path in (PLACE, f"{PLACE}/odd"):
        text = await alice.page(path)
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
        assert "**b** [x](javascript:alert(1))" in text


async def test_name_that_is_taken_is_refused_in_words(alice):
    """Nothing is made."""
    answer = await alice.press(PLACE, "", do="create", name="requester")
    assert answer.status == 409
    assert b"There is an agent requester already." in answer.raw
    assert len(await alice.api.daemon.agents(OWNER)) == 1


@pytest.mark.parametrize("mode", ["guarded", "read-only", "open"])
async def test_mode_is_set_and_shown(alice, mode):
    """And it counts: the daemon says the same."""
    text = await alice.done(f"{PLACE}/requester", "", do="mode", mode=mode)
    assert f"@alice/requester is {mode} from now on." in text
    assert f'value="{mode}" checked' in text
    (held,) = (await alice.api.ok("GET", "/modes"))["modes"]
    assert held["mode"] == mode


async def test_telling_is_switched_off_and_on(alice):
    """What senders are told."""
    await alice.done(f"{PLACE}/requester", "", do="tell", tells="nothing")
    assert (await alice.api.ok("GET", "/modes"))["modes"][0]["tells"] is False
    await alice.done(f"{PLACE}/requester", "", do="tell", tells="all")
    assert (await alice.api.ok("GET", "/modes"))["modes"][0]["tells"] is True


def _policies(**other: str) -> dict[str, str]:
    fields = {action: "ask" for action, _ in _CLASSES} | {f"was-{action}": "ask" for action, _ in _CLASSES}
    return {"do": "policies"} | fields | other


async def test_what_is_decided_ahead_is_set_where_it_differs(alice):
    """One entry in the audit log, for the one that was changed."""
    text = await alice.done(f"{PLACE}/requester", "", **_policies(deletions="never"))
    assert "Decided ahead: deletions never." in text
    log = await alice.api.ok("GET", "/audit", kind="gate_changed")
    assert [entry["facts"]["action"] for entry in log["entries"]] == ["deletions"]


async def test_stale_form_decides_nothing(alice):
    """Somebody has decided otherwise since the page was loaded."""
    await alice.done(f"{PLACE}/requester", "", **_policies(shell="never"))
    answer = await alice.press(f"{PLACE}/requester", "", **_policies(mail="always"))
    assert answer.status == 409
    (held,) = (await alice.api.ok("GET", "/modes"))["modes"]
    assert (held["policies"]["shell"], held["policies"]["mail"]) == ("never", "ask")


@pytest.mark.parametrize(
    "fields",
    [
        {"do": "mode", "mode": "free"},
        {"do": "mode"},
        {"do": "tell", "tells": "x"},
        {"do": "x"},
        {},
        _policies(shell="maybe"),
    ],
)
async def test_form_of_nobody_is_refused(alice, fields):
    """Words that the page does not offer."""
    answer = await alice.press(f"{PLACE}/requester", "", **fields)
    assert answer.status == 400
    assert (await alice.api.ok("GET", "/modes"))["modes"][0]["mode"] == "open"


async def test_agent_that_is_not_there_has_no_page(alice):
    """Nor one whose name is no name."""
    for name in ("nobody", "..%2f..", "%3Cscript%3E"):
        assert (await alice.get(f"{PLACE}/{name}")).status == 404


async def test_looking_counts_as_no_sign_of_an_agent(alice):
    """Whoever looks at an agent's page is not that agent."""
    await alice.page(f"{PLACE}/requester")
    (agent,) = (await alice.api.ok("GET", "/agents"))["agents"]
    assert agent["last_seen_at"] is None


async def test_agent_is_withdrawn_from_the_page(alice):
    """What ends with it is said before; it is gone from the list after."""
    await alice.done(PLACE, "", do="create", name="passing")
    assert "It cannot be taken back" in await alice.page(f"{PLACE}/passing")
    assert "@alice/passing is withdrawn" in await alice.done(f"{PLACE}/passing", "", do="withdraw")
    assert "passing" not in await alice.page(PLACE)
