"""Growing an account log by statements that came from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

from ..accounts import AccountLog, LogRelation, compare, fold
from ..errors import RejectCode, RemoteProtocolError
from ..ids import AccountId

__all__ = ["grown"]


def grown(held: AccountLog | None, account: AccountId, start: int, statements: Sequence[bytes]) -> AccountLog:
    """The log after `statements`, of which the first stands at index `start`; `held` itself for old news.

    Raises RemoteProtocolError: a fold's code, wrong-account, not-an-extension (a hole, or another branch).
    """
    known = held.statements if held is not None else ()
    if start > len(known):
        raise RemoteProtocolError(RejectCode.NOT_AN_EXTENSION, "statements are missing before these")
    if held is not None and known[start : start + len(statements)] == tuple(statements):
        return held
    if held is not None and tuple(statements[: len(known) - start]) == known[start:]:
        return held.extend(statements[len(known) - start :])
    offered = fold([*known[:start], *statements])
    if offered.account != account:
        raise RemoteProtocolError(RejectCode.WRONG_ACCOUNT, "the log of another account")
    if held is not None and compare(held, offered) is not LogRelation.WINS:
        raise RemoteProtocolError(RejectCode.NOT_AN_EXTENSION, "another branch than the one held")
    return offered
