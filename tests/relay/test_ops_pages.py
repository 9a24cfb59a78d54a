"""The operator's pages on a real server: what they show, what their buttons do, and who else presses them."""

from __future__ import annotations

import os
import re
from contextlib import asynccontextmanager
from urllib.parse import urlencode

import attrs
import httpx
import pytest
import trio

from taskferry_apps import system
from taskferry_apps.relay.compose import serve_relay
from taskferry_apps.relay.limits import USUAL, limit_rows
from taskferry_apps.relay.ops_door import make_sign_in
from taskferry_apps.settings import load_relay
from taskferry_stores.port import RelayStore
from taskferry_stores.sqlite import open_relay_store
from tests.plain import NO_AUTHORITIES

from .conftest import GENERATION
from .crowd import settle

REASON = "sends <b>spam</b>"


@attrs.define
class Operator:
    """A browser of the operator's, and the relay's store."""

    client: httpx.AsyncClient
    url: str
    store: RelayStore

    async def sign_in(self) -> httpx.Response:
        """By a link of the command's."""
        secret, _ = await make_sign_in(self.store, system.now(), system.entropy)
        return await self.client.get(f"/ops/sign-in?ticket={secret}")

    async def token(self, path: str = "/ops") -> str:
        """What stands in the forms."""
        page = await self.client.get(path)
        found = re.search(r'name="form_token" value="([^"]+)"', page.text)
        assert found is not None
        return found[1]

    async def press(self, path: str, headers: dict[str, str] | None = None, **fields: str) -> httpx.Response:
        """Press a button as a browser does."""
        usual = {"Origin": self.url, "Sec-Fetch-Site": "same-origin"}
        return await self.client.post(path, data=fields, headers=usual | (headers or {}))


@asynccontextmanager
async def served(folder, **flags):
    """A relay with a few owners, on a port of this machine."""
    settings = load_relay({"addr": "127.0.0.1:0", "db": str(folder / "relay.db")} | flags, {})
    async with open_relay_store(folder / "relay.db", generation=GENERATION) as store:
        await settle(store, 55, system.now())
        stop = trio.Event()
        async with trio.open_nursery() as nursery:
            bound = await nursery.start(serve_relay, settings, store, stop)
            async with httpx.AsyncClient(base_url=bound.urls[0], timeout=20, verify=NO_AUTHORITIES) as client:
                yield Operator(client, bound.urls[0], store)
            stop.set()


@pytest.fixture
async def operator(tmp_path):
    """The operator, not signed in yet."""
    async with served(tmp_path) as operator:
        yield operator


@pytest.fixture
async def inside(operator):
    """The operator, signed in."""
    await operator.sign_in()
    return operator


PAGES = ("/ops", "/ops/accounts", "/ops/accounts/owner000010", "/ops/mailboxes", "/ops/limits", "/ops/audit")


async def test_nobody_sees_anything_without_a_link(operator):
    """Each page and each button explains how to get one; no name of an account is in it."""
    for path in PAGES:
        page = await operator.client.get(path)
        assert page.status_code == 401
        assert "taskferry relay ops" in page.text
        assert "owner0" not in page.text
    pressed = await operator.press("/ops/accounts/owner000010/suspend", reason="x", form_token="x")
    assert pressed.status_code == 401
    assert (await operator.store.overview()).suspended == 0


async def test_the_link_works_once_and_leads_on_without_itself(operator):
    """The cookie is for HTTP alone, strict, and the next address holds no secret. HEAD uses nothing up."""
    secret, _ = await make_sign_in(operator.store, system.now(), system.entropy)
    assert (await operator.client.head(f"/ops/sign-in?ticket={secret}")).status_code == 405
    answer = await operator.client.get(f"/ops/sign-in?ticket={secret}")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/ops")
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert (await operator.client.get("/ops")).status_code == 200
    operator.client.cookies.clear()
    again = await operator.client.get(f"/ops/sign-in?ticket={secret}")
    assert again.status_code == 401
    assert "used already" in again.text
    assert (await operator.client.get("/ops")).status_code == 401


async def test_pages_are_guarded_and_load_only_what_is_here(inside):
    """No frame, no foreign file, nothing inline, never kept by the browser."""
    for path in PAGES:
        page = await inside.client.get(path)
        assert page.status_code == 200, path
        assert page.headers["X-Frame-Options"] == "DENY"
        assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
        assert page.headers["Cache-Control"] == "no-store"
        assert re.search(r"<script(?![^>]*src=)|<style|style=|\son[a-z]+=|href=\"http", page.text) is None
        for address in re.findall(r'(?:src|href)="(/[^"]*)"', page.text):
            found = await inside.client.get(address.replace("&amp;", "&"))
            assert found.status_code == 200, address


async def test_suspend_and_release_by_button(inside):
    """The reason is shown as text, stands in the audit log, and the account is named among the suspended."""
    where = "/ops/accounts/owner000010"
    token = await inside.token(where)
    done = await inside.press(f"{where}/suspend", reason=REASON, form_token=token)
    assert (done.status_code, done.headers["Location"]) == (303, where)
    page = (await inside.client.get(where)).text
    assert "sends &lt;b&gt;spam&lt;/b&gt;" in page
    assert "Release @owner000010" in page
    assert "owner000010" in (await inside.client.get("/ops/accounts?state=suspended")).text
    assert "You suspended @owner000010" in (await inside.client.get("/ops/audit?kind=suspended")).text
    await inside.press(f"{where}/release", form_token=token)
    assert "Suspend @owner000010" in (await inside.client.get(where)).text


@pytest.mark.parametrize(
    ("headers", "fields"),
    [
        ({"Origin": "https://evil.example"}, {}),
        ({"Origin": "null"}, {}),
        ({"Sec-Fetch-Site": "cross-site"}, {}),
        ({"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:1"}, {}),
        ({}, {"form_token": "guessed"}),
        ({}, {"form_token": ""}),
        ({"Content-Type": "text/plain"}, {}),
    ],
)
async def test_nobody_else_presses_a_button(inside, headers, fields):
    """A foreign page, a missing token, a form in disguise: a page that explains, and nothing changes."""
    where = "/ops/accounts/owner000010"
    good = {"reason": "spam", "form_token": await inside.token(where)}
    page = await inside.press(f"{where}/suspend", headers, **(good | fields))
    assert page.status_code == 403
    assert "Nothing was changed" in page.text
    assert (await inside.store.overview()).suspended == 0


async def test_another_name_for_this_machine_shows_nothing(inside):
    """A page at a name that an attacker has pointed here sees no page, though the browser is signed in."""
    for path in (*PAGES, "/ops/sign-in?ticket=x"):
        page = await inside.client.get(path, headers={"Host": "evil.example"})
        assert page.status_code == 403
        assert "owner0" not in page.text
        assert "evil.example" not in page.text


async def test_what_cannot_be_is_explained(inside):
    """Reasons, names and cursors that make no sense: a page, and nothing changes."""
    where = "/ops/accounts/owner000010"
    token = await inside.token(where)
    for reason in ("", " ", "x" * 201, "a\u202eb"):
        page = await inside.press(f"{where}/suspend", reason=reason, form_token=token)
        assert page.status_code == 400
        assert 'role="alert"' in page.text
    large = await inside.press(f"{where}/suspend", reason="x" * 9_000, form_token=token)
    assert large.status_code == 413
    for who in ("nobody", "x" * 500, "%00", "..%2f", "%F0%9F%92%A3"):
        page = await inside.client.get(f"/ops/accounts/{who}")
        assert page.status_code == 404, who
    for query in (
        "accounts?prefix=" + "x" * 5_000,
        "accounts?state=gone&after=%00",
        "audit?before=99999999999999999999",
        "audit?kind=gossip&before=-1",
    ):
        assert (await inside.client.get(f"/ops/{query}")).status_code == 200, query
    assert (await inside.store.overview()).suspended == 0


async def test_lists_go_on_in_pages(inside):
    """Fifty accounts, then the rest; each once."""
    first = (await inside.client.get("/ops/accounts")).text
    following = re.findall(r'href="(/ops/accounts\?after=[^"]+)"', first)[0].replace("&amp;", "&")
    second = (await inside.client.get(following)).text
    names = [re.findall(r"@(owner\d+)</a>", page) for page in (first, second)]
    assert [len(part) for part in names] == [50, 5]
    assert len({*names[0], *names[1]}) == 55


async def test_signing_out_ends_the_session(inside):
    """The cookie that somebody kept is worth nothing afterwards."""
    kept = "; ".join(f"{name}={value}" for name, value in inside.client.cookies.items())
    await inside.press("/ops/sign-out", form_token=await inside.token())
    page = await inside.client.get("/ops", headers={"Cookie": kept})
    assert page.status_code == 401


async def test_a_button_does_nothing_once_its_session_has_ended(inside):
    """A form takes as long to come as its sender likes, and the operator may sign out meanwhile."""
    where = "/ops/accounts/owner000010"
    token = await inside.token(where)
    form = urlencode({"reason": "spam", "form_token": token}).encode()
    headers = {"Origin": inside.url, "Content-Type": "application/x-www-form-urlencoded"}

    async def slowly():
        yield form[:10]
        kept = dict(inside.client.cookies)
        await inside.press("/ops/sign-out", form_token=token)
        inside.client.cookies.update(kept)
        yield form[10:]

    page = await inside.client.post(f"{where}/suspend", content=slowly(), headers=headers)
    assert page.status_code == 401
    assert (await inside.store.overview()).suspended == 0


async def test_at_the_configured_origin_the_cookie_is_for_it_alone(tmp_path):
    """Behind a proxy with TLS, at its host alone; the secret never travels unprotected."""
    async with served(
        tmp_path, ops_origin="https://relay.example", public_url="https://relay.example/ferry"
    ) as operator:
        secret, _ = await make_sign_in(operator.store, system.now(), system.entropy)
        answer = await operator.client.get(f"/ops/sign-in?ticket={secret}", headers={"Host": "relay.example"})
        assert answer.headers["Location"] == "/ferry/ops"
        cookie = answer.headers["Set-Cookie"]
        assert cookie.startswith("__Host-taskferry_ops=")
        assert "Secure" in cookie
        sent = {"Host": "relay.example", "Cookie": cookie.partition(";")[0]}
        page = await operator.client.get("/ops", headers=sent)
        assert page.status_code == 200
        assert 'href="/ferry/ops/accounts"' in page.text
        assert (
            await operator.client.get("/ops", headers=sent | {"Host": "other.example"})
        ).status_code == 403


async def test_every_limit_is_shown_with_its_reason_and_how_near_it_is(tmp_path):
    """What was set says where; what is known says how much is taken; programs read the same."""
    async with served(tmp_path, limits="accounts=110") as operator:
        await operator.sign_in()
        page = (await operator.client.get("/ops/limits")).text
        for row in limit_rows(USUAL, ""):
            assert f"<code>{row.limit.name}</code>" in page
        assert "flag" in page
        assert "50 %" in page
        status = (await operator.client.get("/v1/ops/status")).json()
        (accounts,) = [limit for limit in status["limits"] if limit["name"] == "accounts"]
        assert accounts == {"name": "accounts", "value": 110, "unit": "count", "source": "flag", "used": 55}


async def test_a_disk_is_told_of_before_it_is_full(operator, monkeypatch):
    """With little room left the operator is told to make some; strangers hear that all is well, as it is."""
    few = os.statvfs_result((4096, 4096, 100_000, 20_020, 20_020, 9, 9, 9, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda folder: few)
    answer = (await operator.client.get("/v1/ops/status")).json()
    (found,) = answer["findings"]
    assert "82 MB are free" in str(found)
    assert (answer["ok"], answer["status"]) == (True, "well")
    await operator.sign_in()
    assert "82 MB are free" in (await operator.client.get("/ops")).text
