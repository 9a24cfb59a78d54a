"""Mail by SMTP, with TLS that is verified: short plain texts to one address at a time."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Callable
from contextlib import suppress
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate, make_msgid
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol

import attrs
import trio

from taskferry_protocol.ids import Instant
from taskferry_transports.loopback import is_loopback

__all__ = ["MailFailed", "MailFault", "MailSecurity", "MailServer", "Mailer", "SmtpMailer"]

#: For each answer of the server; and for a mail as a whole, once it has its turn.
ANSWER_S: Final = 10.0
MAIL_S: Final = 25.0
#: Mails under way at once.
AT_ONCE: Final = 4


class MailFault(StrEnum):
    """Where sending a mail ended."""

    SERVER = "server"
    """Before the mail itself: the server is down, is not the one that was set up, or takes none from us."""
    LATER = "later"
    """The server does not take this one for now."""
    REFUSED = "refused"
    """The server will never take this one."""
    UNKNOWN = "unknown"
    """In the middle of it: the server may have taken it."""

    @property
    def is_worth_another_try(self) -> bool:
        """Whether it can come out otherwise, and nobody can get the mail twice."""
        return self in (MailFault.SERVER, MailFault.LATER)


class MailFailed(Exception):
    """A mail is not known to have gone out; `reason` says why, without an address."""

    def __init__(self, reason: str, fault: MailFault) -> None:
        super().__init__(reason)
        self.reason = reason
        self.fault = fault


class Mailer(Protocol):
    """Sends mail, or says that it could not."""

    async def send(self, to: str, subject: str, text: str) -> None:
        """Hand one mail to a server that takes it. Raises MailFailed."""

    async def probe(self) -> None:
        """Go as far as with a mail, and send none. Raises MailFailed."""


class MailSecurity(StrEnum):
    """How the connection to the mail server is protected."""

    STARTTLS = "starttls"
    TLS = "tls"
    NONE = "none"


@attrs.frozen
class MailServer:
    """Which server takes our mail, and how we sign in there."""

    host: str
    port: int
    sender: str
    security: MailSecurity = MailSecurity.STARTTLS
    user: str | None = None
    password: str = attrs.field(default="", repr=False)
    authorities: Path | None = None
    """A file of certificates to trust instead of the system's."""


@attrs.define
class _Try:
    """How far a try has come, for whoever waits for it no longer."""

    began: bool = False
    """The server is the right one, and is being offered the mail."""
    taken: bool = False
    """It has said that it takes it."""


class SmtpMailer:
    """Sends each mail over a connection of its own, in a thread."""

    def __init__(self, server: MailServer, now: Callable[[], Instant]) -> None:
        """Raises OSError, and its kind ssl.SSLError, for a file of authorities that cannot be used.

        ValueError for a server off this machine without TLS: its password and our links would travel open.
        """
        if server.security is MailSecurity.NONE and not is_loopback(server.host):
            raise ValueError(f"mail to {server.host} would travel unprotected")
        self._server = server
        self._now = now
        self._context = ssl.create_default_context(cafile=server.authorities)
        self._turns = trio.CapacityLimiter(AT_ONCE)
        # A thread that nobody waits for any more keeps its place here until its server lets go of it.
        self._threads = trio.CapacityLimiter(AT_ONCE)

    async def send(self, to: str, subject: str, text: str) -> None:
        """Hand one mail to the server. Raises MailFailed."""
        try:
            message = self._message(to, subject, text)
        except Exception as error:
            # The standard library's header parser stumbles over strangers' addresses in many ways.
            raise MailFailed(f"mail failed: {type(error).__name__}", MailFault.REFUSED) from error
        await self._try(message)

    async def probe(self) -> None:
        """Sign in at the server, and leave. Raises MailFailed."""
        await self._try(None)

    async def _try(self, message: EmailMessage | None) -> None:
        this = _Try()
        async with self._turns:
            with trio.move_on_after(MAIL_S) as scope:
                try:
                    await trio.to_thread.run_sync(
                        self._deliver, message, this, abandon_on_cancel=True, limiter=self._threads
                    )
                except (smtplib.SMTPException, OSError, ValueError) as error:
                    raise MailFailed(_without_address(error), _fault(error, this)) from error
        if scope.cancelled_caught and not this.taken:
            fault = MailFault.UNKNOWN if this.began else MailFault.SERVER
            raise MailFailed("the mail server does not answer", fault)

    def _message(self, to: str, subject: str, text: str) -> EmailMessage:
        message = EmailMessage(policy=SMTP)
        message["From"] = self._server.sender
        message["To"] = to
        message["Subject"] = subject
        message["Date"] = formatdate(self._now() / 1000)
        message["Message-ID"] = make_msgid(domain=self._server.sender.rpartition("@")[2])
        # So that no holiday notice answers (RFC 3834).
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(text, cte="7bit")
        return message

    def _deliver(self, message: EmailMessage | None, this: _Try) -> None:
        server = self._server
        connection = self._connect()
        try:
            if server.security is MailSecurity.STARTTLS:
                # Raises where the server has no TLS to offer: a mail is never sent unprotected instead.
                connection.starttls(context=self._context)
            if server.user is not None:
                connection.login(server.user, server.password)
            if message is not None:
                this.began = True
                connection.send_message(message)
            this.taken = True
            # How the goodbye goes changes nothing.
            with suppress(smtplib.SMTPException, OSError):
                connection.quit()
        finally:
            connection.close()

    def _connect(self) -> smtplib.SMTP:
        server = self._server
        if server.security is MailSecurity.TLS:
            return smtplib.SMTP_SSL(server.host, server.port, timeout=ANSWER_S, context=self._context)
        return smtplib.SMTP(server.host, server.port, timeout=ANSWER_S)


def _fault(error: Exception, this: _Try) -> MailFault:
    if not this.began or isinstance(error, smtplib.SMTPSenderRefused):
        return MailFault.SERVER
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        codes = [code for code, _ in error.recipients.values()]
        return MailFault.LATER if all(400 <= code < 500 for code in codes) else MailFault.REFUSED
    if isinstance(error, smtplib.SMTPResponseException):
        return MailFault.LATER if 400 <= error.smtp_code < 500 else MailFault.REFUSED
    return MailFault.REFUSED if isinstance(error, ValueError) else MailFault.UNKNOWN


def _without_address(error: Exception) -> str:
    """Why it failed, for a log: a server's own words may repeat to whom the mail was."""
    if isinstance(error, ssl.SSLError):
        return f"TLS with the mail server failed: {error.reason or error}"
    if isinstance(error, smtplib.SMTPResponseException):
        return f"the mail server refused with {error.smtp_code}"
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return "the mail server refused the recipient"
    if isinstance(error, OSError) and error.strerror:
        return f"the mail server cannot be reached: {error.strerror}"
    return f"mail failed: {type(error).__name__}"
