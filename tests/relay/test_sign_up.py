"""Sign-up by page and by JSON, on a real server with a real mail server, and with those who cheat."""

from __future__ import annotations

import re
from contextlib import asynccontextmanager

import attrs
import httpx
import pytest
import trio
from structlog.testing import capture_logs

from taskferry_apps import system
from taskferry_apps.origins import origin_of
from taskferry_apps.relay import sign_up_desk
from taskferry_apps.relay.compose import CannotStart, mailer_of, serve_relay
from taskferry_apps.relay.entrance import digest_of
from taskferry_apps.relay_client import LinkEnded, open_relay
from taskferry_apps.settings import RelaySettings, load_relay
from taskferry_protocol.setup_links import SetupLink
from taskferry_stores.sqlite import open_relay_store
from taskferry_transports.websocket_client import WebSocketDialer, WebSocketSettings
from tests.plain import NO_AUTHORITIES

from .conftest import GENERATION
from .people import person
from .post_office import PostOffice, post_office

LINK = re.compile(r"taskferry://[A-Za-z0-9.:/#=_-]+")
CODE = re.compile(r"/signup/confirm/([A-Za-z0-9_-]{32})")


@attrs.define
class Site:
    """A relay's pages, and the relay behind them."""

    client: httpx.AsyncClient
    url: str
    store: object

    async def ask(self, owner: str, email: str = "", **headers: str) -> httpx.Response:
        """Send the form, as a browser does."""
        return await self.client.post(
            "/signup",
            data={"owner": owner, "email": email},
            headers={"Sec-Fetch-Site": "same-origin"} | headers,
        )

    async def join(self, who, ticket: str = "") -> str | None:
        """The code with which a daemon is turned away, None if it comes in."""
        url = self.url.replace("http", "ws")
        async with trio.open_nursery() as nursery:
            dialer = WebSocketDialer(nursery, WebSocketSettings(f"{url}/v1/ws"))
            code = None
            try:
                async with open_relay(
                    await dialer.dial(),
                    who.identity,
                    origin=origin_of(url),
                    log=who.extension,
                    ticket=ticket,
                    now=system.now,
                ):
                    pass
            except LinkEnded as ended:
                code = ended.code
            nursery.cancel_scope.cancel()
        return code


@asynccontextmanager
async def site_of(settings: RelaySettings, store):
    """The pages of a relay with these settings, served for real."""
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        bound = await nursery.start(serve_relay, settings, store, stop)
        async with httpx.AsyncClient(base_url=bound.urls[0], timeout=20, verify=NO_AUTHORITIES) as client:
            yield Site(client, bound.urls[0], store)
        stop.set()


def settings(**values: str) -> RelaySettings:
    """Settings as an operator writes them."""
    return load_relay({"addr": "127.0.0.1:0", "signup": "open"} | values, {})


def by_mail(office: PostOffice, **values: str) -> RelaySettings:
    """A relay that sends its tickets through this mail server."""
    flags = {"smtp": f"localhost:{office.port}", "smtp_from": "relay@relay.test", "smtp_security": "none"}
    return settings(**flags | values)


def link_in(page: httpx.Response) -> SetupLink:
    """The link that a page shows."""
    return SetupLink.parse(LINK.findall(page.text)[0])


async def until_mail_is_down(site: Site) -> httpx.Response:
    """The answer to whoever asks once the relay has noticed that its mail server cannot be used."""
    with trio.fail_after(10):
        while (page := await site.ask("zoe", "zoe@example.org")).status_code != 503:
            assert page.status_code == 202
            await trio.sleep(0.02)
    return page


def path_in(mail: str) -> str:
    """Where the link in a mail leads."""
    return f"/signup/confirm/{CODE.findall(mail)[0]}"


# --- without mail -------------------------------------------------------------------------------------------


async def test_an_open_relay_shows_a_ticket_at_once(store):
    """The page shows link and command once; a daemon comes in by it, and the name was kept for it."""
    async with site_of(settings(), store) as site:
        form = await site.client.get("/signup")
        assert 'name="owner"' in form.text
        assert 'name="email"' not in form.text
        page = await site.ask("alice")
        assert page.status_code == 200
        link = link_in(page)
        assert f"taskferry setup alice &#39;{link.format()}&#39;" in page.text
        assert page.headers["Cache-Control"] == "no-store"
        alice, other = person("alice", 1, system.now()), person("alice", 2, system.now())
        assert await site.join(other) == "name-taken"
        assert await site.join(alice, link.ticket) is None
        assert await site.join(person("bob", 3, system.now()), link.ticket) == "ticket-used"


async def test_the_same_for_programs(store):
    """JSON in, JSON out: what the page shows, and refusals with code, sentence and next step."""
    async with site_of(settings(), store) as site:
        answer = await site.client.post("/v1/signup", json={"owner": "@alice"})
        assert answer.status_code == 201
        value = answer.json()
        assert SetupLink.parse(value["link"]).ticket == value["ticket"]
        assert value["command"] == f"taskferry setup alice '{value['link']}'"
        assert (await store.ticket(digest_of(value["ticket"]))).name == "alice"
        again = await site.client.post("/v1/signup", json={"owner": "alice"})
        assert (again.status_code, again.json()["error"]["code"]) == (409, "name-taken")
        assert set(again.json()["error"]) == {"code", "message", "next"}


@pytest.mark.parametrize("owner", ["", "Alice", "a" * 33, "-a", "a b", "álice", "a\n", "<script>", "a/b"])
async def test_a_name_that_is_none_is_refused(store, owner):
    """By the same rule as everywhere, on the page with the form again, and what was typed is escaped."""
    if owner == "a\n":
        owner = "a\nb"
    async with site_of(settings(), store) as site:
        page = await site.ask(owner)
        assert page.status_code == 400
        assert "1 to 32" in page.text
        assert "<script>" not in page.text
        answer = await site.client.post("/v1/signup", json={"owner": owner})
        assert answer.json()["error"]["code"] == "bad-value"


@pytest.mark.parametrize(
    ("policy", "said"), [("ticket", "Ask its operator"), ("closed", "takes no new accounts")]
)
async def test_a_relay_that_offers_no_tickets_says_so(store, policy, said):
    """The page says what is possible, and neither form nor JSON gets one."""
    async with site_of(settings(signup=policy), store) as site:
        page = await site.client.get("/signup")
        assert page.status_code == 200
        assert said in page.text
        assert "<form" not in page.text
        assert (await site.ask("alice")).status_code == 403
        answer = await site.client.post("/v1/signup", json={"owner": "alice"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "signup-refused")
        assert await site.join(person("alice", 1, system.now())) == "signup-refused"


@pytest.mark.parametrize(
    ("policy", "offered", "never"),
    [
        ("open", ["/signup"], ["--ticket -", "device link"]),
        ("ticket", ["taskferry setup NAME", "--ticket -"], ["/signup", "device link"]),
        ("closed", ["no new accounts", "taskferry device link", "taskferry recover"], ["setup", "/signup"]),
    ],
)
async def test_the_home_page_offers_what_the_policy_lets_happen(store, policy, offered, never):
    """A command that the relay would refuse stands on no page of it."""
    async with site_of(settings(signup=policy), store) as site:
        page = (await site.client.get("/")).text
        assert [words for words in offered if words not in page] == []
        assert [words for words in never if words in page] == []


async def test_what_is_no_json_object_of_texts_is_refused(store):
    """Each fault has a code; none is a crash."""
    async with site_of(settings(), store) as site:
        for body, code in (
            (b"", "malformed"),
            (b"[" * 4_000, "malformed"),
            (b"[]", "wrong-type"),
            (b'{"owner":1}', "bad-value"),
            (b'{"owner":"alice","admin":"yes"}', "bad-value"),
        ):
            answer = await site.client.post(
                "/v1/signup", content=body, headers={"Content-Type": "application/json"}
            )
            assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)
        answer = await site.client.post("/v1/signup", data={"owner": "alice"})
        assert answer.status_code == 415
        answer = await site.client.post("/v1/signup", json={"owner": "a" * 10_000})
        assert answer.status_code == 413
        answer = await site.client.post("/signup", data={"owner": "a" * 10_000})
        assert answer.status_code == 413


async def test_another_sites_form_is_refused(store):
    """A page that somebody visits signs nobody up in their name."""
    async with site_of(settings(), store) as site:
        for headers in (
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
        ):
            assert (await site.ask("alice", **headers)).status_code == 403
        foreign = await site.client.post(
            "/signup", data={"owner": "alice"}, headers={"Origin": "https://evil.example"}
        )
        assert foreign.status_code == 403
        own = await site.client.post("/signup", data={"owner": "alice"}, headers={"Origin": site.url})
        assert own.status_code == 200
        # What a browser without Sec-Fetch-Site sends of a page with `Referrer-Policy: no-referrer`.
        old = await site.client.post("/signup", data={"owner": "bob"}, headers={"Origin": "null"})
        assert old.status_code == 200


async def test_a_token_in_an_address_is_not_looked_at(store):
    """Standing tokens come in a session alone; beside one that is refused, an address opens nothing."""
    relay = settings(signup="ticket", client_tokens="alice=alice-relay-token")
    async with site_of(relay, store) as site:
        for query in ("?token=alice-relay-token", "?ticket=alice-relay-token"):
            answer = await site.client.post(f"/v1/signup{query}", json={"owner": "alice"})
            assert answer.status_code == 403
        url = site.url.replace("http", "ws")
        alice = person("alice", 1, system.now())
        async with trio.open_nursery() as nursery:
            dialer = WebSocketDialer(nursery, WebSocketSettings(f"{url}/v1/ws?token=alice-relay-token"))
            with pytest.raises(LinkEnded) as refused:
                async with open_relay(
                    await dialer.dial(), alice.identity, origin=origin_of(url), log=alice.extension
                ):
                    pass
            nursery.cancel_scope.cancel()
        assert refused.value.code == "signup-refused"
        assert await site.join(alice, "alice-relay-token") is None


# --- who asks, and as what ----------------------------------------------------------------------------------


async def test_a_forged_forwarding_header_moves_no_limit(store, monkeypatch):
    """Unless a proxy is trusted, what a client says of its address is not believed."""
    monkeypatch.setattr("taskferry_apps.relay.sign_ups.is_loopback", lambda _: False)
    async with site_of(settings(signups_per_hour="2"), store) as site:
        codes = [
            (
                await site.ask(
                    f"owner{n}", **{"X-Forwarded-For": f"198.51.100.{n}", "X-Real-IP": f"203.0.113.{n}"}
                )
            )
            for n in range(4)
        ]
        assert [page.status_code for page in codes] == [200, 200, 429, 429]
        assert int(codes[-1].headers["Retry-After"]) <= 3_600


async def test_a_trusted_proxy_is_believed_about_its_last_word_alone(store):
    """The entry that the proxy itself added counts; whatever the client had put before it does not."""
    relay = settings(signups_per_hour="1", trusted_proxies="127.0.0.1")
    async with site_of(relay, store) as site:
        first = await site.ask("owner1", **{"X-Forwarded-For": "198.51.100.1"})
        forged = await site.ask("owner2", **{"X-Forwarded-For": "192.0.2.9, 198.51.100.1"})
        other = await site.ask("owner3", **{"X-Forwarded-For": "198.51.100.2"})
        assert [page.status_code for page in (first, forged, other)] == [200, 429, 200]


async def test_a_network_counts_as_one_customer(store):
    """All addresses of an IPv6 /64 share one limit."""
    relay = settings(signups_per_hour="1", trusted_proxies="127.0.0.1")
    async with site_of(relay, store) as site:
        pages = [
            await site.ask(f"owner{n}", **{"X-Forwarded-For": address})
            for n, address in enumerate(("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", "2001:db8:1:3::1"))
        ]
        assert [page.status_code for page in pages] == [200, 429, 200]


async def test_links_name_the_public_url_whatever_the_host_header_says(store):
    """Somebody who asks with another Host gets no link to it, on no page and in no answer."""
    async with site_of(settings(public_url="https://relay.test/ferry"), store) as site:
        forged = {"Host": "evil.example", "X-Forwarded-Host": "evil.example"}
        page = await site.ask("alice", **forged)
        assert link_in(page).relay == "relay.test"
        assert "evil.example" not in page.text
        answer = await site.client.post("/v1/signup", json={"owner": "bob"}, headers=forged)
        assert SetupLink.parse(answer.json()["link"]).relay == "relay.test"
        # What a link cannot say of where the relay is, the command does.
        assert "--relay https://relay.test/ferry &#39;taskferry://relay.test/setup#" in page.text
        assert 'href="/ferry/signup"' in (await site.client.get("/", headers=forged)).text


# --- by mail ------------------------------------------------------------------------------------------------


async def test_a_ticket_comes_by_a_link_in_a_mail(store):
    """The mail's link shows a button; only pressing it uses the link up, and shows the ticket once."""
    async with post_office() as office, site_of(by_mail(office), store) as site:
        assert 'name="email"' in (await site.client.get("/signup")).text
        assert await site.join(person("alice", 1, system.now())) == "signup-refused"
        page = await site.ask("alice", "Ada@Example.org")
        assert page.status_code == 202
        assert LINK.search(page.text) is None
        mail = await office.mail()
        assert len(office.mails) == 1
        assert mail["To"] == "Ada@Example.org"
        assert mail["From"] == "relay@relay.test"
        text = mail.get_content()
        assert f"{site.url}/signup/confirm/" in text
        path = path_in(text)
        for _ in range(3):
            shown = await site.client.get(path)
            assert shown.status_code == 200
            assert LINK.search(shown.text) is None
        ticket = link_in(await site.client.post(path)).ticket
        assert (await site.client.post(path)).status_code == 404
        assert (await site.client.get(path)).status_code == 404
        assert await site.join(person("alice", 1, system.now()), ticket) is None


async def test_a_known_address_gets_the_same_answer(store):
    """Words, status and headers are the same; only the mail tells its reader that there is an account."""
    async with post_office() as office, site_of(by_mail(office), store) as site:
        await site.ask("alice", "ada@example.org")
        path = path_in((await office.mail()).get_content())
        ticket = link_in(await site.client.post(path)).ticket
        assert await site.join(person("alice", 1, system.now()), ticket) is None
        known = await site.ask("carol", "ADA@example.org")
        unknown = await site.ask("carol", "bob@example.org")
        assert known.text == unknown.text
        assert known.status_code == unknown.status_code == 202
        ignored = {"date", "content-length", "x-request-id"}
        assert {k: v for k, v in known.headers.items() if k not in ignored} == {
            k: v for k, v in unknown.headers.items() if k not in ignored
        }
        await office.mail(3)
        to_known, to_unknown = sorted(office.mails[1:], key=lambda mail: mail["To"].lower())
        assert "@alice" in to_known.get_content()
        assert CODE.search(to_known.get_content()) is None
        assert CODE.search(to_unknown.get_content()) is not None


async def test_an_address_is_not_mailed_without_end(store):
    """Somebody who asks in another's name fills no mailbox, and is not told that it has had enough."""
    async with post_office() as office, site_of(by_mail(office), store) as site:
        pages = [await site.ask(f"owner{n}", "ada@example.org") for n in range(5)]
        assert {page.status_code for page in pages} == {202}
        assert len({page.text for page in pages}) == 1
        await office.mail(sign_up_desk.MAILS_TO_ONE)
        # What is written after them was handed in later.
        await site.ask("owner9", "bob@example.org")
        assert (await office.mail(sign_up_desk.MAILS_TO_ONE + 1))["To"] == "bob@example.org"


@pytest.mark.parametrize(
    "email",
    [
        "",
        "ada",
        "ada@",
        "ada@example.org\r\nBcc: b@c.d",
        "ada@example.org, bob@example.org",
        "a" * 250 + "@b.cd",
    ],
)
async def test_what_is_no_address_is_refused(store, email):
    """Nothing of it reaches a mail's head."""
    async with post_office() as office, site_of(by_mail(office), store) as site:
        assert (await site.ask("alice", email)).status_code == 400
        assert office.mails == []


async def test_a_name_that_went_meanwhile_can_be_chosen_anew(store):
    """The link is not used up by a refusal."""
    async with post_office() as office, site_of(by_mail(office), store) as site:
        await site.ask("carol", "ada@example.org")
        await site.ask("carol", "bob@example.org")
        await office.mail(2)
        first, second = (path_in(mail.get_content()) for mail in office.mails)
        assert (await site.client.post(first)).status_code == 200
        refused = await site.client.post(second)
        assert refused.status_code == 409
        assert 'value="' in refused.text
        chosen = await site.client.post(second, data={"owner": "dora"})
        assert "@dora" in chosen.text


async def test_the_same_by_mail_for_programs(store):
    """Asking says that a mail will come; the code out of it gives the ticket."""
    async with post_office() as office, site_of(by_mail(office), store) as site:
        asked = await site.client.post("/v1/signup", json={"owner": "alice", "email": "ada@example.org"})
        assert (asked.status_code, asked.json()) == (202, {"ok": True, "state": "mail-coming"})
        code = CODE.findall((await office.mail()).get_content())[0]
        wrong = await site.client.post("/v1/signup/confirm", json={"code": "A" * 32})
        assert (wrong.status_code, wrong.json()["error"]["code"]) == (404, "unknown-code")
        value = (await site.client.post("/v1/signup/confirm", json={"code": code})).json()
        assert await site.join(person("alice", 1, system.now()), value["ticket"]) is None


async def test_neither_address_nor_ticket_nor_code_is_stored_or_logged(tmp_path, capsys):
    """A thief of the disk learns digests; the log learns nothing."""
    with capture_logs() as logs:
        code, ticket = await sign_up_with_an_address(tmp_path)
    held = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    said = capsys.readouterr()
    assert logs
    for secret in ("canary@", code, ticket):
        assert secret.encode() not in held
        assert secret not in said.out + said.err + repr(logs)


async def sign_up_with_an_address(folder):
    """Code and ticket of an account that came by mail at a relay with its file in `folder`."""
    async with (
        post_office() as office,
        open_relay_store(folder / "relay.db", generation=GENERATION) as store,
        site_of(by_mail(office), store) as site,
    ):
        await site.ask("alice", "canary@example.org")
        code = CODE.findall((await office.mail()).get_content())[0]
        ticket = link_in(await site.client.post(f"/signup/confirm/{code}")).ticket
        assert await site.join(person("alice", 1, system.now()), ticket) is None
        await office.close()
        assert (await site.ask("bob", "canary@example.com")).status_code == 202
        await until_mail_is_down(site)
    return code, ticket


# --- the mail server ----------------------------------------------------------------------------------------


# With TLS from the start the test's server does not know that there is any.
@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_mail_goes_by_tls_to_a_server_that_proves_itself(store, tmp_path, security):
    """Signed in with user and password, over STARTTLS or TLS from the start."""
    secret = tmp_path / "password"
    secret.write_text("s3cret word\n")
    async with post_office(
        security=security, user="relay", password="s3cret word", folder=tmp_path
    ) as office:
        relay = by_mail(
            office,
            smtp_security=security,
            smtp_user="relay",
            smtp_password_file=str(secret),
            smtp_ca=str(office.authority),
        )
        async with site_of(relay, store) as site:
            assert (await site.ask("alice", "ada@example.org")).status_code == 202
            await office.mail()
        assert len(office.mails) == 1
        assert office.tls_seen


async def test_a_mail_server_that_proves_nothing_gets_no_mail(store, tmp_path):
    """An unknown authority, or no TLS where it was asked for: neither password nor link goes out."""
    async with post_office(security="starttls", folder=tmp_path) as office:
        async with site_of(by_mail(office, smtp_security="starttls"), store) as site:
            assert (await site.ask("alice", "ada@example.org")).status_code == 202
            await until_mail_is_down(site)
        assert office.mails == []
    async with post_office() as office, site_of(by_mail(office, smtp_security="starttls"), store) as site:
        assert (await site.ask("alice", "ada@example.org")).status_code == 202
        await until_mail_is_down(site)
        assert office.mails == []


def test_mail_off_this_machine_is_protected():
    """Settings that would send a password openly are refused at the start."""
    with pytest.raises(CannotStart, match="unprotected"):
        mailer_of(settings(smtp="mail.example:25", smtp_from="a@b.cd", smtp_security="none"))
    with pytest.raises(CannotStart, match="SMTP_FROM"):
        mailer_of(settings(smtp="mail.example:587"))
    with pytest.raises(CannotStart, match="PASSWORD_FILE"):
        mailer_of(settings(smtp="mail.example:587", smtp_from="a@b.cd", smtp_password_file="/nowhere/at/all"))
