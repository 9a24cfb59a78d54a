"""A real mail server in this process, in a thread of its own, with and without TLS."""

from __future__ import annotations

import asyncio
import email
import email.policy
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import attrs
import trio
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

HOST = "127.0.0.1"
PATIENCE_S = 20.0


class _MayBeSilent(SMTP):
    """A server that takes a connection and says nothing at all, for as long as its office is silent."""

    async def _handle_client(self) -> None:
        try:
            while self.event_handler.office.silent:
                await asyncio.sleep(0.02)
        except asyncio.CancelledError:
            if self.transport is not None:
                self.transport.close()
            raise
        await super()._handle_client()


class _AnyPort(Controller):
    """A controller that takes whichever port the system gives."""

    def factory(self) -> SMTP:
        return _MayBeSilent(self.handler, **self.SMTP_kwargs)

    def _trigger_server(self) -> None:
        assert isinstance(self.server, asyncio.Server)
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


class _Postbox:
    """What the server does with a mail."""

    def __init__(self, office: PostOffice) -> None:
        self.office = office

    async def handle_DATA(self, server, session, envelope) -> str:  # noqa: N802 - aiosmtpd's name
        self.office.tls_seen = session.ssl is not None or self.office.security == "tls"
        if self.office.answer != "250 OK":
            return self.office.answer
        self.office.mails.append(email.message_from_bytes(envelope.content, policy=email.policy.default))
        return self.office.answer


@attrs.define
class PostOffice:
    """The mails that came, and how to reach it."""

    security: str = "none"
    user: str = ""
    password: str = attrs.field(default="", repr=False)
    context: ssl.SSLContext | None = None
    authority: Path | None = None
    mails: list[EmailMessage] = attrs.field(factory=list)
    tls_seen: bool = False
    silent: bool = False
    answer: str = "250 OK"
    port: int = 0
    _controller: Controller | None = None

    def _start(self) -> None:
        options: dict[str, Any] = {"ready_timeout": PATIENCE_S}
        if self.user:
            options |= {"authenticator": self._authenticate, "auth_required": True}
            options["auth_require_tls"] = self.security != "tls"
        if self.security == "starttls":
            options |= {"tls_context": self.context, "require_starttls": True}
        elif self.security == "tls":
            options["ssl_context"] = self.context
        self._controller = _AnyPort(_Postbox(self), hostname=HOST, port=self.port, **options)
        self._controller.start()
        self.port = self._controller.port

    def _authenticate(self, server, session, envelope, mechanism, data) -> AuthResult:
        given = isinstance(data, LoginPassword) and (data.login.decode(), data.password.decode())
        return AuthResult(success=given == (self.user, self.password), handled=True)

    async def mail(self, number: int = 1) -> EmailMessage:
        """The mail of that number, once it has come."""
        with trio.fail_after(PATIENCE_S):
            while len(self.mails) < number:
                await trio.sleep(0.01)
        return self.mails[number - 1]

    async def reopen(self) -> None:
        """Take mail again, at the same port."""
        await trio.to_thread.run_sync(self._start)

    async def close(self) -> None:
        """Take no more."""
        if self._controller is not None:
            await trio.to_thread.run_sync(self._controller.stop)
            self._controller = None


@asynccontextmanager
async def post_office(
    *, security: str = "none", user: str = "", password: str = "", folder: Path | None = None
) -> AsyncIterator[PostOffice]:
    """A mail server for the length of the block; with TLS, its authority's certificate stands in `folder`."""
    office = PostOffice(security, user, password)
    if security != "none":
        assert folder is not None
        authority = trustme.CA()
        office.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("localhost").configure_cert(office.context)
        office.authority = folder / "authority.pem"
        authority.cert_pem.write_to_path(office.authority)
    await office.reopen()
    try:
        yield office
    finally:
        with trio.CancelScope(shield=True):
            await office.close()
