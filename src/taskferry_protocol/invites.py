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
from .limits import INVITE_BYTES, INVITE_LIFETIME_MS, INVITE_USES
from .messages import InviteProof

__all__ = [
    "Invite",
    "InviteLink",
    "InviteStanding",
    "check_invite",
    "check_invite_use",
    "invite_code",
    "invite_mac",
    "invite_proof",
    "read_invite",
    "read_invite_code",
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
    """An invite that tells only the secret's hash; `id` and `secret` are 16 fresh random bytes each.

    Nothing is judged here: `read_invite` of the bytes says whether they keep the rules.
    """
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
    """An invite that the account of `log` signed; whether it is over is for the caller's clock.

    Raises RemoteProtocolError: the codes of signatures, encoding and shape, unknown-version, bad-time, then
    wrong-account, not-authorized, not-an-extension.
    """
    fields = ("agent", "id", "check", "uses", "expires_at", "at", "log")
    signed, reader = open_document(raw, Kind.INVITE, fields, log, limit=INVITE_BYTES)
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
    if not 1 <= invite.uses <= INVITE_USES:
        raise RemoteProtocolError(RejectCode.BAD_VALUE, f"1 to {INVITE_USES} uses", field="uses")
    if not invite.at < invite.expires_at <= invite.at + INVITE_LIFETIME_MS:
        raise RemoteProtocolError(RejectCode.BAD_TIME, "at most 90 days, and some time", field="expires_at")
    authorize(log, invite.agent.account, signed, invite.log)
    return invite


def invite_mac(secret: bytes, request_hash: Hash) -> bytes:
    """What binds a connection request to the secret: 32 bytes, sealed beside the request."""
    return blake2b_256(key=secret.ljust(32, b"\0"), person="tf1 invite", message=request_hash)


def invite_proof(id: bytes, secret: bytes, request_hash: Hash) -> InviteProof:
    """What a request made through an invite carries, sealed."""
    return InviteProof(id, invite_mac(secret, request_hash))


@attrs.frozen
class InviteStanding:
    """An invite as the one who made it holds it: its secret, and how much of it is left."""

    agent: AgentRef
    secret: bytes = attrs.field(repr=False)
    uses: int
    expires_at: Instant
    used: int = 0
    revoked: bool = False


def check_invite_use(
    held: InviteStanding | None, to: AgentRef, proof: InviteProof, request_hash: Hash, *, now: Instant
) -> None:
    """Nothing if the request to `to` of that hash, which carries `proof`, may use the invite of that id.

    Raises RemoteProtocolError: unknown-invite where there is none, it is withdrawn or another agent's, or the
    mac is wrong, which nobody can tell apart; only who knows the secret hears of expired and invite-used.
    """
    known = held is not None and hmac.compare_digest(invite_mac(held.secret, request_hash), proof.mac)
    if held is None or not known or held.revoked or held.agent != to:
        raise RemoteProtocolError(
            RejectCode.UNKNOWN_INVITE, "no invite of that id and secret", field="invite"
        )
    if now >= held.expires_at:
        raise RemoteProtocolError(RejectCode.EXPIRED, "the invite is over", field="invite")
    if held.used >= held.uses:
        raise RemoteProtocolError(RejectCode.INVITE_USED, "the invite is used up", field="invite")


# --- Links --------------------------------------------------------------------------------------------------

RELAY_HOST: Final = (
    r"(?:[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?|\[[0-9a-f:.]{2,45}\])(?::(?P<port>[1-9][0-9]{0,4}))?"
)
_LINK: Final = re.compile(
    rf"taskferry://(?P<relay>{RELAY_HOST})/invite/(?P<id>[A-Za-z0-9_-]{{22}})"
    r"#account=(?P<account>[A-Za-z0-9_-]{43})&secret=(?P<secret>[A-Za-z0-9_-]{22})",
    re.ASCII,
)
_CODE: Final = re.compile(r"[A-Za-z0-9_-]{22}", re.ASCII)


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


def invite_code(id: bytes) -> str:
    """An invite's id as it stands in links."""
    return _to_base64url(id)


def read_invite_code(text: str) -> bytes:
    """The id that a code stands for. Raises RemoteProtocolError(bad-value)."""
    if not _CODE.fullmatch(text):
        raise RemoteProtocolError(RejectCode.BAD_VALUE, "22 characters of base64url", field="code")
    return _from_base64url(text)


def check_invite(invite: Invite, link: InviteLink, *, now: Instant) -> None:
    """Nothing if `invite` is what `link` leads to, and not over. `read_invite` comes first.

    Raises RemoteProtocolError: wrong-account, unknown-invite for another id or secret, expired.
    """
    if invite.agent.account != link.account:
        raise RemoteProtocolError(RejectCode.WRONG_ACCOUNT, "another account's invite", field="agent")
    if invite.id != link.id or invite.check != sha256(link.secret):
        raise RemoteProtocolError(RejectCode.UNKNOWN_INVITE, "another id or secret than the link's")
    if now >= invite.expires_at:
        raise RemoteProtocolError(RejectCode.EXPIRED, "the invite is over", field="expires_at")


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
