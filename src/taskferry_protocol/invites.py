"""Invites: a link that says exactly whom to ask, and proves the invitation (spec/identity.md section 8)."""

from __future__ import annotations

import base64
import hmac
import re
from typing import Final

import attrs

from .accounts import AccountLog
from .crypto import Kind, SigningKey, blake2b_256
from .documents import authorize, open_document, sign_document
from .errors import RejectCode, RemoteProtocolError
from .ids import AccountId, AgentRef, Hash, Instant, LogPosition, sha256

__all__ = [
    "Invite",
    "InviteLink",
    "check_invite_use",
    "invite_mac",
    "read_invite",
    "sign_invite",
]

ID_BYTES: Final = 16
SECRET_BYTES: Final = 16
LINK_CHARS: Final = 512
PORTS: Final = 65_535


@attrs.frozen
class Invite:
    """The statement behind a link: who knows the secret may ask `agent`, `uses` times until `expires_at`."""

    agent: AgentRef
    id: bytes
    check: Hash
    uses: int
    expires_at: Instant
    at: Instant
    log: LogPosition
    hash: Hash
    raw: bytes = attrs.field(repr=False)


def sign_invite(
    agent: AgentRef,
    *,
    id: bytes,
    secret: bytes,
    uses: int,
    expires_at: Instant,
    at: Instant,
    log: LogPosition,
    by: SigningKey,
) -> bytes:
    """An invite that tells only the secret's hash; `id` and `secret` are 16 fresh random bytes each."""
    return sign_document(
        Kind.INVITE,
        {
            "agent": [agent.account, agent.name],
            "id": id,
            "check": sha256(secret),
            "uses": uses,
            "expires_at": expires_at,
            "at": at,
            "log": [log.length, log.head],
        },
        by,
    )


def read_invite(raw: bytes, log: AccountLog) -> Invite:
    """An invite that the account of `log` signed; `check_invite_use` asks whether it is over or used up.

    Raises RemoteProtocolError: the codes of signatures, encoding and shape, unknown-version, then
    wrong-account, not-authorized, not-an-extension.
    """
    fields = ("agent", "id", "check", "uses", "expires_at", "at", "log")
    signed, reader = open_document(raw, Kind.INVITE, fields, log)
    invite = Invite(
        reader.agent("agent"),
        reader.bytes("id", size=ID_BYTES),
        reader.hash("check"),
        reader.uint("uses"),
        reader.time("expires_at"),
        reader.time("at"),
        reader.position("log"),
        signed.hash,
        raw,
    )
    authorize(log, invite.agent.account, signed, invite.log)
    return invite


def invite_mac(secret: bytes, request_hash: Hash) -> bytes:
    """What binds a connection request to the secret: 32 bytes, sealed beside the request."""
    return blake2b_256(key=secret.ljust(32, b"\0"), person="tf1 invite", message=request_hash)


def check_invite_use(
    invite: Invite, secret: bytes, mac: bytes, request_hash: Hash, *, used: int, now: Instant
) -> None:
    """Nothing if a request that carries `mac` may use the invite, which has been used `used` times.

    Raises RemoteProtocolError: expired, not-permitted for a wrong mac or an invite that is used up.
    """
    if now >= invite.expires_at:
        raise RemoteProtocolError(RejectCode.EXPIRED, "the invite is over")
    if not hmac.compare_digest(invite_mac(secret, request_hash), mac):
        raise RemoteProtocolError(RejectCode.NOT_PERMITTED, "does not know the invite's secret", field="mac")
    if used >= invite.uses:
        raise RemoteProtocolError(RejectCode.NOT_PERMITTED, "the invite is used up")


# --- Links --------------------------------------------------------------------------------------------------

RELAY_HOST: Final = (
    r"(?:[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?|\[[0-9a-f:.]{2,45}\])(?::(?P<port>[1-9][0-9]{0,4}))?"
)
_LINK: Final = re.compile(
    rf"taskferry://(?P<relay>{RELAY_HOST})/invite/(?P<id>[A-Za-z0-9_-]{{22}})"
    r"#account=(?P<account>[A-Za-z0-9_-]{43})&secret=(?P<secret>[A-Za-z0-9_-]{22})",
    re.ASCII,
)


@attrs.frozen
class InviteLink:
    """`taskferry://RELAY-HOST/invite/CODE#account=…&secret=…`; `relay` is a host with an optional port."""

    relay: str
    id: bytes
    account: AccountId
    secret: bytes = attrs.field(repr=False)

    def format(self) -> str:
        """The link. Whoever sees it whole can use the invite."""
        code, account, secret = map(_to_base64url, (self.id, self.account, self.secret))
        return f"taskferry://{self.relay}/invite/{code}#account={account}&secret={secret}"

    @classmethod
    def parse(cls, text: str) -> InviteLink:
        """Read a link; RemoteProtocolError(bad-value) for anything else."""
        match = _LINK.fullmatch(text) if len(text) <= LINK_CHARS else None
        if match is None or int(match["port"] or 0) > PORTS:
            raise _not_a_link()
        account = AccountId(_from_base64url(match["account"]))
        return cls(match["relay"], _from_base64url(match["id"]), account, _from_base64url(match["secret"]))


def _not_a_link() -> RemoteProtocolError:
    return RemoteProtocolError(
        RejectCode.BAD_VALUE, "not an invite link: taskferry://HOST/invite/CODE#account=…&secret=…"
    )


def _to_base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _from_base64url(text: str) -> bytes:
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    # The last character has spare bits; one secret has one spelling.
    if _to_base64url(data) != text:
        raise _not_a_link()
    return data
