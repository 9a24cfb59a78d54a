"""Connections that a relay shows to an owner who has lost what was held of them (spec/identity.md section 9).

All that is shown was signed by both sides, and is verified by their logs. Since the devices that signed it
may be gone, it is read as of the positions that it quotes: whoever has such a device's key, and the relay on
their side, can make things up; and any relay can leave out an end, or a later grant. So nothing that is shown
here says what a peer may do: that is the owner's word, once more.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from .accounts import AccountLog
from .call_answers import ShownConnection
from .connections import (
    ConnectionAccept,
    ConnectionEnd,
    ConnectionRequest,
    read_accept,
    read_end,
    read_request,
    recall_request,
)
from .crypto import Kind
from .documents import authorize_then, peek
from .errors import RejectCode, RemoteProtocolError
from .ids import AccountId, AgentRef
from .permissions import Grant, check_grant_for, newer_grant, read_grant

__all__ = ["Regained", "peer_in", "read_shown"]


@attrs.frozen
class Regained:
    """A connection between `mine` and `peer` as it was shown, verified.

    `given` is what this side allows and `received` what the peer does, as far as it was shown; their terms
    are no part of it.
    """

    mine: AgentRef
    peer: AgentRef
    request: ConnectionRequest
    accept: ConnectionAccept
    end: ConnectionEnd | None
    given: Grant | None
    received: Grant | None


def peer_in(shown: ShownConnection, own: AccountLog) -> AccountId:
    """Whose log it takes, beside one's own, to read a shown connection of which this side's word holds.

    So nobody makes an owner ask after accounts that the owner never had to do with. Raises
    RemoteProtocolError: the codes of shape; wrong-account where it is not between this account and another;
    as `read_request` or `read_accept` for what this side should have signed.
    """
    claim = recall_request(shown.request)
    accounts = {claim.from_.account, claim.to.account}
    if own.account not in accounts or len(accounts) == 1:
        raise RemoteProtocolError(RejectCode.WRONG_ACCOUNT, "not between this account and another")
    if claim.from_.account == own.account:
        read_request(shown.request, own, authorize_then)
    else:
        read_accept(shown.accept, own, claim, authorize_then)
    return next(account for account in accounts if account != own.account)


def read_shown(shown: ShownConnection, own: AccountLog, theirs: AccountLog) -> Regained:
    """Read and verify what was shown, by both sides' logs. Grants that do not hold are passed over.

    Raises RemoteProtocolError: as `peer_in`, `read_request`, `read_accept` and `read_end`; too-many grants of
    one version.
    """
    peer_in(shown, own)
    asker = own if peek(shown.request, Kind.CONNECTION_REQUEST).account == own.account else theirs
    asked = theirs if asker is own else own
    request = read_request(shown.request, asker, authorize_then)
    accept = read_accept(shown.accept, asked, request, authorize_then)
    mine = request.from_ if asker is own else request.to
    peer = request.to if asker is own else request.from_
    end = None
    if shown.end:
        by = own if peek(shown.end, Kind.CONNECTION_END).account == own.account else theirs
        end = read_end(shown.end, by, request, authorize_then)
    given, received = (_grants(shown.grants, request, log) for log in (own, theirs))
    return Regained(mine, peer, request, accept, end, given, received)


def _grants(raws: Sequence[bytes], request: ConnectionRequest, log: AccountLog) -> Grant | None:
    """What the side of `log` allows by the grants that hold; of several versions the highest."""
    found: list[Grant] = []
    for raw in raws:
        try:
            grant = read_grant(raw, log, authorize_then)
            check_grant_for(grant, request)
        except RemoteProtocolError:
            continue
        found.append(grant)
    newest = max((grant.version for grant in found), default=0)
    held: Grant | None = None
    for grant in found:
        if grant.version == newest:
            held = newer_grant(held, grant)
    return held
