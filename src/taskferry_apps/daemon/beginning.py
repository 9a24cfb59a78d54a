"""A set-up under way: what it goes on from after a crash, so that a name once claimed is not lost.

Only in it, and only until the set-up is finished, is the recovery key kept.
"""

from __future__ import annotations

import json

import attrs

from .keys import DamagedKeys

__all__ = ["Beginning", "decode_beginning", "encode_beginning"]


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
    """What `encode_beginning` wrote; `where` is for the owner. Raises DamagedKeys."""
    try:
        content = json.loads(raw)
        return Beginning(
            str(content["owner"]), bytes.fromhex(content["statement"]), bytes.fromhex(content["recovery"])
        )
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedKeys(f"{where} is damaged. Remove it and set up again.") from error
