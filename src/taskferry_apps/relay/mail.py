"""Mail by SMTP, with TLS that is verified: short plain texts to one address at a time."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Callable
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

from ..logs import get_logger

__all__ = ["MailFailed", "MailSecurity", "MailServer", "Mailer", "SmtpMailer"]

#: For each answer of the server; and for a mail as a whole, with its wait for a turn.
ANSWER_S: Final = 10.0
MAIL_S: Final = 25.0
#: Mails under way at once. Whoever comes while so many wait hears that mail does not work now.
AT_ONCE: Final = 4
WAITING: Final = 32

_LOG = get_logger()


class MailFailed(Exception):
    """A mail did not go out; the text says why, without an address. Nothing else has happened."""


class Mailer(Protocol):
    """Sends mail, or says that it could not."""

    async def send(self, to: str, subject: str, text: str) -> None:
        """Hand one mail to a server that takes it. Raises MailFailed."""


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

    async def send(self, to: str, subject: str, text: str) -> None:
        """Hand one mail to the server. Raises MailFailed."""
        if self._turns.statistics().tasks_waiting >= WAITING:
            raise MailFailed("too many mails wait for the mail server")
        message = self._message(to, subject, text)
        with trio.move_on_after(MAIL_S) as scope:
            try:
                await trio.to_thread.run_sync(
                    self._deliver, message, abandon_on_cancel=True, limiter=self._turns
                )
            except (smtplib.SMTPException, OSError, ValueError) as error:
                reason = _without_address(error)
                _LOG.warning("a mail was not sent", reason=reason)
                raise MailFailed(reason) from error
        if scope.cancelled_caught:
            _LOG.warning("a mail was not sent", reason="timeout")
            raise MailFailed("the mail server does not answer")

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

    def _deliver(self, message: EmailMessage) -> None:
        server = self._server
        with self._connect() as connection:
            if server.security is MailSecurity.STARTTLS:
                # Raises where the server has no TLS to offer: a mail is never sent unprotected instead.
                connection.starttls(context=self._context)
            if server.user is not None:
                connection.login(server.user, server.password)
            connection.send_message(message)

    def _connect(self) -> smtplib.SMTP:
        server = self._server
        if server.security is MailSecurity.TLS:
            return smtplib.SMTP_SSL(server.host, server.port, timeout=ANSWER_S, context=self._context)
        return smtplib.SMTP(server.host, server.port, timeout=ANSWER_S)


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
