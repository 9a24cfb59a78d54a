"""A peer, and an own agent, that write what they like into every field: it is read, and does nothing else."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.cli.conftest import Shell

from .conftest import NARROW, WIDE, Seat, Sit, is_too_wide
from .town import Town, waited

#: What acts on a page, on a reader, or on whoever takes it for more than text.
ACTS = (
    "<script>window.ran = 1</script><img src=x onerror=\"window.ran = 1\"><svg onload='window.ran = 1'>"
    "</textarea></title><style>body{display:none}</style>"
    "<meta http-equiv=refresh content='0;url=//evil.example'>"
    "<base href=//evil.example><form action=//evil.example><input name=do value=complete>"
    "![x](http://evil.example/pixel.png) [go](javascript:window.ran=1) {{ 7 * 7 }} {% raw %}"
    "\u202egnp.exe\u2066 \u200b\u2060\ufeff \u0007\u001b[31mred\u001b]8;;http://evil.example\u0007 "
)
#: Unseen ones that may stand in one line of a card.
TURNS = "<img src=x onerror=window.ran=1>"
UNSEEN = "\u202e\u2066\u200b\u2060\ufeff\u0007\u001b"
#: The same for where controls are refused.
LINE = "".join(one for one in ACTS if one.isprintable() or one == " " or one in UNSEEN[:5])
LONG_NAME = "n" * 32


def filled(most: int, odd: str = ACTS) -> str:
    """As many bytes as are let through: what acts, then one word without an end."""
    return odd + "W" * (most - len(odd.encode()))


@pytest.fixture(scope="module")
def hostile(lived: Town) -> dict[str, str]:
    """Alice's `nnn…` and Bob's own `mmm…`, who say the worst; where each thing is shown at Bob's."""
    mine, theirs = "m" * 32, LONG_NAME
    for who, name in ((lived.alice, theirs), (lived.bob, mine)):
        who.post(
            "/agents",
            {
                "handle": name,
                "display_name": TURNS + "D" * 20,
                "tagline": TURNS + "T" * 100,
                "description": filled(2_000),
                "capabilities": [TURNS + "C" * 20],
            },
        )
    lived.alice.post("/connections/request", {"from": theirs, "to": f"@bob/{mine}", "message": filled(1_024)})

    def request() -> Any:
        found: Any = lived.bob.get("/connections", agent=mine)["connections"]
        return found[0] if found else None

    connection = str(waited(request)["id"])
    return {"mine": mine, "theirs": theirs, "connection": connection}


@pytest.fixture(scope="module")
def said(lived: Town, hostile: dict[str, str]) -> dict[str, str]:
    """The same, connected, with a task at the gate, one in full, messages and questions."""
    mine, theirs, alice, bob = hostile["mine"], hostile["theirs"], lived.alice, lived.bob
    bob.post("/connections/accept", {"id": hostile["connection"], "permissions": {"human_gate": True}})
    asked = {
        "from": theirs,
        "to": f"@bob/{mine}",
        "title": LINE[:140] + UNSEEN[:5] + "L" * 50,
        "description": filled(20_000),
        "requirements": [filled(2_000), filled(1_000)],
        "parts": [
            {"kind": "text", "text": filled(9_000), "name": TURNS + UNSEEN[:5] + "P" * 180},
            {"kind": "json", "json": {ACTS: [ACTS, {"<b>": "J" * 3_000}]}, "name": "x.json\u202e"},
            {
                "kind": "file",
                "name": "page<img src=x>\u202egnp.html",
                "media": "text/html; charset=utf-7",
                "data_base64": base64.b64encode(b"<script>window.ran = 1</script>").decode(),
            },
            {
                "kind": "file",
                "name": "F" * 240 + ".svg",
                "media": "image/svg+xml",
                "data_base64": base64.b64encode(
                    b"<svg xmlns='http://www.w3.org/2000/svg'><script>window.ran = 1</script></svg>"
                ).decode(),
            },
        ],
    }
    waited(
        lambda: [
            one
            for one in as_list(alice.get("/connections", agent=theirs)["connections"])
            if one["state"] == "accepted"
        ]
    )
    held = str(alice.post("/tasks", {**asked, "title": "Held: " + LINE[:150]})["task_id"])
    task = str(alice.post("/tasks", asked)["task_id"])
    waited(
        lambda: len([1 for one in as_list(bob.get("/gates")["tasks"]) if one["task_id"] in (held, task)]) == 2
    )
    bob.post("/gates/release", {"id": task})
    bob.task_action(task, "accept", {"message": filled(600)})
    lived.in_state(alice, task, "accepted")
    bob.task_action(task, "progress", {"message": filled(600), "percent": 3})
    work = {"parts": [{"kind": "text", "text": filled(3_000), "name": TURNS}], "notes": filled(900)}
    for version in (1, 2):
        bob.task_action(task, "artifacts", {**work, "answers": version - 1})
        lived.in_state(alice, task, "submitted" if version == 1 else "resubmitted")
        if version == 1:
            alice.task_action(task, "revision", {"requested_changes": [filled(2_000), ACTS]})
            lived.in_state(bob, task, "revision_requested")
    alice.post(
        "/messages/send",
        {"from": theirs, "to": f"@bob/{mine}", "text": filled(20_000), "payload": {ACTS: filled(2_000)}},
    )
    message = waited(
        lambda: (
            [one for one in as_list(bob.get("/messages", agent=mine)["messages"]) if "payload" in str(one)]
            or as_list(bob.get("/messages", agent=mine)["messages"])
        )
    )[0]
    question: Any = bob.post(
        "/approvals",
        {"from": mine, "class": "shell", "what": filled(2_000), "why": filled(1_000), "task_id": task},
    )
    bob.post("/tokens", {"agents": [mine], "label": TURNS + "K" * 30})
    bob.post("/runtimes", {"agent": mine, "program": TURNS + "R" * 30, "lease_s": 3600})
    bob.post("/breakers", {"from": mine, "to": f"@alice/{theirs}", "messages": 1})
    for text in (filled(2_000), filled(3_000)):
        alice.post("/messages/send", {"from": theirs, "to": f"@bob/{mine}", "text": text})
    stops = waited(lambda: [one for one in as_list(bob.get("/stops")["stops"]) if theirs in str(one)])
    return {
        **hostile,
        "stop": str(stops[0]["id"]),
        "held": held,
        "task": task,
        "conversation": str(message["conversation"]),
        "question": str(question["approval"]["id"]),
    }


def as_list(value: Any) -> list[Any]:
    """A list in an answer."""
    assert isinstance(value, list)
    return value


def inert(page: Page, where: str) -> list[str]:
    """What is wrong: something ran, something of others became an element, or the page is too wide."""
    found = []
    page.wait_for_load_state("load")
    if page.evaluate("window.ran !== undefined"):
        found.append(f"{where}: a script ran")
    planted = page.evaluate(
        "[...document.querySelectorAll('main script, main img, main style, main meta, main base, main iframe,"
        " [onerror], [onload], [src*=evil], [href*=evil], [action*=evil], a[href^=javascript]')]"
        ".map(one => one.outerHTML.slice(0, 200))"
    )
    found += [f"{where}: {one}" for one in planted]
    # What stands in a field for its owner to change is as it was written, or saving would change it.
    text = page.evaluate(
        "(() => { const whole = document.documentElement.cloneNode(true);"
        " whole.querySelectorAll('textarea').forEach(one => one.remove()); return whole.textContent; })()"
    )
    found += [f"{where}: U+{ord(one):04X} is there unseen" for one in UNSEEN if one in text]
    if is_too_wide(page):
        widest = page.evaluate(
            "[...document.querySelectorAll('body *')].filter(one => one.getBoundingClientRect().right >"
            " document.documentElement.clientWidth + 1).slice(0, 3).map(one => one.outerHTML.slice(0, 160))"
        )
        found.append(f"{where}: one has to scroll sideways: {widest}")
    return found


def rooms(said: dict[str, str]) -> list[str]:
    """Every page that shows something of them."""
    task, mine = f"/dashboard/tasks/{said['task']}", said["mine"]
    return [
        *("/dashboard", "/dashboard/waiting", "/dashboard/tasks", "/dashboard/messages"),
        *(task, f"{task}?brief=whole", f"{task}/compare", f"{task}/compare?from=0&to=1"),
        *(f"{task}/read/0/0", f"{task}/read/0/1", f"{task}/read/0/2", f"{task}/read/2/0"),
        f"/dashboard/messages/{said['conversation']}",
        *("/dashboard/messages?q=evil", f"/dashboard/messages?agent={mine}"),
        f"/dashboard/waiting/tasks/{said['held']}",
        f"/dashboard/waiting/questions/{said['question']}",
        f"/dashboard/waiting/stops/{said['stop']}",
        *("/dashboard/connections", f"/dashboard/connections/{said['connection']}"),
        f"/dashboard/connections/{said['connection']}/permissions",
        *("/dashboard/agents", f"/dashboard/agents/{mine}", "/dashboard/programs", "/dashboard/audit"),
        *("/dashboard/tasks/new", "/dashboard/messages/new", "/dashboard/peers", "/dashboard/rules"),
    ]


def test_a_request_of_the_worst_kind_is_read_before_it_is_answered(hostile, bob: Shell, sit: Sit):
    """Its note does nothing where requests wait, and stands in full on the page of the connection."""
    seat = sit(bob, width=NARROW)
    seat.enter()
    found: list[str] = []
    for path in (
        "/dashboard/waiting",
        "/dashboard/connections",
        f"/dashboard/connections/{hostile['connection']}",
    ):
        found += inert(seat.go(path), path)
    assert found == []
    expect(seat.page.locator("main .words")).to_contain_text("<script>window.ran = 1</script>")
    expect(seat.page.locator("main .words")).to_contain_text("<U+202E>gnp.exe")


@pytest.mark.parametrize("width", [NARROW, WIDE])
def test_nothing_that_was_written_runs_asks_elsewhere_or_breaks_the_page(said, bob, sit, width):
    """On every page that shows it; that nothing is asked of another server is watched on each."""
    seat = sit(bob, width=width)
    seat.enter()
    found: list[str] = []
    for path in rooms(said):
        found += inert(seat.go(path), path)
        if width == WIDE:
            continue
        # What is folded away is looked at, too.
        seat.page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
        found += inert(seat.page, f"{path}, unfolded")
    assert found == []


def test_the_words_are_there_to_be_read_with_what_is_unseen_named(said, bob, sit):
    """Markup, Markdown and templates stand as they were written; each unseen character is its code."""
    seat = sit(bob)
    seat.enter()
    main = seat.page.locator("main")
    for path in (f"/dashboard/tasks/{said['task']}", f"/dashboard/waiting/tasks/{said['held']}"):
        seat.go(path)
        expect(main).to_contain_text("<script>window.ran = 1</script>")
        expect(main).to_contain_text("![x](http://evil.example/pixel.png)")
        expect(main).to_contain_text("{{ 7 * 7 }}")
        for code in ("<U+202E>", "<U+200B>", "<U+FEFF>", "<U+001B>"):
            expect(main).to_contain_text(code)
    expect(main).to_contain_text("cannot be seen, though agents read them")


def test_what_a_peer_sends_as_a_file_is_saved_and_never_shown(said, bob, sit):
    """A page and a drawing come as downloads of plain bytes, which no browser is to guess about."""
    seat = sit(bob)
    page = seat.enter()
    base = f"{seat.origin}/dashboard/tasks/{said['task']}/artifacts/0"
    gate = f"{seat.origin}/dashboard/waiting/tasks/{said['held']}/parts"
    for address in (f"{base}/0", f"{base}/1", f"{base}/2", f"{base}/3", f"{gate}/3", f"{gate}/4"):
        answer = page.request.get(address)
        headers = answer.headers
        assert answer.status == 200, address
        assert headers["content-type"].startswith("application/octet-stream"), address
        assert headers["content-disposition"].startswith("attachment;"), address
        assert headers["x-content-type-options"] == "nosniff", address
        assert "sandbox" in headers["content-security-policy"], address
        assert all(one.isascii() and one.isprintable() for one in headers["content-disposition"])
    seat.go(f"/dashboard/tasks/{said['task']}")
    before = page.url
    with page.expect_download() as caught:
        page.locator(f"a[href='/dashboard/tasks/{said['task']}/artifacts/0/2']").first.click()
    name = caught.value.suggested_filename
    assert name.endswith(".html")
    assert not any(one in name for one in UNSEEN)
    assert page.url == before
    assert page.evaluate("window.ran") is None


def test_a_title_of_others_cannot_pass_for_the_page_itself(said, bob, sit):
    """The tab's title and the heading hold it in one line, kept apart from the words around it."""
    seat: Seat = sit(bob)
    seat.enter()
    page = seat.go(f"/dashboard/tasks/{said['task']}")
    assert page.title().endswith("· TaskFerry")
    assert not any(one in page.title() for one in UNSEEN)
    expect(page.locator("h1 bdi")).to_have_count(1)
