"""The dashboard's tasks: what is shown, what the buttons do, and that nobody's text acts on the page."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest

from taskferry_apps.daemon.pages.door import FILES_FORM_BYTES
from taskferry_apps.daemon.port import Caller, DaemonRefusal, GrantChange
from taskferry_protocol.handoff import verify_handoff
from taskferry_protocol.ids import Hash
from taskferry_protocol.limits import MINUTE_MS
from taskferry_protocol.messages import FilePart, JsonPart, TextPart
from tests.daemon.api.house import HOST, Answer, serve_api
from tests.daemon.api.test_pages import ORIGIN, Guests, hidden
from tests.daemon.worlds import OWNER, a_world, act, ask, connected, in_state, until

NASTY = "<script>alert(1)</script>\u202e**bold** [x](javascript:alert(1)) <img src=x onerror=alert(1)>"
BOUNDARY = "----form"


@attrs.define
class Desk(Guests):
    """Alice's requester and Bob's writer, connected; the browser is Alice's, or Bob's after `sit`."""

    here: Any = None
    there: Any = None

    async def sit(self, owner: str) -> None:
        """Let the browser be that owner's, signed in."""
        if (self.here is self.alice.daemon) != (owner == "alice"):
            self.alice, self.bob = self.bob, self.alice
        await self.sign_in("/dashboard")

    async def see(self, path: str, status: int = 200) -> str:
        """A page's text."""
        answer = await self.browse("GET", path)
        assert answer.status == status, answer.raw.decode()[:3000]
        text = answer.raw.decode()
        assert_inert(text)
        return text

    async def send(
        self,
        path: str,
        form: Mapping[str, str],
        files: tuple[tuple[str, str, bytes], ...] = (),
        **headers: str | None,
    ) -> Answer:
        """A form with files, as browsers write it."""
        pieces = [
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
            for name, value in form.items()
        ]
        pieces += [
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n'
            f"Content-Type: {media}\r\n\r\n".encode()
            + data
            + b"\r\n"
            for name, media, data in files
        ]
        body = b"".join(pieces) + f"--{BOUNDARY}--\r\n".encode()
        sent: dict[str, str | None] = {
            "Host": HOST,
            "Origin": ORIGIN,
            "Sec-Fetch-Site": "same-origin",
            "Cookie": self.cookie,
            "Content-Type": f"multipart/form-data; boundary={BOUNDARY}",
            "Content-Length": str(len(body)),
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        client: Any = self.alice.app.test_client(use_cookies=False)
        response = await client.open(
            path,
            method="POST",
            data=body,
            headers={name: value for name, value in sent.items() if value is not None},
        )
        found = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status_code, found, bytes(await response.get_data(as_text=False)))

    async def press(self, task: Hash, do: str, **fields: str) -> Answer:
        """A button on a task's page as it is now."""
        path = page_of(task)
        form = hidden(await self.browse("GET", path))
        return await self.browse("POST", path, {**form, "do": do, **fields})


def assert_inert(text: str) -> None:
    """No script, style or handler in the page, and none of the peer's markup in any form."""
    tags = " ".join(re.findall(r"<[^>]*>", text))
    assert not re.search(r"<script(?! src=\"/assets/)|<style|\son\w+=|\sstyle=", tags)
    assert "<script>alert" not in text
    assert "<img src=x" not in text
    assert "\u202e" not in text
    assert "<strong>bold" not in text
    assert 'href="javascript' not in text


def page_of(task: Hash) -> str:
    """Where a task is shown."""
    return f"/dashboard/tasks/{task.hex()}"


@asynccontextmanager
async def a_desk() -> AsyncIterator[Desk]:
    """Both daemons, connected, and Alice's browser signed in."""
    async with a_world() as world, connected(world) as (a, b):
        made = Desk(world, serve_api(a), serve_api(b), "", here=a, there=b)
        await made.sign_in("/dashboard")
        yield made


@pytest.fixture
async def desk():
    """Alice at her dashboard."""
    async with a_desk() as made:
        yield made


async def a_submitted(desk: Desk, *texts: str) -> Hash:
    """A task of Alice's with a version for each text, one revision asked between two of them."""
    task = await ask(desk.here, "requester", "@bob/writer")
    await in_state(desk.there, task, "sent")
    await act(desk.there, task, "accept")
    state = "submitted"
    for at, text in enumerate(texts):
        if at:
            await in_state(desk.here, task, state)
            await act(desk.here, task, "revise", reasons=("Once more.",))
            await in_state(desk.there, task, "revision_requested")
            state = "resubmitted"
        await act(desk.there, task, "submit", parts=(TextPart(text, "report"),))
    await in_state(desk.here, task, state)
    return task


# --- Overview and list


async def test_overview_leads_a_fresh_owner_and_then_steps_back(desk):
    """First steps are shown until there was a task; then what is in motion is."""
    text = await desk.see("/dashboard")
    assert "First steps" in text
    task = await ask(desk.here, "requester", "@bob/writer", title="A task that moves")
    text = await desk.see("/dashboard")
    assert "First steps" not in text
    assert "A task that moves" in text
    assert page_of(task) in text
    assert "connected" in text
    assert '<svg viewBox="0 0 600' in text


async def test_overview_says_that_the_relay_is_gone_and_that_nothing_is_lost(desk):
    """Not reached, how much waits, and what to do."""
    desk.world.stop_relay()

    async def gone():
        return not (await desk.here.status()).relay.connected

    await until(gone)
    await ask(desk.here, "requester", "@bob/writer")
    text = await desk.see("/dashboard")
    assert "not reached" in text
    assert "taskferry doctor" in text
    assert re.search(r"Waiting to be sent</dt><dd>[1-9]", text)


async def test_list_is_found_by_words_filters_and_pages(desk):
    """Each filter narrows, an older page follows, and wrong filters are explained with the form kept."""
    for at in range(31):
        await ask(desk.here, "requester", "@bob/writer", title=f"Number {at:02}")
    first = await desk.see("/dashboard/tasks")
    assert len(re.findall(r'<a href="/dashboard/tasks/[0-9a-f]{64}"', first)) == 30
    older = re.search(r'href="(/dashboard/tasks\?[^"]*cursor=[^"]+)"', first)
    assert older is not None
    assert "Number 00" in await desk.see(older[1].replace("&amp;", "&"))
    found = await desk.see(
        "/dashboard/tasks?q=number+07&state=open&role=requester&turn=peer&peer=@bob/writer"
    )
    assert "Number 07" in found
    assert "Number 08" not in found
    assert "No task is like that" in await desk.see("/dashboard/tasks?state=completed")
    wrong = await desk.see("/dashboard/tasks?peer=nobody&q=kept", 400)
    assert 'role="alert"' in wrong
    assert 'value="kept"' in wrong
    assert 'role="alert"' in await desk.see("/dashboard/tasks?state=%3Cb%3E", 400)


async def test_task_that_came_and_was_not_read_is_marked_and_looking_does_not_read_it(desk):
    """The owner's eyes are not the agent's."""
    task = await ask(desk.here, "requester", "@bob/writer")
    await in_state(desk.there, task, "sent")
    await desk.sit("bob")
    for _ in range(2):
        assert "1 unread" in await desk.see("/dashboard/tasks")
        assert "1 unread" in await desk.see(page_of(task))


# --- One task


async def test_page_tells_the_whole_story(desk):
    """Who did what, what was asked, delivered and revised, and whose turn it is."""
    task = await a_submitted(desk, "first\nline", "second\nline")
    text = await desk.see(page_of(task))
    for words in (
        "asked for it",
        "submitted version 2",
        "asked for a revision",
        "Once more.",
        "It is the turn of your agent @alice/requester.",
        "1 of 3 asked",
        "Take version 2",
        "second\nline",
    ):
        assert words in text
    assert "Accept<" not in text, "what cannot be done is not offered"
    short = await desk.browse("GET", page_of(task)[:-50])
    assert (short.status, short.headers["location"]) == (303, page_of(task))


@pytest.mark.parametrize("name", ["0" * 64, "zz", "..%2f", "0" * 7])
async def test_no_such_task_is_said_so(desk, name):
    """Whatever stands in the address."""
    assert "no" in (await desk.see(f"/dashboard/tasks/{name}", 404)).lower()


async def test_peers_text_is_inert_everywhere(desk):
    """Title, brief, requirement, reason, notes, names and parts: markup is text, and what hides is shown."""
    task = await ask(
        desk.here,
        "requester",
        "@bob/writer",
        title=NASTY[:200],
        brief=NASTY,
        requirements=(NASTY,),
        parts=(TextPart(NASTY, NASTY[:200]), JsonPart('{"a":"<script>alert(1)</script>"}', "x")),
    )
    await in_state(desk.there, task, "sent")
    await act(desk.there, task, "accept", text=NASTY)
    await act(desk.there, task, "progress", text=NASTY, percent=50)
    await act(
        desk.there, task, "submit", text=NASTY, parts=(FilePart.of("a.html", "text/html", NASTY.encode()),)
    )
    await in_state(desk.here, task, "submitted")
    await act(desk.here, task, "revise", reasons=(NASTY,))
    for owner in ("alice", "bob"):
        await desk.sit(owner)
        for path in (
            "/dashboard",
            "/dashboard/tasks",
            page_of(task),
            f"{page_of(task)}/compare?from=0&to=1",
            f"{page_of(task)}/read/1/0",
            f"{page_of(task)}/read/0/0",
        ):
            text = await desk.see(path)
            assert "&lt;script&gt;alert" in text or path == "/dashboard"
        assert "&lt;U+202E&gt;" in await desk.see(page_of(task))


async def test_files_are_saved_and_never_shown(desk):
    """Whatever a peer calls its type: an attachment of no type, sandboxed, under a harmless name."""
    page = FilePart.of('a"; x=é.html', "text/html", b"<script>alert(1)</script>")
    task = await ask(desk.here, "requester", "@bob/writer", parts=(page,))
    answer = await desk.browse("GET", f"{page_of(task)}/artifacts/0/0")
    assert (answer.status, answer.raw) == (200, page.data)
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].startswith('attachment; filename="a___x__.html"')
    assert "sandbox" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    for path in ("artifacts/0/1", "artifacts/1/0", "artifacts/0/x", "artifacts/-1/0", "read/0/7", "read/9/0"):
        assert (await desk.browse("GET", f"{page_of(task)}/{path}")).status == 404


async def test_two_versions_are_compared(desk):
    """Lines that went and came, words within them, and what was to be changed."""
    task = await a_submitted(desk, "one\ntwo red\nthree", "one\ntwo blue\nthree\nfour")
    text = await desk.see(f"{page_of(task)}/compare")
    assert "<del>red</del>" in text
    assert "<ins>blue</ins>" in text
    assert "Once more." in text
    assert "1 line gone, 2 come" in text
    assert "nothing to compare" in await desk.see(f"{page_of(task)}/compare?from=0&to=0")
    await desk.see(f"{page_of(task)}/compare?from=7&to=2", 404)


async def test_giant_and_binary_parts_do_not_make_giant_pages(desk):
    """What is too long or no text is left to a download, and the page says so."""
    task = await ask(desk.here, "requester", "@bob/writer", brief="b" * 60_000)
    await in_state(desk.there, task, "sent")
    await act(desk.there, task, "accept")
    parts = (TextPart("x\n" * 40_000, "long"), FilePart.of("bytes", "text/plain", bytes(range(256))))
    await act(desk.there, task, "submit", parts=parts)
    await in_state(desk.here, task, "submitted")
    text = await desk.see(page_of(task))
    assert len(text) < 150_000
    assert "Read the rest of the brief" in text
    assert "b" * 60_000 in await desk.see(f"{page_of(task)}?brief=whole")
    assert len(await desk.see(f"{page_of(task)}/read/1/0")) < 150_000
    assert "no text" in await desk.see(f"{page_of(task)}/read/1/1")
    assert len(await desk.see(f"{page_of(task)}/compare?from=0&to=1")) < 150_000


UNSEEN = "\u202e"


async def test_long_history_of_revisions_makes_no_giant_page(desk):
    """A worker submits as often as it likes: a page has so many versions, one in full, and leads to all."""
    requirements = tuple(f"{at}{UNSEEN * 600}" for at in range(32))
    task = await ask(desk.here, "requester", "@bob/writer", brief=UNSEEN * 20_000, requirements=requirements)
    await in_state(desk.there, task, "sent")
    await act(desk.there, task, "accept")
    for version in range(1, 14):
        parts = tuple(TextPart(UNSEEN * 1_400, f"{version}-{at}-{'<' * 200}") for at in range(32))
        await act(desk.there, task, "submit", parts=parts, text=f"note {version} {UNSEEN * 4_000}")

    async def came():
        return len((await desk.here.task(OWNER, task.hex())).versions) == 13

    await until(came)
    reasons = tuple(f"reason {at} {UNSEEN * 600}" for at in range(32))
    await act(desk.here, task, "revise", reasons=reasons)
    text = await desk.see(page_of(task))
    assert len(text) < 250_000
    assert re.findall(r'id="version-(\d+)"', text) == [str(n) for n in range(13, 3, -1)]
    assert all(f"{page_of(task)}/artifacts/13/{at}" in text for at in range(32))
    assert "reason 31 " in text
    assert f"{page_of(task)}/artifacts/12/31" not in text
    (earlier,) = re.findall(r'href="([^"]*version=3#work)"', text)
    text = await desk.see(earlier.partition("#")[0])
    assert len(text) < 250_000
    assert re.findall(r'id="version-(\d+)"', text) == ["3", "2", "1"]
    assert all(f"{page_of(task)}/artifacts/3/{at}" in text for at in range(32))
    text = await desk.see(f"{page_of(task)}?brief=whole")
    assert text.count("&lt;U+202E&gt;") >= 20_000 + 32 * 600


async def test_page_says_where_it_cuts_what_grows_by_being_shown(desk):
    """Characters that nobody sees are written as their codes, of which fewer fit: the page says so, too."""
    task = await ask(desk.here, "requester", "@bob/writer", brief=UNSEEN * 4_000)
    await in_state(desk.there, task, "sent")
    await act(desk.there, task, "accept")
    await act(desk.there, task, "submit", parts=(TextPart(UNSEEN * 1_000, "a"), TextPart(UNSEEN * 10_000)))
    await in_state(desk.here, task, "submitted")
    text = await desk.see(page_of(task))
    assert "Read the rest of the brief" in text
    assert "(2,000 more characters)" in text
    assert text.count("Read on") == 2
    text = await desk.see(f"{page_of(task)}?brief=whole")
    assert text.count("&lt;U+202E&gt;") == 4_000 + 2 * 500
    assert "The rest is left out" not in await desk.see(f"{page_of(task)}/read/1/0")
    assert "The rest is left out" in await desk.see(f"{page_of(task)}/read/1/1")


async def test_many_parts_that_differ_in_everything_take_no_more_time_than_one(desk):
    """A peer sends as many of them as fit: one is compared within the page's bounds, the rest is left out."""
    task = await ask(desk.here, "requester", "@bob/writer", brief="Write")
    await in_state(desk.there, task, "sent")
    await act(desk.there, task, "accept")
    for step in (7, 11):
        lines = [str(at * step % 97) for at in range(700)]
        parts = tuple(TextPart("\n".join(lines[at:]), f"part-{at}") for at in range(32))
        await act(desk.there, task, "submit", parts=parts)

    async def both_came():
        return len((await desk.here.task(OWNER, task.hex())).versions) == 2

    await until(both_came)
    text = await desk.see(f"{page_of(task)}/compare?from=1&to=2")
    assert text.count("too little in common") == 1
    assert text.count("the page is full") == 31


# --- Buttons


async def test_task_goes_its_whole_way_by_buttons(desk):
    """Asked, accepted, told of, submitted with a file, revised, submitted, completed: each by a form."""
    form = hidden(await desk.browse("GET", "/dashboard/tasks/new"))
    asked = {
        **form,
        "between": "@alice/requester @bob/writer",
        "title": "Report",
        "brief": "Two\r\nlines",
        "requirements": "short\n\nclear",
        "deadline": "2h",
        "revisions": "2",
        "budget": "50",
        "do": "ask",
    }
    answer = await desk.send(
        "/dashboard/tasks/new", asked, (("notes.md", "text/markdown", b"# Hi"), ("", "", b""))
    )
    assert answer.status == 303
    task = Hash(bytes.fromhex(answer.headers["location"].rpartition("/")[2]))
    view = await desk.here.task(OWNER, task.hex())
    assert (view.brief, view.requirements, view.revisions, view.budget) == (
        "Two\nlines",
        ("short", "clear"),
        2,
        50,
    )
    assert view.parts == (FilePart.of("notes.md", "text/markdown", b"# Hi"),)
    left = (view.summary.deadline or 0) - desk.world.clock.now()
    assert 119 * MINUTE_MS < left <= 120 * MINUTE_MS
    assert "Asked for. The task is" in await desk.see(page_of(task))

    await in_state(desk.there, task, "sent")
    await desk.sit("bob")
    assert (await desk.press(task, "accept", text="On it")).status == 303
    assert (await desk.press(task, "progress", text="half", percent="50")).status == 303
    assert 'value="50"' in await desk.see(page_of(task))
    form = hidden(await desk.browse("GET", page_of(task)))
    work = {**form, "do": "submit", "work": "The report", "text": "first"}
    assert (await desk.send(f"{page_of(task)}/submit", work, (("a.bin", "x", b"\0\1"),))).status == 303
    await in_state(desk.here, task, "submitted")
    await desk.sit("alice")
    assert (await desk.press(task, "revise", text="shorter\nclearer")).status == 303
    view = await in_state(desk.there, task, "revision_requested")
    assert (await desk.there.task(OWNER, task.hex())).revision_requests == ((1, ("shorter", "clearer")),)
    await desk.sit("bob")
    form = hidden(await desk.browse("GET", page_of(task)))
    assert (
        await desk.send(f"{page_of(task)}/submit", {**form, "do": "submit", "work": "Short"})
    ).status == 303
    await in_state(desk.here, task, "resubmitted")
    await desk.sit("alice")
    assert (await desk.press(task, "complete")).status == 303
    await in_state(desk.there, task, "completed")
    assert "Nothing more; this task has ended." in await desk.see(page_of(task))


async def test_a_task_that_names_no_budget_shows_the_one_that_counts_for_it(desk):
    """What the owner has set for its connection, else what is usual here; its own where it names one."""
    plain = await ask(desk.here, "requester", "@bob/writer")
    own = await ask(desk.here, "requester", "@bob/writer", budget=1)
    assert "<dd>the usual one, 1,000 messages</dd>" in await desk.see(f"/dashboard/tasks/{plain.hex()}")
    await desk.here.gates.set_breaker_limits(OWNER, ("requester", "@bob/writer"), {"budget": 70})
    assert "<dd>the usual one, 70 messages</dd>" in await desk.see(f"/dashboard/tasks/{plain.hex()}")
    assert "<dd>1 message</dd>" in await desk.see(f"/dashboard/tasks/{own.hex()}")


async def test_stale_page_changes_nothing(desk):
    """Complete and cancel, pressed on a page that showed version 1, do nothing to version 2, and say why."""
    task = await a_submitted(desk, "one")
    old = hidden(await desk.browse("GET", page_of(task)))
    await act(desk.here, task, "revise", reasons=("More.",))
    await in_state(desk.there, task, "revision_requested")
    await act(desk.there, task, "submit", parts=(TextPart("two"),))
    await in_state(desk.here, task, "resubmitted")
    for do in ("complete", "cancel", "revise"):
        answer = await desk.browse("POST", page_of(task), {**old, "do": do, "text": "kept words"})
        assert answer.status == 409
        assert b"has changed since that page was loaded" in answer.raw
        assert b"kept words" in answer.raw
    assert (await desk.here.task(OWNER, task.hex())).summary.state == "resubmitted"


async def test_version_in_a_form_is_the_one_that_is_taken(desk):
    """A form that names another hash than the version's is refused, whatever else it says."""
    task = await a_submitted(desk, "one")
    assert (await desk.press(task, "complete", hash="0" * 64)).status == 404
    assert (await desk.press(task, "complete", version="", hash="x")).status == 400
    assert (await desk.here.task(OWNER, task.hex())).summary.state == "submitted"


@pytest.mark.parametrize(
    ("do", "fields"),
    [
        ("accept", {}),
        ("decline", {"text": " "}),
        ("cancel", {"text": ""}),
        ("revise", {"text": "\n"}),
        ("revise", {"text": "x" * 3000}),
        ("progress", {"percent": "101"}),
        ("nonsense", {}),
        ("cancel", {"text": "x" * 70_000}),
    ],
)
async def test_wrong_press_is_explained_and_does_nothing(desk, do, fields):
    """What is not possible, or incomplete, or too long."""
    task = await a_submitted(desk, "one")
    answer = await desk.press(task, do, **fields)
    assert answer.status in (400, 409)
    assert b'role="alert"' in answer.raw
    assert (await desk.here.task(OWNER, task.hex())).summary.state == "submitted"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("between", ""),
        ("between", "@alice/requester @nobody/x"),
        ("title", ""),
        ("title", "t" * 201),
        ("deadline", "tomorrow"),
        ("deadline", "2020-01-01T00:00:00Z"),
        ("deadline", "2030-01-01T00:00:00"),
        ("revisions", "1001"),
        ("budget", "0"),
        ("requirements", "x\n" * 33),
    ],
)
async def test_wrong_request_is_explained_with_what_was_typed(desk, field, value):
    """Nothing is asked for, and nothing typed is lost."""
    form = hidden(await desk.browse("GET", "/dashboard/tasks/new"))
    asked = {"between": "@alice/requester @bob/writer", "title": "T", "brief": "My long brief", field: value}
    answer = await desk.send("/dashboard/tasks/new", {**form, **asked})
    assert 400 <= answer.status < 500
    assert b'role="alert"' in answer.raw
    assert b"My long brief" in answer.raw
    assert b"hx-get" not in answer.raw, "the empty form would take its place at the next change"
    assert b"hx-get" in (await desk.browse("GET", "/dashboard/tasks/new")).raw
    assert (await desk.here.tasks(OWNER, "", "", "", "", 5))[0] == ()


async def test_form_with_files_is_bounded_and_comes_from_this_page_alone(desk):
    """Too large, of another origin, without the token, of another kind: nothing is sent."""
    path = "/dashboard/tasks/new"
    form = hidden(await desk.browse("GET", path))
    asked = {**form, "between": "@alice/requester @bob/writer", "title": "T"}
    large = (("a", "text/plain", b"x" * FILES_FORM_BYTES),)
    assert (await desk.send(path, asked, large)).status == 413
    # It fits into the form, but into no message.
    assert 400 <= (await desk.send(path, asked, (("a", "text/plain", b"x" * 300_000),))).status < 500
    for headers in (
        {"Origin": "https://evil.example"},
        {"Origin": None},
        {"Sec_Fetch_Site": "cross-site"},
        {"Content_Type": "application/x-www-form-urlencoded"},
    ):
        assert (await desk.send(path, asked, **headers)).status == 403
    assert (await desk.send(path, {**asked, next(iter(form)): "x"})).status == 403
    for name in ("..", "a\x01b", "n" * 256):
        assert (await desk.send(path, asked, ((name, "text/plain", b"x"),))).status == 400
    assert (await desk.here.tasks(OWNER, "", "", "", "", 5))[0] == ()


async def test_task_at_the_gate_says_so(desk):
    """Its owner is led to the place where it is decided, and reads that nobody else's turn it is before."""
    (connection,) = await desk.there.connections(OWNER, "accepted", "")
    await desk.there.set_permissions(OWNER, connection.id.hex(), GrantChange(human_gate=True))
    task = await ask(desk.here, "requester", "@bob/writer")
    await in_state(desk.there, task, "sent")
    await desk.sit("bob")
    shown = await desk.see(page_of(task))
    assert f'href="/dashboard/waiting/tasks/{task.hex()}"' in shown
    assert "It waits for your word." in shown
    for page in ("/dashboard", "/dashboard/tasks"):
        assert "waits for your word</span>" in await desk.see(page)
    await desk.there.gates.release(OWNER, task.hex())
    assert "It is the turn of your agent @bob/writer." in await desk.see(page_of(task))
    for page in ("/dashboard", "/dashboard/tasks"):
        assert "your agent’s turn</span>" in await desk.see(page)


# --- Proof


async def test_signatures_are_checked_when_asked_and_again_after_a_change(desk):
    """The page says of which events it speaks: a new one makes it unknown again."""
    task = await a_submitted(desk, "one")
    assert "not checked since the last change" in await desk.see(page_of(task))
    path = f"{page_of(task)}/check"
    form = hidden(await desk.browse("GET", page_of(task)))
    assert (await desk.browse("POST", path, form)).status == 303
    text = await desk.see(page_of(task))
    assert "All signatures hold." in text
    assert "all hold" in text
    assert (await desk.here.account(OWNER)).account.hex() in text
    await act(desk.here, task, "complete")
    assert "not checked since the last change" in await desk.see(page_of(task))


async def test_event_that_was_changed_on_disk_is_found(desk, monkeypatch):
    """A byte of a stored envelope is another one: the check says that it does not hold, and where."""
    task = await a_submitted(desk, "one")
    store, real = desk.here._core.store, desk.here._core.store.sealed

    async def altered(hashes):
        found = dict(await real(hashes))
        if task in found:
            raw = found[task].envelope
            found[task] = attrs.evolve(found[task], envelope=raw[:-1] + bytes([raw[-1] ^ 1]))
        return found

    monkeypatch.setattr(store, "sealed", altered)
    form = hidden(await desk.browse("GET", page_of(task)))
    assert (await desk.browse("POST", f"{page_of(task)}/check", form)).status == 303
    text = await desk.see(page_of(task))
    assert "do not hold" in text
    assert 'class="alarm"' in text


async def test_agents_credential_checks_no_proof(desk):
    """The check reads all that was said, whatever a breaker holds: it is the owner's."""
    task = await ask(desk.here, "requester", "@bob/writer")
    program = Caller(frozenset({"requester"}))
    with pytest.raises(DaemonRefusal) as refused:
        await desk.here.proofs.check(program, task.hex())
    assert refused.value.code == "owner-only"
    with pytest.raises(DaemonRefusal):
        desk.here.proofs.last(program, await desk.here.task(OWNER, task.hex()))


async def test_proof_is_downloaded_by_a_button_and_verifies_elsewhere(desk):
    """The file is the export; that it was taken is in the audit log."""
    task = await a_submitted(desk, "one")
    form = hidden(await desk.browse("GET", page_of(task)))
    answer = await desk.browse("POST", f"{page_of(task)}/export", form)
    assert answer.status == 200
    assert answer.headers["content-disposition"].startswith("attachment")
    assert verify_handoff(answer.raw).task == task
    assert (await desk.here.audit.entries(OWNER, "export", "", 5)).entries


async def test_long_history_comes_in_pages(desk):
    """Forty steps at a time, the last first; the page stays small."""
    task = await ask(desk.here, "requester", "@bob/writer")
    await in_state(desk.there, task, "sent")
    await act(desk.there, task, "accept")
    for at in range(50):
        await act(desk.there, task, "progress", text=f"Word {at:02}")
    await desk.sit("bob")
    text = await desk.see(page_of(task))
    assert "Word 49" in text
    assert "Word 05" not in text
    earlier = re.search(r'href="([^"]+until=\d+#history)">Earlier', text)
    assert earlier is not None
    first = await desk.see(earlier[1].partition("#")[0])
    assert "Word 05" in first
    assert "until=52#history" in first
