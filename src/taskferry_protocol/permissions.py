"""Grants: what one agent lets another send to it, and whether something may be sent (spec/identity.md 7)."""

from __future__ import annotations

from typing import Final

import attrs

from .accounts import AccountLog
from .cbor import Value, decode, encode
from .connections import ConnectionRequest
from .crypto import Kind, Signed, SigningKey
from .documents import Authority, authorize, open_document, recall_document, sign_document
from .errors import LocalProtocolError, RejectCode, RemoteProtocolError
from .ids import AgentRef, Hash, Instant, LogPosition, sha256
from .limits import ENVELOPE_BYTES
from .messages.base import MessageClass
from .rates import RateState, take
from .shape import MapReader, as_array, as_text, check_ascending

__all__ = [
    "GRANTABLE",
    "Grant",
    "RateState",
    "Rival",
    "Terms",
    "check_grant_for",
    "encode_terms",
    "newer_grant",
    "permits",
    "read_grant",
    "read_terms",
    "recall_grant",
    "sign_grant",
    "stricter_terms",
    "take",
]

#: The classes that need a grant; the others go by connection alone.
GRANTABLE: Final = frozenset({MessageClass.ARTIFACT, MessageClass.MESSAGE, MessageClass.TASK})
#: How many different grants of one version are kept as evidence: their owner alone can sign more.
RIVALS: Final = 7
CLASS_BYTES: Final = 16
#: Classes that one grant may name: later versions may know more than this one.
CLASSES: Final = 16
SALT_BYTES: Final = 16
#: What the terms leave out is the least.
LEAST_ARTIFACT_BYTES: Final = 65_536

_FIELDS: Final = (
    "request",
    "from",
    "to",
    "version",
    "prev",
    "at",
    "until",
    "classes",
    "rate",
    "largest",
    "terms",
    "log",
)


@attrs.frozen
class Rival:
    """Another grant of the same version: evidence, its hash and that of its terms."""

    hash: Hash
    terms: Hash
    raw: bytes = attrs.field(repr=False)


@attrs.frozen
class Grant:
    """What `grantee` may send to `grantor`: classes, envelopes a minute, bytes of an envelope, until when.

    Where the grantor signed several of one version, classes, rate, largest and until are what all of them
    allow, the rest is that of the one with the lowest hash, and `rivals` are the others by hash. To store
    it, store `raws`.
    """

    request: Hash
    grantor: AgentRef
    grantee: AgentRef
    version: int
    prev: Hash | None
    at: Instant
    until: Instant | None
    classes: frozenset[MessageClass]
    rate: int
    largest: int
    terms: Hash
    log: LogPosition
    hash: Hash
    raw: bytes = attrs.field(repr=False)
    rivals: tuple[Rival, ...] = attrs.field(default=(), repr=False)

    @property
    def raws(self) -> tuple[bytes, ...]:
        """The bytes of every grant that counts here, this one's first."""
        return (self.raw, *(rival.raw for rival in self.rivals))

    @property
    def all_terms(self) -> tuple[Hash, ...]:
        """The hashes of all terms that apply together; `stricter_terms` joins what they name."""
        return (self.terms, *(rival.terms for rival in self.rivals))


def sign_grant(
    request: ConnectionRequest,
    grantor: AgentRef,
    *,
    before: Grant | None,
    at: Instant,
    until: Instant | None,
    classes: frozenset[MessageClass],
    rate: int,
    largest: int,
    terms: Hash,
    log: LogPosition,
    by: SigningKey,
) -> bytes:
    """The next grant by `grantor`, one of the two of `request`, to the other; `before` is the last one.

    `rate` is envelopes a minute, `largest` bytes of one. Raises LocalProtocolError if `grantor` is neither;
    nothing else is judged here, but by `read_grant` of the bytes.
    """
    grantee = request.other(grantor)
    if grantee is None:
        raise LocalProtocolError("a grant is between the two agents of a request")
    fields: dict[str, Value] = {
        "request": request.hash,
        "from": [grantor.account, grantor.name],
        "to": [grantee.account, grantee.name],
        "version": 1 if before is None else before.version + 1,
        "prev": None if before is None else before.hash,
        "at": at,
        "until": until,
        "classes": [cls.value for cls in sorted(classes)],
        "rate": rate,
        "largest": largest,
        "terms": terms,
        "log": [log.length, log.head],
    }
    return sign_document(Kind.GRANT, fields, by)


def read_grant(raw: bytes, log: AccountLog, authority: Authority = authorize) -> Grant:
    """A grant that the account of `log` signed; `check_grant_for` and `newer_grant` say what becomes of it.

    Raises RemoteProtocolError: the codes of signatures, encoding and shape, unknown-version, bad-grant, then
    wrong-account, not-authorized, not-an-extension.
    """
    signed, reader = open_document(raw, Kind.GRANT, _FIELDS, log)
    grant = _read(signed, reader)
    authority(log, grant.grantor.account, signed, grant.log)
    return grant


def recall_grant(raw: bytes) -> Grant:
    """A grant that this side took before and kept itself: what was taken stays good when its signer goes.

    Never for one that came from elsewhere: nothing is verified. Raises as `read_grant` does for its shape.
    """
    return _read(*recall_document(raw, _FIELDS))


def _read(signed: Signed, reader: MapReader) -> Grant:
    grant = Grant(
        reader.hash("request"),
        reader.agent("from"),
        reader.agent("to"),
        reader.uint("version", low=1),
        _nullable_hash(reader, "prev"),
        reader.time("at"),
        None if reader.value("until") is None else reader.time("until"),
        reader.read("classes", _classes),
        reader.uint("rate"),
        reader.uint("largest"),
        reader.hash("terms"),
        reader.position("log"),
        signed.hash,
        signed.raw,
    )
    if (grant.version == 1) != (grant.prev is None):
        raise RemoteProtocolError(RejectCode.BAD_GRANT, "all but the first follow one before", field="prev")
    return grant


def _nullable_hash(reader: MapReader, key: str) -> Hash | None:
    return None if reader.value(key) is None else reader.hash(key)


def _classes(value: Value, field: str) -> frozenset[MessageClass]:
    names = [as_text(item, field, least=1, most=CLASS_BYTES) for item in as_array(value, field, most=CLASSES)]
    known = {cls.value for cls in MessageClass}
    # A class of a later version lets nothing pass here that would not pass without it.
    if not GRANTABLE.issuperset(known.intersection(names)):
        raise RemoteProtocolError(RejectCode.BAD_VALUE, "artifact, message or task", field=field)
    check_ascending(names, field)
    return frozenset(MessageClass(name) for name in names if name in known)


def check_grant_for(grant: Grant, request: ConnectionRequest) -> None:
    """Nothing if the grant is between the two agents of `request`.

    Raises RemoteProtocolError: unknown-request if it quotes another, bad-grant if its agents are not those
    two.
    """
    if grant.request != request.hash:
        raise RemoteProtocolError(RejectCode.UNKNOWN_REQUEST, "not about this request", field="request")
    if request.other(grant.grantor) != grant.grantee:
        raise RemoteProtocolError(RejectCode.BAD_GRANT, "not between the two of the request", field="to")


def newer_grant(held: Grant | None, offered: Grant) -> Grant:
    """The grant that counts after `offered` came, whatever the order in which grants of one version come.

    Both are of the same request and direction (LocalProtocolError). Raises RemoteProtocolError: stale-grant
    for a lower version, bad-grant for the next one that does not follow the held one, too-many.
    """
    if held is None:
        return offered
    if (held.request, held.grantor, held.grantee) != (offered.request, offered.grantor, offered.grantee):
        raise LocalProtocolError("grants of different requests or directions")
    known = {held.hash, *(rival.hash for rival in held.rivals)}
    if offered.version < held.version:
        raise RemoteProtocolError(RejectCode.STALE_GRANT, f"version {held.version} is held", field="version")
    if offered.version == held.version:
        return held if offered.hash in known else _intersection(held, offered)
    if offered.version == held.version + 1 and offered.prev not in known:
        raise RemoteProtocolError(RejectCode.BAD_GRANT, "does not follow the one held", field="prev")
    return offered


def _intersection(held: Grant, offered: Grant) -> Grant:
    if len(held.rivals) == RIVALS:
        raise RemoteProtocolError(RejectCode.TOO_MANY, "different grants of one version", field="version")
    first, other = (held, offered) if held.hash < offered.hash else (offered, held)
    rivals = (*held.rivals, Rival(other.hash, other.terms, other.raw))
    ends = [grant.until for grant in (held, offered) if grant.until is not None]
    return attrs.evolve(
        first,
        until=min(ends, default=None),
        classes=held.classes & offered.classes,
        rate=min(held.rate, offered.rate),
        largest=min(held.largest, offered.largest),
        rivals=tuple(sorted(rivals, key=lambda rival: rival.hash)),
    )


def permits(grant: Grant | None, cls: MessageClass, size: int, now: Instant) -> RejectCode | None:
    """None if an envelope of this class and size in bytes may be sent now by the grant, else not-permitted.

    A class that needs no grant passes here; that it needs a connection is asked elsewhere, like the rate.
    """
    if cls not in GRANTABLE:
        return None
    if grant is None or cls not in grant.classes or size > grant.largest:
        return RejectCode.NOT_PERMITTED
    if grant.until is not None and now >= grant.until:
        return RejectCode.NOT_PERMITTED
    return None


# --- Terms --------------------------------------------------------------------------------------------------


@attrs.frozen
class Terms:
    """What else is agreed, sealed beside a grant. The defaults are the least that can be agreed.

    `task_budget` counts open tasks at once, `largest_artifact` bytes; `salt` is 16 random bytes that keep the
    terms from being guessed by their hash.
    """

    salt: bytes = attrs.field(repr=False)
    auto_trigger: bool = False
    human_gate: bool = True
    task_budget: int = 0
    largest_artifact: int = LEAST_ARTIFACT_BYTES


_TERMS: Final = ("auto_trigger", "human_gate", "task_budget", "largest_artifact")


def encode_terms(terms: Terms) -> bytes:
    """The terms as they travel; a grant carries the SHA-256 of these bytes."""
    return encode(
        {
            "salt": terms.salt,
            "auto_trigger": terms.auto_trigger,
            "human_gate": terms.human_gate,
            "task_budget": terms.task_budget,
            "largest_artifact": terms.largest_artifact,
        }
    )


def read_terms(raw: bytes, expected_hash: Hash) -> Terms:
    """The terms that a grant's hash names; the least, if they say something that this version does not know.

    Raises RemoteProtocolError: bad-grant for other bytes, else the codes of encoding and shape.
    """
    if sha256(raw) != expected_hash:
        raise RemoteProtocolError(RejectCode.BAD_GRANT, "not the terms that the grant names", field="terms")
    reader = MapReader.open(decode(raw, limit=ENVELOPE_BYTES), "terms", ("salt",))
    least = Terms(reader.bytes("salt", size=SALT_BYTES))
    read = attrs.evolve(
        least,
        auto_trigger=reader.boolean("auto_trigger") if "auto_trigger" in reader else least.auto_trigger,
        human_gate=reader.boolean("human_gate") if "human_gate" in reader else least.human_gate,
        task_budget=reader.uint("task_budget") if "task_budget" in reader else least.task_budget,
        largest_artifact=(
            reader.uint("largest_artifact") if "largest_artifact" in reader else least.largest_artifact
        ),
    )
    # What is not known may take back what the others give.
    return least if reader.extra(("salt", *_TERMS)) else read  # noqa: S610 (no database is near)


def stricter_terms(left: Terms, right: Terms) -> Terms:
    """What both allow."""
    return Terms(
        min(left.salt, right.salt),
        left.auto_trigger and right.auto_trigger,
        left.human_gate or right.human_gate,
        min(left.task_budget, right.task_budget),
        min(left.largest_artifact, right.largest_artifact),
    )
