"""The link to the relay: dialled again and again, one session after another, for as long as the daemon runs.

Everything works on while there is none: what is to be sent waits in the outbox, and the status says so.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import trio

from taskferry_protocol import calls
from taskferry_protocol.accounts import AccountLog
from taskferry_protocol.errors import RejectCode
from taskferry_protocol.frame_items import Refusal, statement_page
from taskferry_protocol.ids import AccountId, AgentRef, Instant
from taskferry_protocol.records import Generation
from taskferry_protocol.sessions import LogExtension
from taskferry_transports.backoff import delay
from taskferry_transports.port import DialRefused

from ..logs import get_logger
from ..relay_client import Identity, LinkEnded, RelayClient, open_relay
from .audit_hours import audit_sign_in
from .bell import Bell
from .core import Core
from .inbound import Inbound
from .instances import note_other_instance, stand_alone
from .intake import Intake
from .lasting import note_lasting
from .log_news import fetch_for_mail, take_news, take_own_log, take_own_news
from .outbound import Outbound
from .presence import Presence
from .publishing import Publisher, fetch_log
from .quiet import QUIET_MS, Quiet
from .receipts import Receipts
from .regaining import regain, regain_anew
from .resuming import Resumption, resume
from .route import RELAY_SETTING, Route, RouteTo, first_end, unreachable
from .short_sessions import LASTING, short_session
from .tickets import FORGET_TICKET, kept_ticket, require_same_relay
from .views import RelayStatus

__all__ = ["RELAY_SETTING", "Link", "Route", "RouteTo"]

#: Nothing is due, and yet somebody looks: a lost ring costs no more than this.
LOOK_AGAIN_S: Final = 30.0
#: What waits behind something that waits is not looked at more often than this.
SHORTEST_WAIT_S: Final = 0.2
#: How long whoever makes an agent waits for the relay to know of it.
PUBLISH_S: Final = 3.0
_LASTING_ATTEMPTS: Final = 8


class Link:
    """Runs the sessions; tells how the link stands; asks the relay for others."""

    def __init__(self, core: Core, route_to: RouteTo, relay: str | None = None, token: str = "") -> None:
        """`relay` outranks the one that set-up named; `token` lets new accounts in where it asks for that."""
        self._core = core
        self._token = token
        self._route_to = route_to
        self._configured = relay
        self._client: RelayClient | None = None
        self._published = 0
        self.published = Bell()
        """The relay has taken something that was to be published."""
        self._attempt = 0
        self._error = ""
        self._asked_away: float | None = None
        """Seconds that the relay asked us to stay away when it took no session for a claim."""
        self.refused: RejectCode | None = None
        """Why the relay took no session the last time, if it said."""
        self._since: Instant | None = None
        self._url = relay or ""
        self._notice = ""
        self._quiet = Quiet()
        self._presence = Presence()
        self._own_is_stale = False
        self._is_other_branch = False

    # --- What others ask

    async def status(self) -> RelayStatus:
        """How the link stands."""
        client = self._client
        return RelayStatus(
            url=self._url or (await self._relay_url() or ""),
            connected=client is not None,
            transport=client.transport_kind if client is not None else "",
            since=self._since,
            queued=await self._core.store.outbox_waiting(),
            last_error=self._error,
            notice=self._notice,
        )

    async def url(self) -> str:
        """The relay that this daemon uses. Raises DaemonRefusal(not-set-up)."""
        url = await self._relay_url()
        if url is None:
            raise self._core.not_set_up()
        return url

    async def is_away(self, agent: AgentRef) -> bool:
        """Whether the relay says, and soon, that no device of a peer's agent has a session now."""
        client = self._client
        return client is not None and await self._presence.is_away(client, agent)

    async def wait_published(self, length: int) -> None:
        """Wait, though not for long, until the relay has so many statements of our log."""
        with trio.move_on_after(PUBLISH_S):
            while self._client is not None and self._published < length:
                heard = self.published.next
                if self._published < length:
                    await heard.wait()

    async def claim(self, url: str, log: AccountLog, ticket: str) -> RejectCode | None:
        """Join a relay with a fresh account: its code if it will not have it, None if it has, or is away.

        `ticket` is for the relay at `url`, and empty if there is none.
        """
        self.check_relay(url, ticket)
        self._error, self._asked_away = "", None
        ring = self._core.ring
        if ring is None:
            raise self._core.not_set_up()
        try:
            whole = Identity(log.account, ring.device.signing), LogExtension(0, log.statements)
            async with self.short_session(url, *whole, ticket or self._token):
                return None
        except LinkEnded as ended:
            self._fail(str(ended))
            self._asked_away = ended.retry_after_s
            return ended.code if ended.code in LASTING else None

    @asynccontextmanager
    async def short_session(
        self, url: str, identity: Identity, log: LogExtension, ticket: str = ""
    ) -> AsyncIterator[RelayClient]:
        """A session with a relay beside the one that is kept up: to join, or to look an account up.

        Raises LinkEnded where it does not come to be, or is over; DaemonRefusal(bad-value) for an address
        that is none of a relay.
        """
        self._url = self._configured or url
        route = self._route_to(self._url)
        async with short_session(route, identity, log, self._core.now, self._core.entropy, ticket) as client:
            yield client

    def origin_of(self, url: str) -> str:
        """The origin under which a relay's URL is dialled; mailboxes are told apart by it."""
        return self._route_to(self._configured or url).origin

    def published_up_to(self, length: int) -> None:
        """The relay has taken so many statements of our log, though not through this link."""
        self._published = length

    def check_relay(self, url: str, ticket: str) -> None:
        """Refuse a ticket for another relay than the one that this daemon was told to use."""
        if ticket and self._configured is not None:
            require_same_relay(self._configured, url)

    def begin_afresh(self) -> None:
        """Forget why no session was taken, since what it was about has changed; dial at once."""
        self._attempt, self._error, self.refused, self._asked_away = 0, "", None, None
        self._core.changed.ring()

    @property
    def away(self) -> bool:
        """Whether the relay was not reached the last time, and is not yet."""
        return self._client is None and bool(self._error)

    @property
    def connected(self) -> bool:
        """Whether there is a session now."""
        return self._client is not None

    @property
    def drained_until(self) -> Instant:
        """Up to when everything sent to this device has surely been taken; 0 while nobody can say."""
        now = self._core.now()
        return Instant(now - QUIET_MS) if self._quiet.holds(now) else Instant(0)

    def note_quiet(self) -> None:
        """Remember, if it is so, that this device holds all that the relay has for it."""
        self._quiet.note(self._core)

    async def call(self, request: calls.CallRequest) -> calls.CallAnswer:
        """Ask the relay. Raises DaemonRefusal where there is no session; CallRefused."""
        client = self._client
        if client is None:
            raise unreachable(self._error)
        try:
            return await client.call(request)
        except LinkEnded as ended:
            raise unreachable(self._error) from ended

    async def append(self, start: int, statements: Sequence[bytes]) -> None:
        """Have the relay put these next in our log. Raises CallRefused, DaemonRefusal(relay-unreachable)."""
        try:
            await self.call(calls.AppendStatements(start, tuple(statements), offer=True))
            note_lasting()
        finally:
            # Another device was first; or the relay has what comes to nothing here, since nobody waited.
            self._own_is_stale = True
            self._core.outgoing.ring()

    async def fetch(self, account: AccountId, start: int) -> Sequence[bytes]:
        """An account's statements from an index on, as the relay has them. Raises DaemonRefusal."""
        client = self._client
        if client is None:
            raise unreachable(self._error)
        try:
            return await fetch_log(client, account, start)
        except LinkEnded as ended:
            raise unreachable(self._error) from ended

    # --- Its life

    async def run(self) -> None:
        """Keep a session open until cancelled. Raises the store's errors."""
        while True:
            changed = self._core.changed.next
            url = await self._relay_url()
            if self._core.account is None or url is None:
                await changed.wait()
                continue
            self._url = url
            if self._asked_away is not None:
                with trio.move_on_after(delay(1, self._core.jitter(), retry_after=self._asked_away)):
                    await changed.wait()
                self._asked_away = None
                continue
            route = self._route_to(url)
            retry_after = await self._one_session(route)
            if route.stands():
                continue
            self._attempt += 1
            with trio.move_on_after(delay(self._attempt, self._core.jitter(), retry_after=retry_after)):
                await changed.wait()

    async def _relay_url(self) -> str | None:
        if self._configured is not None:
            return self._configured
        raw = (await self._core.store.settings((RELAY_SETTING,))).get(RELAY_SETTING)
        return raw.decode() if raw is not None else None

    async def _one_session(self, route: Route) -> float | None:
        """Dial and serve until it ends; how many seconds the relay asked us to stay away, if it did."""
        retry_after: float | None = None
        try:
            transport = await route.dialer.dial()
        except DialRefused as refused:
            self._fail(refused.reason)
            if not refused.retryable:
                self._attempt = max(self._attempt, _LASTING_ATTEMPTS)
            return refused.retry_after
        self._notice = route.notice()
        log = await self._core.own_log()
        start = min(self._published, log.state.length)
        resumption = await resume(self._core, route.origin)
        try:
            async with open_relay(
                transport,
                Identity(self._core.own, self._core.keys.device.signing),
                origin=route.origin,
                log=LogExtension()
                if self._is_other_branch
                else LogExtension(start, statement_page(log.after(start))),
                cursor=resumption.offered,
                offered=route.offered,
                # Whoever may not be known there shows what it has; to a relay that knows it, nothing.
                ticket="" if start else await kept_ticket(self._core.store, route.origin) or self._token,
                now=self._core.now,
                entropy=self._core.entropy,
                instance=self._core.instance.hello() if self._core.instance is not None else None,
                ear=self._core.ear,
            ) as client:
                resumption.check(client.ready)
                await self._serve(client, route.origin, resumption)
        except* LinkEnded as group:
            ended = first_end(group)
            await note_other_instance(self._core, ended.code)
            # What the relay holds goes on otherwise: come in without a word of ours, and look at all of it.
            whole = start == 0 and ended.code is RejectCode.NOT_AN_EXTENSION
            self._is_other_branch = ended.code is RejectCode.FORKED or whole
            retry_after = ended.retry_after_s
            await self._ended(ended)
        finally:
            self.note_quiet()
            self._core.clock.note_over()
            if self._client is not None:
                get_logger().info("disconnected from the relay", url=self._url, reason=self._error)
            self._client = self._since = self._quiet.heard_at = None
            self._core.shown.ring()
        return retry_after

    def _fail(self, text: str) -> None:
        if text != self._error:
            get_logger().warning("the relay is not reachable", url=self._url, reason=text)
        self._error = text
        self._core.shown.ring()

    async def _ended(self, ended: LinkEnded) -> None:
        if self._client is None and str(ended) != self._error:
            get_logger().warning("the relay took no session", url=self._url, reason=str(ended))
        self._error, self.refused = str(ended), ended.code
        if ended.code in (RejectCode.NOT_AN_EXTENSION, RejectCode.SIGNUP_REFUSED):
            self._published = 0  # it has forgotten some of our log, or all of it
        if ended.code is RejectCode.UNKNOWN_DEVICE and self._client is None and not self._published:
            # A long log goes there by the page, and the first need not name this device: begin at the end.
            self._published = (await self._core.own_log()).state.length - 1
        elif ended.code is RejectCode.UNKNOWN_DEVICE:
            self._published = 0
            self._attempt = max(self._attempt, _LASTING_ATTEMPTS)
        elif ended.code in LASTING and ended.retry_after is None:
            self._attempt = max(self._attempt, _LASTING_ATTEMPTS)

    async def _serve(self, client: RelayClient, origin: str, resumption: Resumption) -> None:
        generation = Generation(client.ready.generation)
        self._published = client.ready.log.length
        if await kept_ticket(self._core.store, origin):
            await self._core.commit((FORGET_TICKET,))
        self._core.clock.compare(client.ready.relay_now)
        if self._core.clock.is_off:
            self._came_in(client)
            await self._core.clock.wait_while_off(client.wait_ended)
        await take_own_news(self._core, client)
        # What is signed from here on continues what was signed by whom this one takes the place of.
        await stand_alone(self._core)
        # Before any mail: what comes from a peer is for a connection that is known then.
        await regain(self._core, client)
        await resumption.begin(self._core, client.ready)
        if self._core.caught_up is None:
            # Who was never here before has nothing waiting.
            self._core.caught_up = self._core.now()
            await self._core.commit(self._core.keep_caught_up())
        await audit_sign_in(self._core, origin, client.transport_kind)
        self._came_in(client)
        self._quiet.heard_at = self._core.now()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._receive, client, origin, generation)
            nursery.start_soon(self._send, client)
            raise await client.wait_ended()

    def _came_in(self, client: RelayClient) -> None:
        if self._client is None:
            get_logger().info("connected to the relay", url=self._url, transport=client.transport_kind)
        self._client, self._since = client, self._core.now()
        self._attempt, self._error, self.refused = 0, "", None
        for bell in (self._core.feed, self._core.shown, self._core.due):
            bell.ring()

    async def _receive(self, client: RelayClient, origin: str, generation: Generation) -> None:
        inbound = Inbound(self._core, fetch_for_mail(self._core, client))
        intake = Intake(self._core, inbound, origin, generation)
        while True:
            entries = await client.deliveries()
            self.note_quiet()
            # Taking them may have to wait for the relay, and they count as not here yet.
            self._quiet.heard_at = None
            await intake.take(entries)
            await client.ack(entries[-1].offset)
            self._quiet.heard_at = self._core.now()
            self._core.outgoing.ring()

    async def _send(self, client: RelayClient) -> None:
        async def renew(account: bytes, refusal: Refusal) -> bool:
            if not refusal.detail.statements:
                # Nothing is new with the recipient: it may be our own log that went on without this device.
                self._own_is_stale = True
            return await take_news(self._core, client, AccountId(account), refusal)

        outbound = Outbound(self._core, client, renew)
        publisher = Publisher(self._core, client, regain_anew)
        receipts = Receipts(self._core)
        while True:
            heard = self._core.outgoing.next
            if self._own_is_stale:
                self._own_is_stale = False
                await take_own_log(self._core, client)
            await receipts.say()
            # In this order: whatever log position the due ones quote, the relay has it before them.
            due = await outbound.due()
            self._published = await publisher.publish()
            self.published.ring()
            if due:
                await outbound.send(due)
                continue
            if outbound.awaits:
                await outbound.settle()
                continue
            next_at = await self._core.store.next_attempt()
            wait = min(LOOK_AGAIN_S, receipts.wait_s)
            if next_at is not None:
                wait = min(wait, max(SHORTEST_WAIT_S, (next_at - self._core.now()) / 1000))
            with trio.move_on_after(wait):
                await heard.wait()
