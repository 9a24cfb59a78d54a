"""Error classes and the closed list of reject codes (spec/taskferry.md section 4)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

__all__ = [
    "EnvelopeRejected",
    "LinkBroken",
    "LocalProtocolError",
    "ProtocolError",
    "RejectCode",
    "RemoteProtocolError",
]


class RejectCode(StrEnum):
    """Why something was refused. The value is what travels and what vectors compare."""

    # encoding
    MALFORMED = "malformed"
    NOT_CANONICAL = "not-canonical"
    FORBIDDEN_ITEM = "forbidden-item"
    TOO_DEEP = "too-deep"
    TOO_LARGE = "too-large"
    TOO_MANY = "too-many"
    # shape
    MISSING_FIELD = "missing-field"
    UNKNOWN_FIELD = "unknown-field"
    WRONG_TYPE = "wrong-type"
    BAD_VALUE = "bad-value"
    # signatures
    BAD_COSE = "bad-cose"
    BAD_KEY = "bad-key"
    BAD_SIGNATURE = "bad-signature"
    # versions and lifetimes
    UNKNOWN_VERSION = "unknown-version"
    UNKNOWN_SUITE = "unknown-suite"
    UNKNOWN_TYPE = "unknown-type"
    CLASS_MISMATCH = "class-mismatch"
    BAD_TIME = "bad-time"
    EXPIRED = "expired"
    # opening
    NO_WRAP = "no-wrap"
    BAD_WRAP = "bad-wrap"
    BAD_COMMIT = "bad-commit"
    BAD_CIPHERTEXT = "bad-ciphertext"
    BAD_PADDING = "bad-padding"
    # account logs
    WRONG_ACCOUNT = "wrong-account"
    BAD_SEQUENCE = "bad-sequence"
    BROKEN_CHAIN = "broken-chain"
    NOT_AUTHORIZED = "not-authorized"
    BAD_CONSENT = "bad-consent"
    UNKNOWN_DEVICE = "unknown-device"
    DEVICE_EXISTS = "device-exists"
    DEVICE_GONE = "device-gone"
    EMPTY_LOG = "empty-log"
    # logs compared
    FORKED = "forked"
    NOT_AN_EXTENSION = "not-an-extension"
    PINNED_OTHERWISE = "pinned-otherwise"
    NAME_TAKEN = "name-taken"
    UNKNOWN_ACCOUNT = "unknown-account"
    # connections and grants
    BAD_GRANT = "bad-grant"
    STALE_GRANT = "stale-grant"
    UNKNOWN_REQUEST = "unknown-request"
    REQUEST_EXPIRED = "request-expired"
    OWN_REQUEST = "own-request"
    # invites
    UNKNOWN_INVITE = "unknown-invite"
    INVITE_USED = "invite-used"
    # who and where
    NOT_YOUR_DEVICE = "not-your-device"
    WRONG_SENDER = "wrong-sender"
    UNKNOWN_AGENT = "unknown-agent"
    UNKNOWN_RECIPIENT = "unknown-recipient"
    WRONG_RECIPIENT = "wrong-recipient"
    STALE_LOG = "stale-log"
    # permission and quota
    NOT_CONNECTED = "not-connected"
    NOT_PERMITTED = "not-permitted"
    CONTACT_LIMIT = "contact-limit"
    RATE_LIMITED = "rate-limited"
    MAILBOX_FULL = "mailbox-full"
    ACCOUNT_HELD = "account-held"
    SUSPENDED = "suspended"
    EQUIVOCATION = "equivocation"
    # linking a device
    WORDS_DIFFER = "words-differ"
    # tasks
    UNKNOWN_TASK = "unknown-task"
    WRONG_PARTY = "wrong-party"
    BAD_LINK = "bad-link"
    UNKNOWN_SEEN = "unknown-seen"
    FORK = "fork"
    SUPERSEDED = "superseded"
    # sessions
    UNEXPECTED_FRAME = "unexpected-frame"
    BAD_PROOF = "bad-proof"
    WRONG_ORIGIN = "wrong-origin"
    WINDOW_EXCEEDED = "window-exceeded"
    UNKNOWN_BATCH = "unknown-batch"
    UNKNOWN_METHOD = "unknown-method"
    TOO_MANY_CALLS = "too-many-calls"
    TIMEOUT = "timeout"
    REPLACED = "replaced"
    OTHER_INSTANCE = "other-instance"
    SHUTTING_DOWN = "shutting-down"
    SIGNUP_REFUSED = "signup-refused"
    UNKNOWN_TICKET = "unknown-ticket"
    TICKET_USED = "ticket-used"
    INTERNAL = "internal"


class ProtocolError(Exception):
    """Base of every error that this package raises on purpose."""


class LocalProtocolError(ProtocolError):
    """Our own caller broke a rule: a bug on this side, never the peer's doing."""


class RemoteProtocolError(ProtocolError):
    """The other side sent what the specification refuses.

    `code` is compared by programs; `field` names the offending field, if there is one; `text` is for people.
    """

    def __init__(self, code: RejectCode, text: str = "", *, field: str = "") -> None:
        self.code = code
        self.text = text
        self.field = field
        where = f" ({field})" if field else ""
        super().__init__(f"{code.value}{where}: {text}" if text else f"{code.value}{where}")


class EnvelopeRejected(RemoteProtocolError):
    """One item is refused; the link goes on. `detail` is what the sender needs in order to do better."""

    def __init__(
        self,
        code: RejectCode,
        text: str = "",
        *,
        field: str = "",
        detail: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(code, text, field=field)
        self.detail = dict(detail or {})


class LinkBroken(RemoteProtocolError):
    """The session cannot go on: say goaway with `code` and hang up."""
