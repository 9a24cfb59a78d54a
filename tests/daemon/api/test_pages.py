"""The daemon's pages: one browser is let in, and no other page, program or user comes in behind it."""

from __future__ import annotations

import re
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

import attrs
import httpx
import pytest
import trio

from taskferry_apps.daemon.invite_port import NewInvite
from taskferry_apps.daemon.pages import PAGES, socket_owners
from taskferry_apps.daemon.port import GrantChange
from taskferry_protocol.ids import Instant
from taskferry_protocol.limits import DAY_MS, MINUTE_MS
from tests.daemon.worlds import OWNER, Machine, World, a_world, set_up, until
from tests.plain import NO_AUTHORITIES

from .house import HOST, Answer, Api, serve_api, served

ORIGIN = f"http://{HOST}"
FORM = "application/x-www-form-urlencoded"


@attrs.define
class Guests:
    """Alice, who has a browser, and Bob, who has invited her."""

    world: World
    alice: Api
    bob: Api
    link: str
    cookie: str = ""

    async def open(self, link: str | None = None) -> str:
        """The path of the page about a link."""
        held = await self.alice.ok("POST", "/links", {"link": self.link if link is None else link})
        return f"/connect/{held['id']}"

    async def ticket(self, to: str) -> str:
        """A one-time path."""
        return str((await self.alice.ok("POST", "/browser/sign-in", {"to": to}))["path"])

    async def browse(
        self,
        method: str,
        path: str,
        form: Mapping[str, str] | None = None,
        **headers: str | None,
    ) -> Answer:
        """What the browser gets; a header that is None is left out. No redirect is followed."""
        sent: dict[str, str | None] = {
            "Host": HOST,
            "Sec-Fetch-Site": "same-origin" if form is not None else "none",
            "Cookie": self.cookie or None,
        }
        if form is not None:
            sent |= {"Origin": ORIGIN, "Content-Type": FORM}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        client: Any = self.alice.app.test_client(use_cookies=False)
        response = await client.open(
            path,
            method=method,
            data=urlencode(form) if form is not None else None,
            headers={name: value for name, value in sent.items() if value is not None},
        )
        found = {name.lower(): value for name, value in response.headers.items()}
        assert not any(name.startswith("access-control") for name in found)
        assert "frame-ancestors 'none'" in found["content-security-policy"]
        assert "unsafe" not in found["content-security-policy"]
        assert found["x-frame-options"] == "DENY"
        # The daemon's own files alone are kept, and only under an address that changes with them.
        own_file = re.fullmatch(r"/assets/[a-z.-]+\?v=[0-9a-f]{12}", path)
        assert found["cache-control"] == "no-store" or own_file
        return Answer(response.status_code, found, bytes(await response.get_data(as_text=False)))

    async def sign_in(self, to: str) -> None:
        """The browser comes in, and keeps its cookie."""
        answer = await self.browse("GET", await self.ticket(to))
        assert (answer.status, answer.headers["location"]) == (303, to)
        self.cookie = answer.headers["set-cookie"].partition(";")[0]

    async def page(self, link: str | None = None) -> tuple[str, dict[str, str]]:
        """The path of a page that is open, and the hidden members of its form."""
        path = await self.open(link)
        await self.sign_in(path)
        answer = await self.browse("GET", path)
        assert answer.status == 200
        return path, hidden(answer)

    async def asked(self) -> Any:
        """Alice's connections."""
        return (await self.alice.ok("GET", "/connections"))["connections"]


def hidden(answer: Answer) -> dict[str, str]:
    """The hidden members of a page's forms, which are the same in all of them."""
    return dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]+)">', answer.raw.decode()))


@asynccontextmanager
async def guests_at_home() -> AsyncIterator[Guests]:
    """Both set up, and strangers to each other."""
    async with (
        a_world() as world,
        world.running(Machine("alice")) as a,
        world.running(Machine("bob")) as b,
    ):
        await set_up(a, "alice", "requester")
        await set_up(b, "bob", "writer")
        until_then = Instant(world.clock.now() + DAY_MS)
        invite = NewInvite("writer", 1, until_then, GrantChange(), accepts=True)
        made = await b.invites.create(OWNER, invite)
        assert made.published
        yield Guests(world, serve_api(a), serve_api(b), made.link)


@pytest.fixture
async def guests():
    """Alice and Bob."""
    async with guests_at_home() as made:
        yield made


# --- As it should be


async def test_owner_sees_whom_a_link_leads_to_and_decides(guests):
    """It names relay, peer and fingerprint; the owner chooses agent and note; then the connection comes."""
    await guests.alice.ok("POST", "/agents", {"handle": "second"})
    path, form = await guests.page()
    text = (await guests.browse("GET", path)).raw.decode()
    account = (await guests.bob.ok("GET", "/account"))["account"]
    shown = await guests.alice.ok("GET", path.replace("connect", "links"))
    assert shown["account"] == account
    fingerprint = f"<dt>Fingerprint</dt><dd><code>{shown['fingerprint']}</code>"
    for words in ("@bob/writer", "relay.test", fingerprint, 'value="requester"', 'value="second"'):
        assert words in text
    assert await guests.asked() == [], "looking asks for nothing"
    done = await guests.browse("POST", path, {**form, "answer": "ask", "agent": "second", "note": "Hi <b>"})
    assert done.status == 200
    assert b"Asked @bob/writer" in done.raw

    async def accepted():
        found = await guests.asked()
        return [one for one in found if one["state"] == "accepted"]

    (one,) = await until(accepted)
    assert (one["mine"], one["note"], one["trust"]) == ("@alice/second", "Hi <b>", "pinned")
    again = await guests.browse("POST", path, {**form, "answer": "ask", "agent": "second"})
    assert again.status == 404


async def test_leaving_it_asks_nobody_and_forgets_the_link(guests):
    """The other button."""
    path, form = await guests.page()
    assert (await guests.browse("POST", path, {**form, "answer": "leave"})).status == 200
    assert (await guests.browse("GET", path)).status == 404
    assert await guests.asked() == []


async def test_link_that_leads_nowhere_is_explained_on_the_page(guests):
    """Where there is no terminal to say it in."""
    for edit, words in (
        (lambda link: link.replace("relay.test", "relay.example"), b"relay.example"),
        (lambda link: link.partition("#")[0], b"cut off"),
        (lambda link: link[:-1], b"damaged"),
    ):
        path = await guests.open(edit(guests.link))
        await guests.sign_in(path)
        answer = await guests.browse("GET", path)
        assert answer.status == 400
        assert words in answer.raw
        assert b"secret=" not in answer.raw


DEVICE = "taskferry://relay.test/device#code=abcd-efgh-ijkm-npqr"


async def test_new_machines_link_leads_to_the_command_and_takes_nobody_in(guests):
    """The page warns, names the command, and has no button but the one that forgets the link."""
    path, form = await guests.page(DEVICE)
    text = (await guests.browse("GET", path)).raw.decode()
    for words in (
        "taskferry device approve abcd-efgh-ijkm-npqr",
        "relay.test",
        "If somebody gave you this link",
    ):
        assert words in text
    assert re.findall(r'<button[^>]* name="answer" value="([^"]+)"', text) == ["leave"]
    pressed = await guests.browse("POST", path, {**form, "answer": "ask", "agent": "requester"})
    assert pressed.status == 409
    linking = await guests.alice.ok("GET", "/devices/link")
    devices = (await guests.alice.ok("GET", "/devices"))["devices"]
    assert (linking["phase"], len(devices), await guests.asked()) == ("none", 1, [])
    assert (await guests.browse("POST", path, {**form, "answer": "leave"})).status == 200
    assert (await guests.browse("GET", path)).status == 404


async def test_ticket_leads_to_the_command_that_uses_it(guests):
    """The page does not repeat it."""
    secret = "tft_" + "A" * 32
    path = await guests.open(f"taskferry://relay.test/setup#ticket={secret}")
    await guests.sign_in(path)
    answer = await guests.browse("GET", path)
    assert (answer.status, b"taskferry setup --ticket -" in answer.raw) == (200, True)
    assert secret.encode() not in answer.raw


async def test_new_machines_link_that_leads_nowhere_is_explained_on_the_page(guests):
    """For another relay, and cut off."""
    for link, words in (
        (DEVICE.replace("relay.test", "relay.example"), b"relay.example"),
        (DEVICE[:-3], b"cut off or damaged"),
    ):
        path = await guests.open(link)
        await guests.sign_in(path)
        answer = await guests.browse("GET", path)
        assert (answer.status, words in answer.raw) == (400, True)


async def test_pages_load_nothing_from_elsewhere_and_run_nothing(guests):
    """No script, nothing inline, and every file that a page names is served."""
    path, _ = await guests.page()
    text = (await guests.browse("GET", path)).raw.decode()
    assert re.search(r"<script|<style|style=|\son[a-z]+=|https?://", text) is None
    links = re.findall(r'<a [^>]*href="([^"]*)"', text)
    assert all(link == "#content" or link.startswith("/dashboard") for link in links)
    for address in set(re.findall(r'(?:src|href)="([^"]*)"', text)) - set(links):
        assert address.startswith("/assets/")
        assert (await guests.browse("GET", address)).status == 200
    assert (await guests.browse("GET", "/assets/base.html")).status == 404


async def test_peers_words_stay_words(guests):
    """A display name cannot become markup."""
    await guests.bob.ok("POST", "/agents", {"handle": "odd", "display_name": "<i>", "public_profile": True})
    when = Instant(guests.world.clock.now() + DAY_MS)
    made = await guests.bob.daemon.invites.create(OWNER, NewInvite("odd", 1, when, GrantChange()))
    path, _ = await guests.page(made.link)
    text = (await guests.browse("GET", path)).raw.decode()
    assert "<bdi>&lt;i&gt;</bdi>" in text


# --- The way in


async def test_way_in_works_once(guests):
    """A copy of the address, from a history or a list of processes, opens nothing any more."""
    path = await guests.open()
    ticket = await guests.ticket(path)
    first = await guests.browse("GET", ticket)
    assert first.status == 303
    flags = first.headers["set-cookie"]
    assert "HttpOnly" in flags
    assert "SameSite=Strict" in flags
    assert "Path=/" in flags
    assert "Expires" not in flags
    second = await guests.browse("GET", ticket)
    assert second.status == 401
    assert "set-cookie" not in second.headers


async def test_way_in_is_over_after_two_minutes(guests):
    """Whether or not it was used."""
    ticket = await guests.ticket(await guests.open())
    guests.world.clock.ahead_ms += 2 * MINUTE_MS
    assert (await guests.browse("GET", ticket)).status == 401


@pytest.mark.parametrize("path", ["/sign-in", "/sign-in?ticket=", "/sign-in?ticket=x", "/sign-in?ticket=%ff"])
async def test_guessed_way_in_is_refused(guests, path):
    """401, and no cookie."""
    answer = await guests.browse("GET", path)
    assert answer.status == 401
    assert "set-cookie" not in answer.headers


async def test_looking_without_opening_does_not_use_the_way_in_up(guests):
    """A HEAD request is refused, and the ticket is still good."""
    ticket = await guests.ticket(await guests.open())
    assert (await guests.browse("HEAD", ticket)).status == 405
    assert (await guests.browse("GET", ticket)).status == 303


@pytest.mark.parametrize(
    "to",
    [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "/connect/../x",
        "/connect/\r\nSet-Cookie: a=b",
        "connect",
        "/",
        "/x?y",
        "/%2f",
    ],
)
async def test_way_in_leads_to_pages_of_this_daemon_alone(guests, to):
    """No address elsewhere can be slipped in."""
    assert (await guests.alice.post("/browser/sign-in", {"to": to})).error["code"] == "bad-value"


async def test_session_ends_when_idle_and_in_the_end(guests):
    """Half an hour without use, twelve hours whatever happens."""
    path, _ = await guests.page()

    async def status():
        # The link itself is held for ten minutes only.
        return (await guests.browse("GET", path)).status

    for _ in range(24 * 60 // 58):
        guests.world.clock.ahead_ms += 29 * MINUTE_MS
        assert await status() == 404
    guests.world.clock.ahead_ms += 29 * MINUTE_MS
    assert await status() == 401
    path, _ = await guests.page()
    guests.world.clock.ahead_ms += 30 * MINUTE_MS
    assert await status() == 401


async def test_no_session_lasts_for_years_because_a_clock_was_ahead(guests):
    """The clock is put right by fourteen years: neither a session nor a way in is good until then."""
    guests.world.clock.ahead_ms = 5_000 * DAY_MS
    await guests.sign_in("/dashboard/tasks")
    unused = await guests.ticket("/dashboard/tasks")
    assert (await guests.browse("GET", "/dashboard/tasks")).status == 200
    guests.world.clock.ahead_ms = 0
    assert (await guests.browse("GET", "/dashboard/tasks")).status == 401
    assert (await guests.browse("GET", unused)).status == 401


async def test_signing_out_ends_one_session_and_everywhere_ends_all(guests):
    """Also from the command line; and ways in that nobody has used yet are over, too."""
    path, form = await guests.page()
    first = guests.cookie
    await guests.sign_in(path)
    ticket = await guests.ticket(path)
    out = await guests.browse(
        "POST", "/sign-out", {**hidden(await guests.browse("GET", path)), "where": "here"}
    )
    assert out.status == 200
    assert (await guests.browse("GET", path)).status == 401
    guests.cookie = first
    assert (await guests.browse("GET", path)).status == 200
    assert (await guests.browse("POST", "/sign-out", {**form, "where": "everywhere"})).status == 200
    assert (await guests.browse("GET", path)).status == 401
    assert (await guests.browse("GET", ticket)).status == 401
    await guests.sign_in(path)
    assert (await guests.alice.ok("DELETE", "/browser/sessions"))["ended"] == 1
    assert (await guests.browse("GET", path)).status == 401


async def test_sessions_and_ways_in_are_few(guests):
    """The oldest go; memory does not grow with tries."""
    path, _ = await guests.page()
    oldest = guests.cookie
    for _ in range(32):
        await guests.sign_in(path)
    assert (await guests.browse("GET", path)).status == 200
    guests.cookie = oldest
    assert (await guests.browse("GET", path)).status == 401
    tickets = [await guests.ticket(path) for _ in range(17)]
    assert (await guests.browse("GET", tickets[0])).status == 401
    assert (await guests.browse("GET", tickets[1])).status == 303


# --- Who stays outside


@pytest.mark.parametrize(("method", "rule"), [page for page in PAGES if page[1] not in ("/sign-in",)])
async def test_every_page_but_the_door_needs_a_session(guests, method, rule):
    """Without a cookie, with a wrong one, with the owner's credential in its place; files tell nothing."""
    path = rule.replace("<link>", "0" * 32).replace("<name>", "pages.css")
    form = {"answer": "ask", "agent": "requester"} if method == "POST" else None
    for cookie in ("", "taskferry_4318=x", "taskferry_0=x", "taskferry_0=" + "x" * 4000):
        guests.cookie = cookie
        answer = await guests.browse(method, path, form, Authorization=f"Bearer {guests.alice.secret}")
        assert answer.status == (200 if rule.startswith("/assets") else 401)


FOREIGN: list[dict[str, str | None]] = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:9999"},
    {"Origin": "http://localhost:4318"},
    {"Origin": None},
    {"Sec_Fetch_Site": "cross-site"},
    {"Sec_Fetch_Site": "same-site"},
    {"Sec_Fetch_Site": "none"},
    {"Host": "evil.example:4318", "Origin": "http://evil.example:4318"},
    {"Host": "127.0.0.1:9999", "Origin": "http://127.0.0.1:9999"},
    {"Content_Type": "text/plain"},
    {"Content_Type": "application/json"},
    {"Content_Type": "multipart/form-data; boundary=x"},
]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
async def test_foreign_page_cannot_press_the_button(guests, headers):
    """Not even with the cookie and the form's token: origin, site, name and kind of form each suffice."""
    path, form = await guests.page()
    for place, members in ((path, {**form, "answer": "ask", "agent": "requester"}), ("/sign-out", form)):
        answer = await guests.browse("POST", place, members, **headers)
        assert answer.status == 403
    assert await guests.asked() == []
    assert (await guests.browse("GET", path)).status == 200


@pytest.mark.parametrize("token", [None, "", "x", "other"])
async def test_button_without_the_forms_token_does_nothing(guests, token):
    """A missing, empty, wrong or another session's token."""
    path, form = await guests.page()
    await guests.sign_in(path)
    shown = {"other": form, None: {}}.get(token, {next(iter(form)): token})
    answer = await guests.browse("POST", path, {**shown, "answer": "ask", "agent": "requester"})
    assert answer.status == 403
    assert await guests.asked() == []


@pytest.mark.parametrize(
    "headers",
    [{"Sec_Fetch_Site": "cross-site"}, {"Origin": "https://evil.example"}, {"Host": "evil.example:4318"}],
    ids=str,
)
async def test_foreign_page_opens_nothing(guests, headers):
    """Neither a page nor, with a ticket that it cannot have, the door: another site's link is refused."""
    path, _ = await guests.page()
    ticket = await guests.ticket(path)
    for place in (path, ticket, "/assets/pages.css"):
        assert (await guests.browse("GET", place, **headers)).status == 403
    assert (await guests.browse("GET", ticket)).status == 303, "the ticket is still good"


async def test_button_is_no_reading(guests):
    """What changes something is a POST: a link, an image or a prefetch does nothing."""
    path, form = await guests.page()
    await guests.browse("GET", f"{path}?{urlencode({**form, 'answer': 'ask', 'agent': 'requester'})}")
    assert await guests.asked() == []
    assert (await guests.browse("GET", "/sign-out")).status == 405


async def test_agents_program_lets_no_browser_in(guests):
    """An agent's credential neither opens pages nor closes them."""
    program = await guests.alice.token("requester")
    for method, path, body in (
        ("POST", "/browser/sign-in", b'{"to": "/connect/x"}'),
        ("DELETE", "/browser/sessions", None),
    ):
        assert (await program.call(method, path, body)).error["code"] == "owner-only"


async def test_session_is_no_credential_of_the_api(guests):
    """What a page's cookie opens are pages: a script that got hold of it reads no inbox."""
    await guests.page()
    answer = await guests.alice.holding(None).get("/inbox", {"Cookie": guests.cookie})
    assert answer.status == 401


# --- Other users of the machine


async def test_another_users_program_is_refused_over_a_real_socket(guests, monkeypatch):
    """It has seen the one-time address in the list of processes, and the cookie at a port of its own."""
    path = await guests.open()
    async with served(guests.alice) as (client, bound):
        answer = await client.post("/browser/sign-in", json={"to": path})
        url = str(answer.json()["path"])
        async with httpx.AsyncClient(base_url=bound.urls[0], verify=NO_AUTHORITIES) as browser:
            monkeypatch.setattr("os.getuid", lambda: 4_000_000)
            assert (await browser.get(url)).status_code == 403
            monkeypatch.undo()
            opened = await browser.get(url)
            assert opened.status_code == 303, "and the owner's own browser still comes in"
            name = f"taskferry_{bound.port}"
            assert name in browser.cookies
            assert (await browser.get(path)).status_code == 200
            monkeypatch.setattr("os.getuid", lambda: 4_000_000)
            assert (await browser.get(path)).status_code == 403
            monkeypatch.undo()
            monkeypatch.setattr("taskferry_apps.daemon.pages.door.owner_of_peer", lambda peer, here: None)
            told = 403 if sys.platform == "linux" else 200
            assert (await browser.get(path)).status_code == told, "nor one of whom the system says nothing"


TABLE = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:10DE 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 1 1
   1: 0100007F:D431 0100007F:10DE 01 00000000:00000000 00:00000000 00000000  1001        0 2 1
   2: 0100007F:D432 0100007F:10DE 06 00000000:00000000 00:00000000 00000000     0        0 3 1
   3: 0000000000000000FFFF00000100007F:D433 0000000000000000FFFF00000100007F:10DE 01 0:0 00:0 0  1002 0 4 1
   4: 00000000000000000000000001000000:D434 00000000000000000000000001000000:10DE 01 0:0 00:0 0  1003 0 5 1
   5: 0100007F:D435 0100007F:10DE 04 00000000:00000000 00:00000000 00000000  1004        0 6 1
"""


@pytest.mark.skipif("sys.byteorder != 'little'")
@pytest.mark.parametrize(
    ("host", "port", "owner"),
    [
        ("127.0.0.1", 0xD431, 1001),
        ("127.0.0.1", 0xD432, None),
        ("127.0.0.1", 0xD433, 1002),
        ("::ffff:127.0.0.1", 0xD431, 1001),
        ("::1", 0xD434, 1003),
        ("127.0.0.1", 0xD435, 1004),
        ("127.0.0.1", 0x10DE, None),
        ("127.0.0.2", 0xD431, None),
        ("nonsense", 0xD431, None),
    ],
)
def test_kernels_table_is_read_as_it_is_written(host, port, owner):
    """Connections that somebody holds, half closed ones too; both versions; nothing for what is not there."""
    here = ("::1" if host == "::1" else "127.0.0.1", 0x10DE)
    assert socket_owners.owner_in(TABLE, (host, port), here) == owner


@pytest.mark.skipif("sys.byteorder != 'little'")
def test_port_shared_with_the_owners_other_connection_opens_nothing():
    """Another user's socket may have the owner's address and port, if it leads elsewhere: both ends count."""
    theirs = "   0: 0100007F:D431 0100007F:1F90 01 0:0 00:0 0  1000 0 6 1"
    head, *rows = TABLE.splitlines()
    shared = "\n".join([head, theirs, *rows])
    assert socket_owners.owner_in(shared, ("127.0.0.1", 0xD431), ("127.0.0.1", 0x10DE)) == 1001
    assert socket_owners.owner_in(shared, ("127.0.0.1", 0xD431), ("127.0.0.1", 0x1F90)) == 1000


async def test_everything_holds_over_the_real_server(guests):
    """The whole way with a client that behaves as a browser does."""
    path = await guests.open()
    async with served(guests.alice) as (client, bound):
        url = str((await client.post("/browser/sign-in", json={"to": path})).json()["path"])
        with trio.fail_after(20):
            async with httpx.AsyncClient(
                base_url=bound.urls[0], follow_redirects=True, verify=NO_AUTHORITIES
            ) as browser:
                page = await browser.get(url)
                assert page.status_code == 200
                assert "ticket" not in str(page.url)
                form = dict(re.findall(r'name="([^"]+)" value="([^"]+)">', page.text))
                members = {**form, "answer": "ask", "agent": "requester", "note": ""}
                origin = {"Origin": bound.urls[0], "Sec-Fetch-Site": "same-origin"}
                refused = await browser.post(path, data=members)
                assert refused.status_code == 403
                done = await browser.post(path, data=members, headers=origin)
                assert "Asked @bob/writer" in done.text


async def test_button_does_nothing_once_its_session_has_ended(guests, monkeypatch):
    """A form takes as long to come as its sender likes, and the owner may put all browsers out meanwhile."""
    path = await guests.open()
    async with served(guests.alice) as (client, bound):
        url = str((await client.post("/browser/sign-in", json={"to": path})).json()["path"])
        async with httpx.AsyncClient(
            base_url=bound.urls[0], follow_redirects=True, verify=NO_AUTHORITIES
        ) as browser:
            form = dict(re.findall(r'name="([^"]+)" value="([^"]+)">', (await browser.get(url)).text))
            members = urlencode({**form, "answer": "ask", "agent": "requester", "note": ""}).encode()
            headers = {"Origin": bound.urls[0], "Sec-Fetch-Site": "same-origin", "Content-Type": FORM}

            browsers, looked_at = guests.alice.daemon.browsers, trio.Event()
            session = browsers.session

            def looked(secret):
                looked_at.set()
                return session(secret)

            async def slowly():
                yield members[:10]
                await looked_at.wait()
                assert (await client.delete("/browser/sessions")).json()["ended"] == 1
                yield members[10:]

            monkeypatch.setattr(browsers, "session", looked)
            assert (await browser.post(path, content=slowly(), headers=headers)).status_code == 401
    assert await guests.asked() == []
