"""Mail that is sent after the answer: the same steps for every address, whatever a mail server does."""

from __future__ import annotations

import httpx
import pytest
import trio

from taskferry_apps import system
from taskferry_apps.relay import mail_room, sign_up_desk
from taskferry_apps.relay.audit import RelayAudit
from taskferry_apps.relay.compose import mailer_of
from taskferry_apps.relay.entrance import digest_of
from taskferry_apps.relay.mail import MailFailed, MailFault
from taskferry_apps.relay.mail_room import Letter, MailRoom, NoMailNow
from taskferry_apps.relay.pages import PublicAddress
from taskferry_apps.relay.sign_up_desk import Offer, SignUpDesk, SignUpRefused
from taskferry_apps.relay.sign_ups import Allowance
from taskferry_protocol.records import RedeemTicket
from taskferry_stores.memory import MemoryRelayStore

from ..daemon.worlds import Clock
from ..stores.samples import account, append
from .conftest import GENERATION
from .people import person
from .post_office import post_office
from .test_audit import entries
from .test_sign_up import CODE, by_mail, link_in, path_in, site_of, until_mail_is_down

ADDRESS = PublicAddress("https://relay.test")


class Watched:
    """A store that writes down what one task does with it."""

    def __init__(self, store: MemoryRelayStore) -> None:
        self.store = store
        self.task: object = None
        self.steps: list[str] = []

    def __getattr__(self, name: str):
        method = getattr(self.store, name)

        async def watched(*args, **named):
            if trio.lowlevel.current_task() is self.task:
                what = [type(change).__name__ for change in args[0]] if name == "commit" else []
                self.steps.append(" ".join([name, *what]))
            return await method(*args, **named)

        return watched


class Post:
    """A mailer of this test's: what it took, and how it answers."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, str, str]] = []
        self.faults: list[MailFault | None] = []
        self.gate = trio.Event()
        self.gate.set()
        self.tries = 0

    async def send(self, to: str, subject: str, text: str) -> None:
        """Take the mail, or answer with the next fault."""
        self.tries += 1
        await self.gate.wait()
        fault = self.faults.pop(0) if self.faults else None
        if fault is not None:
            raise MailFailed(f"a fault of kind {fault}", fault)
        self.taken.append((to, subject, text))

    async def probe(self) -> None:
        """Work, or answer with the next fault."""
        await self.send("nobody", "", "")
        self.taken.pop()


@pytest.fixture
async def post() -> Post:
    """The mailer."""
    return Post()


@pytest.fixture
async def store() -> Watched:
    """The relay's store, watched."""
    return Watched(MemoryRelayStore(GENERATION))


@pytest.fixture
def clock() -> Clock:
    """The time."""
    return Clock()


@pytest.fixture
async def room(post, store, clock, nursery):
    """A mail room that runs."""
    made = MailRoom(post, RelayAudit(store.store, clock.now))
    await nursery.start(made.run)
    return made


@pytest.fixture
async def desk(store, room, clock):
    """A desk that sends its tickets by mail."""
    return SignUpDesk(
        store,
        Offer.BY_MAIL,
        room,
        lambda: ADDRESS,
        Allowance.of(1_000),
        now=clock.now,
        entropy=system.entropy,
    )


async def until(condition) -> None:
    """Wait for what will be so soon."""
    with trio.fail_after(10):
        while not condition():
            await trio.sleep(0.01)


async def make_known(store, desk, post, clock, email: str) -> None:
    """The address has an account here."""
    await desk.apply("alice", email, "192.0.2.1")
    await until(lambda: post.taken)
    issued = await desk.confirm(CODE.findall(post.taken[0][2])[0], "alice")
    redeem = RedeemTicket(digest_of(issued.ticket), account("alice"), "alice", clock.now())
    await store.store.commit([append("alice"), redeem])


async def failures(store) -> list[dict[str, object]]:
    """What the operator finds about mails that failed, now that the relay has stopped."""
    return [facts for kind, _, facts in await entries(store) if kind == "mail_failed"]


async def steps_of(store, desk, email: str) -> list[str]:
    """What answering an application does, in order; the answer is always the same."""
    store.steps, store.task = [], trio.lowlevel.current_task()
    assert await desk.apply("carol", email, "192.0.2.1") is None
    store.task = None
    return list(store.steps)


@pytest.mark.parametrize("silent", [False, True])
async def test_every_address_takes_the_same_steps(store, desk, post, clock, silent):
    """Known, unknown, or asked for too often lately: one commit, no look at the address, no wait for mail."""
    await make_known(store, desk, post, clock, "ada@example.org")
    for number in range(5):
        await desk.apply("carol", "often@example.org", "192.0.2.1")
        await until(lambda count=number: len(post.taken) == min(count + 2, 4))
    if silent:
        post.gate = trio.Event()
    found = {who: await steps_of(store, desk, f"{who}@example.org") for who in ("ada", "bob", "often")}
    assert found["ada"] == found["bob"] == found["often"]
    assert [step for step in found["ada"] if step.startswith("commit")] == ["commit PutApplication"]
    assert "ticket_of_email" not in found["ada"]
    post.gate.set()
    await until(lambda: len(post.taken) == 6)
    assert {to: "already" in text for to, _, text in post.taken[4:]} == {
        "ada@example.org": True,
        "bob@example.org": False,
    }


async def test_when_all_mails_are_used_up_every_address_hears_the_same(desk, post, clock, monkeypatch):
    """Also one that would get none: otherwise the end of the budget would tell who was asked for lately."""
    monkeypatch.setattr(sign_up_desk, "MAILS_TO_ONE", 1)
    desk._mails._per_hour = 3
    for email in ("often", "ada", "bob"):
        await desk.apply("carol", f"{email}@example.org", "192.0.2.1")
    for email in ("often", "new"):
        with pytest.raises(SignUpRefused) as refused:
            await desk.apply("carol", f"{email}@example.org", "192.0.2.1")
        assert (refused.value.code, refused.value.status) == ("rate-limited", 429)


async def test_a_mail_that_is_taken_later_is_tried_again_and_comes_once(desk, post, monkeypatch):
    """A server that is down or says `later` gets it again; one that may have it does not."""
    monkeypatch.setattr(mail_room, "PAUSES_S", (0.0, 0.01, 0.01, 0.01))
    post.faults = [MailFault.SERVER, MailFault.LATER]
    await desk.apply("carol", "ada@example.org", "192.0.2.1")
    await until(lambda: post.taken)
    assert post.tries == 3
    code = CODE.findall(post.taken[0][2])[0]
    assert (await desk.application(code)).name == "carol"


@pytest.mark.parametrize(
    ("faults", "tries", "kept"),
    [
        ([MailFault.SERVER] * 4, 4, False),
        ([MailFault.LATER] * 4, 4, False),
        ([MailFault.REFUSED], 1, False),
        # Whoever may have got it finds that its link works.
        ([MailFault.UNKNOWN], 1, True),
    ],
)
async def test_a_mail_that_comes_to_nothing_leaves_nothing(
    store, desk, post, monkeypatch, faults, tries, kept
):
    """After few tries its row and its place in the budgets are given back, unless somebody may have it."""
    monkeypatch.setattr(mail_room, "PAUSES_S", (0.0, 0.01, 0.01, 0.01))
    post.faults = list(faults)
    await desk.apply("carol", "ada@example.org", "192.0.2.1")
    await until(lambda: desk._mail._held == 0)
    assert post.tries == tries
    assert bool(store.store._sign_ups.applications) is kept
    assert desk._mails._counts["all"] == int(kept)
    assert sum(desk._by_email._counts.values()) == int(kept)


@pytest.mark.parametrize("works", [False, True])
@pytest.mark.parametrize("email", ["often", "new"])
async def test_after_a_failure_every_address_finds_out_alike(desk, post, monkeypatch, email, works):
    """Also one that gets no mail: whether the desk stays closed tells nobody that there was none to send."""
    monkeypatch.setattr(sign_up_desk, "MAILS_TO_ONE", 1)
    monkeypatch.setattr(mail_room, "PAUSES_S", (0.0, 60.0))
    monkeypatch.setattr(mail_room, "DOWN_S", 0.0)
    await desk.apply("carol", "often@example.org", "192.0.2.1")
    await until(lambda: post.taken)
    post.faults = [MailFault.SERVER] if works else [MailFault.SERVER, MailFault.SERVER]
    await desk.apply("carol", "ada@example.org", "192.0.2.1")
    await until(lambda: post.tries == 2)
    monkeypatch.setattr(mail_room, "DOWN_S", 60.0)
    await desk.apply("carol", f"{email}@example.org", "192.0.2.1")
    await until(lambda: post.tries == 3)
    if works:
        await desk.apply("carol", "bob@example.org", "192.0.2.1")
    else:
        with pytest.raises(SignUpRefused):
            await desk.apply("carol", "bob@example.org", "192.0.2.1")


async def test_a_refused_recipient_does_not_make_mail_count_as_down(desk, post):
    """Nobody shuts the desk for others with addresses that a server does not take."""
    post.faults = [MailFault.REFUSED, MailFault.UNKNOWN]
    for number in range(2):
        await desk.apply("carol", f"nobody{number}@example.org", "192.0.2.1")
    await until(lambda: post.tries == 2)
    await desk.apply("carol", "ada@example.org", "192.0.2.1")
    await until(lambda: post.taken)


async def test_letters_are_bounded(room, post, monkeypatch):
    """Beyond the bound nobody is taken, and a place that was not used is free again."""
    monkeypatch.setattr(mail_room, "LETTERS", 2)
    post.gate = trio.Event()

    async def write():
        return "subject", "text"

    async def unsent():
        raise AssertionError("it was sent")

    with pytest.raises(ZeroDivisionError), room.place():
        _ = 1 // 0
    for _ in range(2):
        with room.place() as hand_in:
            hand_in(Letter("ada@example.org", write, unsent))
    with pytest.raises(NoMailNow), room.place():
        pass
    post.gate.set()
    await until(lambda: len(post.taken) == 2)
    with room.place():
        pass


async def test_a_stop_sends_what_waits_and_says_what_it_loses(room, post, store, monkeypatch):
    """A letter that waits for another try is given up; one under way has a moment; none is taken any more."""
    monkeypatch.setattr(mail_room, "STOP_S", 0.2)
    gone: list[str] = []

    def letter(to: str) -> Letter:
        async def write():
            return "subject", to

        async def unsent():
            gone.append(to)

        return Letter(to, write, unsent)

    post.faults = [MailFault.LATER]
    with room.place() as hand_in:
        hand_in(letter("later"))
    await until(lambda: post.tries == 1)
    post.gate = trio.Event()
    with room.place() as hand_in:
        hand_in(letter("stuck"))
    await until(lambda: post.tries == 2)
    with trio.fail_after(5):
        await room.finish()
    assert gone == ["later"]
    with pytest.raises(NoMailNow), room.place():
        pass
    await room._audit.flush()
    (lost,) = [facts for kind, _, facts in await entries(store.store) if facts.get("lost")]
    assert lost["lost"] == 1


# --- with a real mail server --------------------------------------------------------------------------------


async def test_a_mail_server_that_says_nothing_holds_nobody():
    """It takes connections and never speaks: every address has its answer long before that times out."""
    store = MemoryRelayStore(GENERATION)
    async with post_office() as office, site_of(by_mail(office), store) as site:
        await site.ask("alice", "ada@example.org")
        ticket = link_in(await site.client.post(path_in((await office.mail()).get_content()))).ticket
        assert await site.join(person("alice", 1, system.now()), ticket) is None
        office.silent = True
        pages: list[httpx.Response] = []
        # A try takes ten seconds there: nothing of it is in these answers.
        with trio.fail_after(8):
            for email in ("ada", "bob", "often", "often", "often", "often"):
                pages.append(await site.ask("carol", f"{email}@example.org"))
        assert {(page.status_code, page.text) for page in pages} == {(202, pages[0].text)}
        assert len(office.mails) == 1
        office.silent = False
        await office.mail(1 + 5)
        to = sorted(mail["To"] for mail in office.mails[1:])
        assert to == ["ada@example.org", "bob@example.org", *["often@example.org"] * 3]


async def test_a_silent_server_is_seen_by_the_operator(monkeypatch):
    """After a try without an answer people hear that mail is down, and the audit log says why."""
    monkeypatch.setattr("taskferry_apps.relay.mail.ANSWER_S", 0.1)
    store = MemoryRelayStore(GENERATION)
    async with post_office() as office:
        office.silent = True
        async with site_of(by_mail(office), store) as site:
            assert (await site.ask("alice", "ada@example.org")).status_code == 202
            await until_mail_is_down(site)
        found = await failures(store)
        office.silent = False
    assert found
    # A letter that is for nobody takes the same way; whether its word is written down by now is chance.
    told = {facts["then"] for facts in found if "then" in facts}
    assert "to be tried again" in told
    assert told <= {"to be tried again", "nothing was to be sent"}
    assert "ada" not in repr(found)


async def test_while_mail_is_down_nothing_is_lost(monkeypatch):
    """Once it is noticed, the answer says so and when to come back; later all is well, the first mail too."""
    monkeypatch.setattr(mail_room, "PAUSES_S", (0.0, *[0.2] * 50))
    store = MemoryRelayStore(GENERATION)
    async with post_office() as office, site_of(by_mail(office), store) as site:
        await office.close()
        assert (await site.ask("alice", "ada@example.org")).status_code == 202
        page = await until_mail_is_down(site)
        assert page.headers["Retry-After"] == "300"
        assert "try again" in page.text.lower()
        assert 'value="zoe@example.org"' in page.text
        answer = await site.client.post("/v1/signup", json={"owner": "alice", "email": "bob@example.org"})
        assert answer.json()["error"]["code"] == "mail-unavailable"
        assert await store.reserved(["alice"], system.now()) == frozenset()
        await office.reopen()
        with trio.fail_after(10):
            while not any(mail["To"] == "ada@example.org" for mail in office.mails):
                await trio.sleep(0.02)
            # The server has the mail a moment before the relay hears that it has.
            while (await site.ask("alice", "eve@example.org")).status_code != 202:
                await trio.sleep(0.02)


async def test_mails_that_could_not_be_sent_use_up_nobodys_hour(monkeypatch):
    """Whoever asks again and again while mail is down leaves the others their mails for when it works."""
    monkeypatch.setattr(sign_up_desk, "MAILS_IN_ALL", 1)
    monkeypatch.setattr(mail_room, "PAUSES_S", (0.0,))
    monkeypatch.setattr(mail_room, "DOWN_S", 0.0)
    store = MemoryRelayStore(GENERATION)
    async with post_office() as office, site_of(by_mail(office), store) as site:
        await office.close()
        for number in range(3):
            assert (await site.ask("alice", f"ada{number}@example.org")).status_code == 202
            await until(lambda: not store._sign_ups.applications)
        await office.reopen()
        assert (await site.ask("alice", "ada@example.org")).status_code == 202
        assert (await site.ask("bob", "bob@example.org")).status_code == 429, "and what was sent counts"
        assert (await office.mail())["To"] == "ada@example.org"


@pytest.mark.parametrize(
    ("answer", "reason"), [("451 not now", "refused with 451"), ("554 no", "refused with 554")]
)
async def test_what_a_server_answers_is_told_to_the_operator_alone(answer, reason):
    """The asker's answer is the same; the log has the server's code and not its words."""
    store = MemoryRelayStore(GENERATION)
    async with post_office() as office:
        office.answer = answer
        async with site_of(by_mail(office), store) as site:
            assert (await site.ask("alice", "ada@example.org")).status_code == 202
            assert (await site.ask("alice", "bob@example.org")).status_code == 202
    found = await failures(store)
    assert reason in str(found[0]["reason"])
    assert "not now" not in repr(found)


CRASHING = "=?utf-/8?b?-=?=@example.org"
"""The standard library's reader of addresses raises IndexError for it."""


async def test_no_address_ends_a_relay_that_sends_mail():
    """A stranger's address that is read as an encoded word is refused, and the next one is served."""
    async with post_office() as office, site_of(by_mail(office), MemoryRelayStore(GENERATION)) as site:
        assert (await site.ask("eve", CRASHING)).status_code == 400
        await site.ask("alice", "ada@example.org")
        assert (await office.mail())["To"] == "ada@example.org"


async def test_a_mail_that_cannot_be_written_has_failed():
    """Whatever a header makes the library stumble over ends this mail, and is not tried again."""
    async with post_office() as office:
        mailer = mailer_of(by_mail(office))
        assert mailer is not None
        with pytest.raises(MailFailed) as failed:
            await mailer.send(CRASHING, "subject", "text")
        assert failed.value.fault is MailFault.REFUSED


async def test_an_address_is_known_again_though_whoever_came_first_hung_up(post, clock, nursery):
    """The key of all digests counts once it is stored, however its first use ends."""

    class Slow(MemoryRelayStore):
        storing: trio.Event | None = None

        async def commit(self, changes):
            if self.storing is not None:
                self.storing.set()
                await trio.sleep_forever()
            return await super().commit(changes)

    store = Slow(GENERATION)
    room = MailRoom(post, RelayAudit(store, clock.now))
    await nursery.start(room.run)

    def a_desk() -> SignUpDesk:
        allowance = Allowance.of(60)
        return SignUpDesk(
            store, Offer.BY_MAIL, room, lambda: ADDRESS, allowance, now=clock.now, entropy=system.entropy
        )

    desk, store.storing = a_desk(), trio.Event()
    async with trio.open_nursery() as first:
        first.start_soon(desk.apply, "ada", "ada@example.org", "192.0.2.1")
        await store.storing.wait()
        first.cancel_scope.cancel()
    store.storing = None
    assert await desk._email_digest("bob@example.org") == await a_desk()._email_digest("bob@example.org")
