"""Invites by the command line, between real processes: made, opened, confirmed, used up, refused."""

from __future__ import annotations

import base64
import re

import httpx
import pytest

from tests.cli.conftest import Shell, items, until

pytestmark = pytest.mark.journey

ASK = ("--no-browser", "--yes")


@pytest.fixture(scope="module")
def agents(alice: Shell, bob: Shell) -> None:
    """Agents that no other test connects."""
    for name in ("guest", "second", "third"):
        assert alice("agent", "create", name).code == 0
    made = bob("agent", "create", "host", "--display-name", "Host", "--tagline", "Makes reports", "--public")
    assert made.code == 0, made.err


def create(bob: Shell, *more: str) -> tuple[str, str, str]:
    """A fresh invite of Bob's: its link, page and id."""
    ran = bob("invite", "create", "--agent", "host", "--json", *more)
    assert ran.code == 0, ran.err
    made = ran.json()
    assert made["published"] is True
    invite = made["invite"]
    assert isinstance(invite, dict)
    return str(made["link"]), str(made["page"]), str(invite["id"])


def with_peer(shell: Shell, mine: str) -> list[dict[str, object]]:
    """Connections of one agent of Alice's."""
    return items(shell("connections", "--agent", mine, "--json"), "connections")


def requests(bob: Shell, state: str, peer: str) -> list[dict[str, object]]:
    """Bob's connections with one agent of Alice's."""
    found = items(bob("connections", "--agent", "host", "--state", state, "--json"), "connections")
    return [one for one in found if one["peer"] == f"@alice/{peer}"]


def test_an_invite_from_making_it_to_using_it_up(alice: Shell, bob: Shell, agents: None) -> None:
    """Created, shown on the relay's page, opened, asked for, marked as invited, approved, and used up."""
    shown = bob("invite", "create", "--agent", "host", "--note", "for Alice")
    assert shown.code == 0
    assert "one request, over in 7 d; what comes waits for you" in shown.out
    (link,) = re.findall(r"taskferry://\S+", shown.out)
    (page,) = re.findall(r"http://\S+/invite/\S+", shown.out)
    assert link.partition("#")[2] not in page
    assert "@bob/host" in httpx.get(page).text
    assert "for Alice" in bob("invite", "list").out
    assert link.rpartition("=")[2] not in bob("invite", "list", "--json").out

    refused = alice("open", "-", "--no-browser", stdin=link)
    assert refused.code == 2
    assert "Say which agent shall connect" in refused.err
    looked = alice("open", "-", "--no-browser", "--agent", "guest", stdin=link)
    assert looked.code == 2
    assert "Nothing was sent" in looked.err
    assert "@bob/host" in looked.out
    assert with_peer(alice, "guest") == []

    asked = alice("open", "-", *ASK, "--agent", "guest", "--note", "Hello", stdin=f"{link}\n")
    assert asked.code == 0, asked.err
    assert with_peer(alice, "guest")[0]["trust"] == "pinned"
    until(lambda: bob("connections"), lambda ran: "@alice/guest" in ran.out)
    (request,) = requests(bob, "requested_in", "guest")
    assert (request["invite_state"], request["trust"], request["note"]) == ("valid", "pinned", "Hello")
    assert "used up" in bob("invite", "list").out
    assert bob("approve", str(request["id"])[:8]).code == 0
    until(
        lambda: alice("connections", "--state", "accepted", "--agent", "guest", "--json"),
        lambda ran: bool(ran.json()["connections"]),
    )

    late = alice("open", "-", *ASK, "--agent", "second", stdin=link)
    assert late.code == 0, late.err
    until(lambda: bob("connections"), lambda ran: "@alice/second" in ran.out)
    assert requests(bob, "requested_in", "second")[0]["invite_state"] == "invite-used"
    until(lambda: alice("connections", "--agent", "second"), lambda ran: "used up" in ran.out)


def test_a_page_of_the_daemon_asks_the_owner(alice: Shell, bob: Shell, agents: None) -> None:
    """A one-time address shows whom the link leads to; the button asks, and the invite accepts by itself."""
    link, _, _ = create(bob, "--accept", "--classes", "message", "--task-budget", "0")
    opened = alice("open", "-", "--browser", "--json", stdin=link)
    assert opened.code == 0, opened.err
    url = httpx.URL(str(opened.json()["url"]))
    origin = f"http://{url.host}:{url.port}"
    with httpx.Client(base_url=origin, follow_redirects=True) as browser:
        page = browser.get(url)
        assert page.status_code == 200
        for words in ("@bob/host", "Host", "Makes reports", "Nobody has been asked"):
            assert words in page.text
        assert with_peer(alice, "third") == []
        form = dict(re.findall(r'name="(form_token)" value="([^"]+)"', page.text))
        form |= {"answer": "ask", "agent": "third", "note": ""}
        assert browser.post(page.url, data=form).status_code == 403, "no Origin"
        assert browser.post(page.url, data=form, headers={"Origin": "http://evil.example"}).status_code == 403
        assert with_peer(alice, "third") == []
        done = browser.post(page.url, data=form, headers={"Origin": origin})
        assert "Asked @bob/host" in done.text
    assert httpx.get(url, follow_redirects=True).status_code == 401, "the address worked once"
    until(
        lambda: alice("connections", "--state", "accepted", "--agent", "third", "--json"),
        lambda ran: bool(ran.json()["connections"]),
    )
    (one,) = with_peer(alice, "third")
    received = one["received"]
    assert isinstance(received, dict)
    assert received["classes"] == ["message"]


def test_a_withdrawn_invite_leads_nowhere(alice: Shell, bob: Shell, agents: None) -> None:
    """The relay forgets it, its page says so, and the link is refused with what to do."""
    link, page, id = create(bob)
    assert bob("invite", "revoke", id[:8]).code == 0
    until(
        lambda: alice("open", "-", *ASK, "--agent", "guest", stdin=link),
        lambda ran: ran.code == 5 and "withdrawn" in ran.err,
    )
    assert httpx.get(page).status_code == 404
    assert "withdrawn" in bob("invite", "list").out


def _other_secret(link: str) -> str:
    before, mark, secret = link.rpartition("secret=")
    return f"{before}{mark}{'B' if secret[0] == 'A' else 'A'}{secret[1:]}"


@pytest.fixture(scope="module")
def link(bob: Shell, agents: None) -> str:
    """The link of an invite that nobody uses."""
    return create(bob)[0]


@pytest.mark.parametrize(
    ("edit", "words", "code"),
    [
        (lambda link: link.replace("taskferry://127.0.0.1", "taskferry://relay.example"), "relay.example", 4),
        (lambda link: link.partition("#")[0], "cut off", 2),
        (lambda link: link[:-1], "damaged", 2),
        (lambda link: link.replace("/invite/", "/later/"), "no kind of link", 2),
        (lambda link: "https://example.org/", "the address of a page", 2),
        (_other_secret, "another invite", 4),
    ],
)
def test_a_link_that_does_not_hold_says_why(alice: Shell, link: str, edit, words: str, code: int) -> None:
    """A foreign relay, a link cut off, edited, of another kind, or none at all: one sentence, 2 or 4."""
    ran = alice("open", "-", *ASK, "--agent", "guest", stdin=edit(link))
    assert (ran.code, words in ran.err) == (code, True), ran.err
    assert link.rpartition("=")[2] not in ran.err + ran.out


def test_a_link_that_does_not_hold_is_explained_in_the_browser(alice: Shell, link: str) -> None:
    """Where a desktop opened it there is no terminal to say it in."""
    opened = alice("open", "-", "--browser", "--json", stdin=link.partition("#")[0])
    with httpx.Client(follow_redirects=True) as browser:
        assert "cut off" in browser.get(str(opened.json()["url"])).text


def test_agents_credential_neither_makes_nor_opens(alice: Shell, bob: Shell, link: str) -> None:
    """Inviting and opening are the owner's."""
    program = str(bob("token", "create", "host", "--json").json()["token"])
    assert bob("invite", "create", "--agent", "host", "--token", program).code == 4
    theirs = str(alice("token", "create", "guest", "--json").json()["token"])
    assert alice("open", "-", *ASK, "--agent", "guest", "--token", theirs, stdin=link).code == 4


def test_invite_wants_sensible_terms(bob: Shell, agents: None) -> None:
    """Permissions without --accept, a use too many, an end too late: refused before anything is made."""
    before = bob("invite", "list", "--json").out
    assert bob("invite", "create", "--agent", "host", "--classes", "message").code == 2
    assert bob("invite", "create", "--agent", "host", "--uses", "1001").code == 2
    late = bob("invite", "create", "--agent", "host", "--expires", "91d")
    assert late.code == 2
    assert "90 days" in late.err
    assert bob("invite", "create", "--agent", "nobody").code == 5
    assert bob("invite", "list", "--json").out == before


def test_nothing_to_open_is_said(alice: Shell) -> None:
    """An empty input, and one that is longer than any link."""
    assert alice("open", "-", stdin="\n").code == 2
    assert alice("open", "-", stdin="x" * 5000).code == 2


def test_no_secret_is_left_behind(alice: Shell, link: str) -> None:
    """No secret and no one-time address stands in a log, at the relay, or with whoever opened a link."""
    opened = str(alice("open", "-", "--browser", "--json", stdin=link).json()["url"])
    httpx.get(opened, follow_redirects=True)
    secret = link.rpartition("=")[2]
    canaries = [secret.encode(), base64.urlsafe_b64decode(secret + "=="), opened.rpartition("=")[2].encode()]
    places = [*alice.folder.glob("*.log"), *(alice.folder / "relay").iterdir(), *alice.data.iterdir()]
    searched = [place for place in places if place.is_file()]
    assert len(searched) >= 5
    for place in searched:
        content = place.read_bytes()
        assert not [canary for canary in canaries if canary in content], place
