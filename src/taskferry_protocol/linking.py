"""Linking a further device: commit, reveal, compare words, consent (spec/identity.md section 11).

Two small machines, one for each side. Whoever carries their letters is believed about nothing: a stranger in
the middle makes the words differ, and nobody signs before the owner has typed in the other side's words.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import attrs

from .accounts import AccountLog
from .cbor import Value, decode, encode
from .crypto import KEY_BYTES, blake2b_256, check_signing_key
from .devices import (
    DeviceKeys,
    DeviceRecord,
    check_device_consent,
    check_record,
    consent_to_stand,
    read_record,
)
from .errors import RejectCode, RemoteProtocolError
from .ids import AccountId, DeviceId, Instant, LogPosition, is_name
from .limits import LINKING_LETTER_BYTES, LINKING_MS, STATEMENT_BYTES
from .shape import as_array, as_bytes, as_position, as_text, as_uint
from .words import same_words, words_for

__all__ = [
    "PLACE_ALPHABET",
    "PLACE_LETTERS",
    "Approving",
    "Joining",
    "LinkingPhase",
    "Reveal",
    "Turn",
    "abort_letter",
    "read_place",
    "show_place",
]

#: Words that each side shows: three of 256, so that a stranger's one try succeeds once in sixteen million.
_SHOWN: Final = 3
#: What a place to meet is called: letters that nobody takes for another, 80 bits (spec/session.md section 9).
PLACE_ALPHABET: Final = "abcdefghijkmnpqrstuvwxyz23456789"
PLACE_LETTERS: Final = 16

_ABORT, _COMMIT, _OFFER, _REVEAL, _CONSENT, _LINKED = range(6)
_FIELDS: Final = (1, 1, 2, 6, 1, 1)


class LinkingPhase(StrEnum):
    """How far one side has come."""

    WAITING = "waiting"
    """For the other side's first letters."""
    COMPARING = "comparing"
    """The words are shown; the owner compares."""
    CONFIRMED = "confirmed"
    """The owner has typed in the other side's words."""
    LINKED = "linked"
    """The log names the new device."""


@attrs.frozen
class Reveal:
    """What the managing side committed to: the account, the log as it is, itself, and what it will allow."""

    nonce: bytes = attrs.field(repr=False)
    account: AccountId
    log: LogPosition
    device: DeviceId
    name: str
    manage: bool

    @property
    def _facts(self) -> list[Value]:
        return [self.account, [self.log.length, self.log.head], self.device, self.name, self.manage]

    @property
    def commitment(self) -> bytes:
        """What is told of it first."""
        return blake2b_256(key=self.nonce, person="tf1 link commit", message=encode(self._facts))

    def letter(self) -> bytes:
        """The letter that reveals it."""
        return encode([_REVEAL, self.nonce, *self._facts])


def read_place(text: str) -> str:
    """The place that somebody copied or typed, in groups or not. Raises RemoteProtocolError(bad-value)."""
    place = "".join(letter for letter in text.strip().lower() if letter not in "- ")
    if len(place) != PLACE_LETTERS or not set(place) <= set(PLACE_ALPHABET):
        raise _refuse(RejectCode.BAD_VALUE, "a code is four groups of four letters and digits")
    return place


def show_place(place: str) -> str:
    """A place as people copy it: in groups of four."""
    return "-".join(place[at : at + 4] for at in range(0, len(place), 4))


def abort_letter(code: RejectCode) -> bytes:
    """What either side says when it gives up."""
    return encode([_ABORT, code.value])


@attrs.frozen
class Turn:
    """What came of a letter or of the owner's words: what is to be sent to the other side."""

    letters: tuple[bytes, ...] = ()


def _refuse(code: RejectCode, text: str) -> RemoteProtocolError:
    return RemoteProtocolError(code, text)


def _read(raw: bytes) -> tuple[int, list[Value]]:
    """The number and the fields of a letter. Raises RemoteProtocolError: the codes of encoding and shape."""
    items = as_array(decode(raw, limit=LINKING_LETTER_BYTES), "letter", least=1, most=8)
    kind = as_uint(items[0], "letter")
    if kind >= len(_FIELDS) or len(items) != 1 + _FIELDS[kind]:
        raise _refuse(RejectCode.BAD_VALUE, "no letter of this version")
    if kind == _ABORT:
        raise _gave_up(as_text(items[1], "code", least=1, most=64))
    return kind, items[1:]


def _gave_up(word: str) -> RemoteProtocolError:
    code = next((code for code in RejectCode if code.value == word), RejectCode.BAD_VALUE)
    return _refuse(code, "the other machine gave up")


def _expect(kind: int, wanted: int) -> None:
    if kind != wanted:
        raise _refuse(RejectCode.UNEXPECTED_FRAME, "a letter out of its turn")


def _check_clock(until: Instant, now: Instant) -> None:
    if now >= until:
        raise _refuse(RejectCode.EXPIRED, "ten minutes are over")


def _words(reveal: Reveal, commit: bytes, offer: bytes) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What the new machine shows, and what the managing one does."""
    data = blake2b_256(key=reveal.nonce, person="tf1 link words", message=commit + offer + reveal.letter())
    return words_for(data[:_SHOWN]), words_for(data[_SHOWN : 2 * _SHOWN])


def _check_words(typed: str, words: tuple[str, ...]) -> None:
    if not same_words(typed, words):
        raise _refuse(
            RejectCode.WORDS_DIFFER, "these are not the words that belong to what this machine has seen"
        )


# --- The new machine ----------------------------------------------------------------------------------------


@attrs.define
class Joining:
    """The machine that is to become a device. Its keys include a manage key, which it may be told to drop.

    Any RemoteProtocolError ends the try: send `abort_letter`, and begin anew with another place to meet.
    """

    _keys: DeviceKeys
    _nonce: bytes = attrs.field(repr=False)
    until: Instant
    phase: LinkingPhase = LinkingPhase.WAITING
    _commit: bytes = b""
    reveal: Reveal | None = None
    linked: LogPosition | None = None

    @classmethod
    def begin(cls, keys: DeviceKeys, nonce: bytes, now: Instant) -> Joining:
        """Wait for the managing side. `nonce` is 32 fresh random bytes."""
        return cls(keys, nonce, Instant(now + LINKING_MS))

    @property
    def keys(self) -> DeviceKeys:
        """The keys that this machine will have as a device."""
        if self.reveal is None or self.reveal.manage:
            return self._keys
        return attrs.evolve(self._keys, manage=None)

    @property
    def _offer(self) -> bytes:
        return encode([_OFFER, self._nonce, self._keys.record.to_cbor()])

    @property
    def words(self) -> tuple[str, ...]:
        """What this machine shows; nothing before it knows."""
        return () if self.reveal is None else _words(self.reveal, self._commit, self._offer)[0]

    def receive(self, raw: bytes, *, now: Instant) -> Turn:
        """Take a letter. Raises RemoteProtocolError."""
        _check_clock(self.until, now)
        kind, fields = _read(raw)
        if self.phase is LinkingPhase.WAITING and not self._commit:
            _expect(kind, _COMMIT)
            as_bytes(fields[0], "commitment", size=KEY_BYTES)
            self._commit = raw
            return Turn((self._offer,))
        if self.phase is LinkingPhase.WAITING:
            _expect(kind, _REVEAL)
            reveal = _read_reveal(fields)
            if encode([_COMMIT, reveal.commitment]) != self._commit:
                raise _refuse(RejectCode.BAD_COMMIT, "not what the other machine had committed to")
            self.reveal = reveal
            self.phase = LinkingPhase.COMPARING
            return Turn()
        _expect(kind, _LINKED)
        if self.phase is not LinkingPhase.CONFIRMED:
            raise _refuse(RejectCode.UNEXPECTED_FRAME, "linked before this owner agreed")
        self.linked = as_position(fields[0], "log")
        self.phase = LinkingPhase.LINKED
        return Turn()

    def confirm(self, typed: str, *, now: Instant) -> Turn:
        """The owner typed in what the managing machine shows: agree to stand in its log. One try.

        Raises RemoteProtocolError: expired, words-differ, unexpected-frame.
        """
        _check_clock(self.until, now)
        if self.phase is not LinkingPhase.COMPARING or self.reveal is None:
            raise _refuse(RejectCode.UNEXPECTED_FRAME, "there are no words to compare now")
        _check_words(typed, _words(self.reveal, self._commit, self._offer)[1])
        self.phase = LinkingPhase.CONFIRMED
        consent = consent_to_stand(self.keys, self.reveal.account, self.reveal.log.length)
        return Turn((encode([_CONSENT, consent]),))


def _read_reveal(fields: list[Value]) -> Reveal:
    nonce, account, log, device, name, manage = fields
    text = as_text(name, "name", least=1, most=32)
    if not is_name(text) or type(manage) is not bool:
        raise _refuse(RejectCode.BAD_VALUE, "a name, and true or false")
    return Reveal(
        as_bytes(nonce, "nonce", size=KEY_BYTES),
        AccountId(as_bytes(account, "account", size=32)),
        as_position(log, "log"),
        DeviceId(as_bytes(device, "device", size=32)),
        text,
        manage,
    )


# --- The managing machine -----------------------------------------------------------------------------------


@attrs.define
class Approving:
    """The machine that manages the account and is asked to take a device in."""

    reveal: Reveal
    until: Instant
    phase: LinkingPhase = LinkingPhase.WAITING
    _offer: bytes = b""
    record: DeviceRecord | None = None
    consent: bytes | None = None

    @classmethod
    def begin(
        cls, log: AccountLog, device: DeviceId, nonce: bytes, now: Instant, *, manage: bool
    ) -> tuple[Approving, Turn]:
        """Commit to what this machine will reveal. `nonce` is 32 fresh random bytes."""
        reveal = Reveal(nonce, log.account, log.position, device, log.state.name, manage)
        side = cls(reveal, Instant(now + LINKING_MS))
        return side, Turn((side._commit,))

    @property
    def _commit(self) -> bytes:
        return encode([_COMMIT, self.reveal.commitment])

    @property
    def words(self) -> tuple[str, ...]:
        """What this machine shows; nothing before it knows."""
        return () if self.record is None else _words(self.reveal, self._commit, self._offer)[1]

    @property
    def is_agreed(self) -> bool:
        """Whether both owners' hands have spoken: the statement may be signed."""
        return self.phase is LinkingPhase.CONFIRMED and self.consent is not None

    def receive(self, raw: bytes, *, now: Instant) -> Turn:
        """Take a letter. Raises RemoteProtocolError."""
        _check_clock(self.until, now)
        kind, fields = _read(raw)
        if self.record is None:
            _expect(kind, _OFFER)
            as_bytes(fields[0], "nonce", size=KEY_BYTES)
            record = read_record(fields[1], "device")
            check_record(record, "device", check_signing_key)
            if record.manage is None:
                raise _refuse(RejectCode.MISSING_FIELD, "a manage key is offered, wanted or not")
            self.record = record if self.reveal.manage else attrs.evolve(record, manage=None)
            self._offer = raw
            self.phase = LinkingPhase.COMPARING
            return Turn((self.reveal.letter(),))
        _expect(kind, _CONSENT)
        if self.consent is not None:
            raise _refuse(RejectCode.UNEXPECTED_FRAME, "consent was given already")
        consent = as_bytes(fields[0], "consent", most=STATEMENT_BYTES)
        account, seq = self.reveal.account, self.reveal.log.length
        check_device_consent(consent, self.record, account, seq, "consent")
        self.consent = consent
        return Turn()

    def confirm(self, typed: str, *, now: Instant) -> Turn:
        """The owner typed in what the new machine shows. One try. Raises as `Joining.confirm`."""
        _check_clock(self.until, now)
        if self.phase is not LinkingPhase.COMPARING:
            raise _refuse(RejectCode.UNEXPECTED_FRAME, "there are no words to compare now")
        _check_words(typed, _words(self.reveal, self._commit, self._offer)[0])
        self.phase = LinkingPhase.CONFIRMED
        return Turn()

    def conclude(self, log: LogPosition) -> Turn:
        """The log has the device now, and the relay knows it."""
        self.phase = LinkingPhase.LINKED
        return Turn((encode([_LINKED, [log.length, log.head]]),))
