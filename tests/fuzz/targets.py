"""What is fuzzed: every decoder of strangers' bytes, of what people type, and of what programs send.

A target is given any bytes. It takes or refuses them, or has found a bug: nothing but a coded rejection may
come out of a decoder, and what is accepted must encode to the very bytes that came in.

Signatures would stop every mutation, and the hostile peer can sign what it likes: `account` leaves them out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from taskferry_protocol.errors import RemoteProtocolError

from .account import payload_of
from .documents import DOCUMENTS, document_seeds
from .families import family_of
from .kept import kept_inputs
from .kinds import Target
from .programs import PROGRAM_SEEDS, PROGRAMS
from .texts import TEXT_SEEDS, TEXTS
from .wire import VECTORS, WIRE, WIRE_SEEDS, inputs, made

__all__ = ["TARGETS", "run", "seeds"]

TARGETS: dict[str, Target] = {**WIRE, **DOCUMENTS, **TEXTS, **PROGRAMS}

#: Inputs to start from, where the specification has no vectors.
BEGINNINGS: dict[str, tuple[bytes, ...]] = {**WIRE_SEEDS, **TEXT_SEEDS, **PROGRAM_SEEDS}

_AREAS = {
    "cbor": ("cbor",),
    "cose": ("cose", "ed25519", "cards"),
    "envelope": ("envelope",),
    "header": ("envelope",),
    "parcel": ("envelope",),
    "content": ("messages",),
    "handoff": ("export",),
    "backup": ("backup",),
    "backup-opening": ("backup",),
    "statement": ("account",),
    "card": ("cards",),
    "connection-request": ("connections",),
    "connection-accept": ("connections",),
    "connection-end": ("connections",),
    "grant": ("connections",),
    "terms": ("connections",),
    "invite": ("invites",),
    "linking-new": ("linking",),
    "linking-managing": ("linking",),
}


def seeds(name: str) -> Iterator[bytes]:
    """Inputs to start from: those kept from earlier runs, the specification's vectors of the same area, and
    payloads of what they sign.
    """
    yield from kept_inputs(name)
    yield from document_seeds(name)
    yield from made(name)
    if name in BEGINNINGS:
        yield from BEGINNINGS[name]
        return
    for area in _AREAS.get(name, ("sessions",)):
        for path in sorted((VECTORS / area).glob("*.json")):
            for raw in inputs(json.loads(path.read_text())):
                yield raw
                if name in DOCUMENTS:
                    try:
                        yield payload_of(raw)
                    except RemoteProtocolError:
                        continue


def run(name: str, data: bytes) -> bool:
    """Whether a target takes one input; any exception but a coded rejection is a finding."""
    return family_of(name).run(name, data)
