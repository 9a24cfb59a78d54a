"""Giving out tickets: at once, or to whoever opens a link that was sent to an e-mail address.

Nothing here says whether an address is known, or was asked for lately. For every one an application is stored
and a letter handed in, in the same steps, and that is the answer; the rest happens after it, and only the
mail's reader learns of it.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from enum import StrEnum
from functools import partial
from typing import Final

import attrs
import trio

from taskferry_protocol.audit import RelayAuditKind
from taskferry_protocol.crypto import KEY_BYTES, blake2b_256
from taskferry_protocol.errors import EnvelopeRejected
from taskferry_protocol.ids import Entropy, Instant, is_name
from taskferry_protocol.limits import DAY_MS, MINUTE_MS
from taskferry_protocol.records import (
    AppendAudit,
    ApplicationRecord,
    DropApplication,
    GrantApplication,
    PutApplication,
    PutSetting,
    PutTicket,
    TicketRecord,
)
from taskferry_protocol.setup_links import SetupLink
from taskferry_protocol.tickets import TICKET_BYTES, make_ticket
from taskferry_stores.port import ConflictKind, RelayStore, StoreConflict

from ..logs import get_logger
from .audit import ticket_audit
from .entrance import digest_of
from .hourly import HourlyBudget, next_hour_ms
from .limits import USUAL
from .mail_room import Letter, MailRoom, NoMailNow
from .pages import PublicAddress
from .sign_up_mail import known_mail, new_mail
from .sign_ups import Allowance, SignUpBudget

__all__ = ["Issued", "Offer", "SignUpDesk", "SignUpRefused"]

#: How long a link in a mail works, and how long the ticket that it leads to keeps its name.
CODE_MS: Final = 60 * MINUTE_MS
MAILED_TICKET_MS: Final = DAY_MS
#: A ticket that anybody may have at once keeps its name for no longer than setting up takes.
OPEN_TICKET_MS: Final = 60 * MINUTE_MS
MAILS_TO_ONE: Final = USUAL.mails_to_one
MAILS_IN_ALL: Final = USUAL.mails
EMAIL_CHARS: Final = 254
EMAIL_KEY: Final = "sign-up-email-key"
_ALL: Final = "all"

_LOG = get_logger()
_CODE: Final = re.compile(r"[A-Za-z0-9_-]{32}", re.ASCII)
_EMAIL: Final = re.compile(
    r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+"
    r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?",
    re.ASCII,
)


class Offer(StrEnum):
    """How people come by a ticket here; `NONE` where no ticket lets anybody in."""

    AT_ONCE = "at-once"
    BY_MAIL = "by-mail"
    OPERATOR = "operator"
    NONE = "none"

    @property
    def is_here(self) -> bool:
        """Whether the relay's own page gives tickets out."""
        return self in (Offer.AT_ONCE, Offer.BY_MAIL)


@attrs.frozen
class Issued:
    """A new ticket, to be shown once."""

    ticket: str = attrs.field(repr=False)
    owner: str
    link: str = attrs.field(repr=False)
    expires_at: Instant
    address: PublicAddress

    @property
    def command(self) -> str:
        """What to type on the machine that is to join."""
        # A link names a host alone, and some relays stand behind a path of it.
        where = f"--relay {self.address.url} " if self.address.path else ""
        return f"taskferry setup {self.owner} {where}'{self.link}'"


class SignUpRefused(Exception):
    """No ticket: a code for programs, a sentence and the next step for people, an HTTP status."""

    def __init__(
        self, code: str, message: str, next_step: str, status: int = 400, *, retry_after_ms: int = 0
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.next_step = next_step
        self.status = status
        self.retry_after_ms = retry_after_ms


class SignUpDesk:
    """Takes applications and gives out tickets, within its limits."""

    def __init__(
        self,
        store: RelayStore,
        offer: Offer,
        mail: MailRoom | None,
        address: Callable[[], PublicAddress],
        allowance: Allowance,
        *,
        now: Callable[[], Instant],
        entropy: Entropy,
    ) -> None:
        """`allowance` bounds what one network may ask for; `mail` is there where mail is offered."""
        self._store = store
        self.offer: Final = offer
        self._mail = mail
        self._address = address
        self._now = now
        self._entropy = entropy
        self._by_peer = SignUpBudget(allowance)
        self._by_email = HourlyBudget(MAILS_TO_ONE)
        self._mails = HourlyBudget(MAILS_IN_ALL)
        self._key: bytes | None = None
        self._making_key = trio.Lock()

    def limit(self, allowance: Allowance) -> None:
        """Let one network ask for so many from now on."""
        self._by_peer.limit(allowance)

    async def apply(self, owner: str, email: str, peer: str) -> Issued | None:
        """A ticket for this owner name, or None: a mail will come. Raises SignUpRefused, store errors."""
        if not self.offer.is_here:
            raise _gives_none(self.offer)
        owner = _checked_name(owner)
        if self._mail is None:
            self._spend(peer)
            return await self._issue(owner, OPEN_TICKET_MS)
        email = email.strip()
        # What begins an encoded word (RFC 2047) is read as one by programs that carry mail, or breaks them.
        if len(email) > EMAIL_CHARS or _EMAIL.fullmatch(email) is None or "=?" in email:
            raise SignUpRefused(
                "bad-value",
                "That is no e-mail address that mail can be sent to.",
                "Write it as in ada@example.org, without accents.",
            )
        await self._require_free(owner)
        self._spend(peer)
        try:
            await self._take_letter(self._mail, email, owner)
        except NoMailNow as none:
            raise _no_mail() from none
        return None

    async def application(self, code: str) -> ApplicationRecord | None:
        """What a link in a mail stands for, if it still stands for anything."""
        if _CODE.fullmatch(code) is None:
            return None
        held = await self._store.application(digest_of(code))
        return held if held is not None and self._now() < held.expires_at else None

    async def confirm(self, code: str, owner: str) -> Issued:
        """The ticket that a link in a mail leads to, once. Raises SignUpRefused, store errors."""
        held = await self.application(code)
        if held is None:
            raise SignUpRefused(
                "unknown-code", "This link is over, or was used already.", "Ask for a new one.", 404
            )
        owner = _checked_name(owner or held.name)
        if await self._store.ticket_of_email(held.email) is not None:
            raise SignUpRefused(
                "signup-refused",
                "This e-mail address has an account here.",
                "Link this machine to it from one that it is on.",
                409,
            )
        ticket, record = self._new_ticket(owner, MAILED_TICKET_MS, held.email)
        try:
            await self._store.commit([GrantApplication(digest_of(code), record), self._made(record, "mail")])
        except StoreConflict as conflict:
            raise _refusal(conflict) from conflict
        _LOG.info("a ticket was given out", kind="by mail")
        return self._issued(ticket, record)

    # --- how

    async def _issue(self, owner: str, lifetime_ms: int) -> Issued:
        ticket, record = self._new_ticket(owner, lifetime_ms, b"")
        try:
            await self._store.commit([PutTicket(record), self._made(record, "sign-up page")])
        except StoreConflict as conflict:
            raise _refusal(conflict) from conflict
        _LOG.info("a ticket was given out", kind="at once")
        return self._issued(ticket, record)

    def _made(self, record: TicketRecord, by: str) -> AppendAudit:
        kind = RelayAuditKind.TICKET_MADE
        return ticket_audit(kind, record.digest, record.name, by, record.created_at)

    def _new_ticket(self, owner: str, lifetime_ms: int, email: bytes) -> tuple[str, TicketRecord]:
        ticket, now = make_ticket(self._entropy(TICKET_BYTES)), self._now()
        return ticket, TicketRecord(digest_of(ticket), owner, now, Instant(now + lifetime_ms), email)

    def _issued(self, ticket: str, record: TicketRecord) -> Issued:
        address = self._address()
        link = SetupLink(address.authority, ticket).format()
        return Issued(ticket, record.name, link, record.expires_at, address)

    async def _require_free(self, owner: str) -> None:
        """Names are public: whoever asks for one that is gone may know at once."""
        if await self._store.accounts_named([owner]):
            raise _refusal(StoreConflict(ConflictKind.NAME_TAKEN, ""))
        if await self._store.reserved([owner], self._now()):
            raise _refusal(StoreConflict(ConflictKind.RESERVED, ""))

    async def _take_letter(self, mail: MailRoom, email: str, owner: str) -> None:
        """Nothing in here may depend on whose address it is: a clock would tell."""
        with mail.place() as hand_in:
            spent_at = self._now()
            if not self._mails.spend(_ALL, spent_at):
                raise _too_many_mails(next_hour_ms(spent_at))
            kept = False
            try:
                digest = await self._email_digest(email)
                code = base64.urlsafe_b64encode(self._entropy(TICKET_BYTES)).decode("ascii")
                application = ApplicationRecord(digest_of(code), owner, digest, Instant(spent_at + CODE_MS))
                await self._store.commit([PutApplication(application)])
                kept = True
            except StoreConflict as conflict:
                raise _refusal(conflict) from conflict
            finally:
                if not kept:
                    self._mails.give_back(_ALL, spent_at)
            hand_in(
                Letter(
                    email,
                    partial(self._write, application, code, spent_at),
                    partial(self._unsent, application, spent_at),
                )
            )

    async def _write(
        self, application: ApplicationRecord, code: str, spent_at: Instant
    ) -> tuple[str, str] | None:
        """The mail that fits its address; None: that one has had enough of them in this hour."""
        if not self._by_email.spend(application.email.hex(), self._now()):
            _LOG.info("a mail was not sent", reason="its address had enough of them in this hour")
            await self._forget(application, spent_at)
            return None
        address = self._address()
        known = await self._store.ticket_of_email(application.email)
        if known is not None and known.account is not None:
            held = await self._store.accounts([known.account], longest=0)
            if known.account in held:
                return known_mail(address, held[known.account].name)
        return new_mail(address, application.name, f"{address.url}/signup/confirm/{code}")

    async def _unsent(self, application: ApplicationRecord, spent_at: Instant) -> None:
        self._by_email.give_back(application.email.hex(), spent_at)
        await self._forget(application, spent_at)

    async def _forget(self, application: ApplicationRecord, spent_at: Instant) -> None:
        """Only what is sent counts among all: nobody uses up everybody's hour with mails that are not."""
        self._mails.give_back(_ALL, spent_at)
        await self._store.commit([DropApplication(application.digest)])

    async def _email_digest(self, email: str) -> bytes:
        """A keyed digest, by which an address is known again and, without the key, never read."""
        async with self._making_key:
            if self._key is None:
                self._key = (await self._store.settings((EMAIL_KEY,))).get(EMAIL_KEY)
            if self._key is None:
                made = self._entropy(KEY_BYTES)
                await self._store.commit([PutSetting(EMAIL_KEY, made)])
                self._key = made
        return blake2b_256(key=self._key, person="tf1 email", message=email.lower().encode())

    def _spend(self, peer: str) -> None:
        try:
            self._by_peer.spend(peer, self._now())
        except EnvelopeRejected as error:
            retry = error.detail.get("retry_after")
            raise SignUpRefused(
                "rate-limited",
                "There were too many sign-ups from your address or its network in this hour.",
                "Come back in the next one.",
                429,
                retry_after_ms=retry if isinstance(retry, int) else CODE_MS,
            ) from error


def _no_mail() -> SignUpRefused:
    return SignUpRefused(
        "mail-unavailable",
        "The relay cannot send mail right now, and has kept nothing of this.",
        "Try again in a few minutes; your name is as free as it was.",
        503,
        retry_after_ms=5 * MINUTE_MS,
    )


def _too_many_mails(retry_after_ms: int) -> SignUpRefused:
    return SignUpRefused(
        "rate-limited",
        "The relay has sent as many sign-up mails as it may in this hour.",
        "Come back in the next one.",
        429,
        retry_after_ms=retry_after_ms,
    )


def _gives_none(offer: Offer) -> SignUpRefused:
    if offer is Offer.OPERATOR:
        told = "This relay gives out no tickets here.", "Ask its operator for one."
    else:
        told = "This relay takes no new accounts.", "Ask its operator, or join another relay."
    return SignUpRefused("signup-refused", *told, 403)


def _checked_name(owner: str) -> str:
    name = owner.strip().removeprefix("@")
    if not is_name(name):
        raise SignUpRefused(
            "bad-value",
            "An owner's name is 1 to 32 of a-z, 0-9, _ and -, and begins with a letter or digit.",
            "Choose another name.",
        )
    return name


def _refusal(conflict: StoreConflict) -> SignUpRefused:
    match conflict.kind:
        case ConflictKind.NAME_TAKEN:
            return SignUpRefused(
                "name-taken", "That name belongs to somebody else here.", "Choose another name.", 409
            )
        case ConflictKind.RESERVED:
            return SignUpRefused(
                "name-taken",
                "That name is kept for somebody who has a ticket for it.",
                "If that is you, use your ticket; else choose another name, or come back tomorrow.",
                409,
            )
        case ConflictKind.TOO_MANY:
            return SignUpRefused(
                "too-many",
                "Too many people are signing up right now.",
                "Try again in an hour.",
                503,
                retry_after_ms=CODE_MS,
            )
        case _:
            return SignUpRefused(
                "unknown-code", "This link is over, or was used already.", "Ask for a new one.", 404
            )
