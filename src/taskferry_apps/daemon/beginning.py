"""A set-up under way: what it goes on from after a crash, so that a name once claimed is not lost.

Only in it, and only until the set-up is finished, is the recovery key kept.
"""

from __future__ import annotations

import json
from typing import Final

import attrs

from taskferry_protocol.accounts import fold
from taskferry_protocol.crypto import SigningKey
from taskferry_protocol.errors import LocalProtocolError, RemoteProtocolError

from .keys import DamagedKeys

__all__ = ["Beginning", "decode_beginning", "encode_beginning"]

_UNREADABLE: Final = (
    ValueError,
    KeyError,
    TypeError,
    RecursionError,
    LocalProtocolError,
    RemoteProtocolError,
)


@attrs.frozen
class Beginning:
    """The owner's name, the account's first statement, and the seed of its recovery key."""

    owner: str
    statement: bytes
    recovery: bytes = attrs.field(repr=False)


def encode_beginning(beginning: Beginning) -> bytes:
    """It as JSON in ASCII."""
    content = {
        "owner": beginning.owner,
        "statement": beginning.statement.hex(),
        "recovery": beginning.recovery.hex(),
    }
    return json.dumps(content).encode()


def decode_beginning(raw: bytes, where: str) -> Beginning:
    """What `encode_beginning` wrote; `where` is for the owner. Raises DamagedKeys.

    The statement has to begin an account of that name, and the recovery key to be that account's: else the
    set-up would go on with another account than the one whose phrase its owner is told.
    """
    try:
        content = json.loads(raw)
        found = Beginning(
            content["owner"], bytes.fromhex(content["statement"]), bytes.fromhex(content["recovery"])
        )
        state = fold([found.statement]).state
        key = SigningKey.from_seed(found.recovery)
    except _UNREADABLE as error:
        raise _damaged(where) from error
    if state.name != found.owner or state.recovery != key.public:
        raise _damaged(where)
    return found


def _damaged(where: str) -> DamagedKeys:
    return DamagedKeys(f"{where} is damaged. Remove it and set up again.")
