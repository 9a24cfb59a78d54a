"""What a recovery asks and checks before anything is signed: phrase, account, log, devices."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from taskferry_protocol import calls
from taskferry_protocol.accounts import AccountLog
from taskferry_protocol.cards import Card, read_card
from taskferry_protocol.crypto import SigningKey
from taskferry_protocol.devices import DeviceRecord
from taskferry_protocol.errors import RejectCode, RemoteProtocolError
from taskferry_protocol.ids import AccountId, AgentRef, DeviceId, Instant, is_name
from taskferry_protocol.limits import STATEMENTS
from taskferry_protocol.recovery import VISITOR, Base, choose_base

from ..phrase import PhraseError, seed_of
from ..relay_client import LinkEnded, RelayClient
from .draft import refusal_of
from .keys import FormerKey, KeyRing
from .names import LEAST_PREFIX
from .port import DaemonRefusal

__all__ = [
    "as_stated",
    "asked_for",
    "find_base",
    "find_devices",
    "good_card",
    "log_page",
    "recovery_key",
    "unreachable",
    "wrong_phrase",
]


def recovery_key(phrase: str) -> SigningKey:
    """The key of a phrase. Raises DaemonRefusal(bad-phrase), which quotes none of it."""
    try:
        return SigningKey.from_seed(seed_of(phrase))
    except PhraseError as error:
        raise DaemonRefusal(
            "bad-phrase", str(error), "Read the phrase again, word by word.", detail={"field": "phrase"}
        ) from None


def wrong_phrase() -> DaemonRefusal:
    """The refusal of a phrase that is none of this account's."""
    return DaemonRefusal(
        "wrong-phrase",
        "That phrase is well written, and is not this account's.",
        "Look for the phrase that was made last.",
        status=403,
    )


def unreachable(ended: LinkEnded) -> DaemonRefusal:
    """The refusal where a relay is away or turns a visitor away."""
    if ended.code is RejectCode.RATE_LIMITED:
        return DaemonRefusal(
            "rate-limited", "The relay takes no more visits from here for now.", "Try later.", status=429
        )
    return DaemonRefusal(
        "relay-unreachable",
        f"The relay cannot be asked now ({ended}).",
        "Check its address and try again; asking again goes on where this ended.",
        status=503,
    )


def asked_for(owner: str, account: str, held: AccountLog | None) -> AccountId | str:
    """Whom to ask the relay for: by id where one is known, since a name may be anybody's there."""
    if account:
        try:
            raw = bytes.fromhex(account)
        except ValueError:
            raw = b""
        if len(raw) != len(VISITOR):
            raise DaemonRefusal(
                "bad-value",
                "An account's id is 64 hexadecimal digits.",
                "Copy it whole.",
                detail={"field": "account"},
            )
        return AccountId(raw)
    if held is not None:
        return held.account
    if not is_name(owner):
        raise DaemonRefusal(
            "missing-field",
            "Name the owner, or the account.",
            "As in: taskferry recover alice --relay URL",
            detail={"field": "owner"},
        )
    return owner


async def log_page(client: RelayClient, who: AccountId | str, start: int) -> Sequence[bytes]:
    """The next statements of the account, as the relay shows them. Raises CallRefused, LinkEnded."""
    question = calls.FindAccount(who, start) if isinstance(who, str) else calls.GetAccount(who, start)
    if start >= STATEMENTS:
        return ()
    answer = await client.call(question)
    return answer.statements if isinstance(answer, calls.AccountFound) and answer.start == start else ()


def find_base(held: AccountLog | None, shown: AccountLog, recovery: SigningKey, kept: int | None) -> Base:
    """What to build on. Raises DaemonRefusal: wrong-phrase, forked, other-account, bad-value."""
    try:
        return choose_base(held, shown, recovery.public, kept)
    except RemoteProtocolError as error:
        if error.code is RejectCode.NOT_AUTHORIZED:
            raise wrong_phrase() from error
        if error.code is RejectCode.FORKED:
            raise DaemonRefusal(
                "forked",
                "The recovery phrase has signed some of what would be cut off: peers would take neither.",
                "Keep more of the log, or ask your peers to connect with a new account.",
                status=409,
            ) from error
        raise refusal_of(error) from error


def find_devices(base: Base, wanted: Sequence[str]) -> tuple[DeviceId, ...]:
    """The active devices that these labels, or beginnings of ids, name."""
    found: list[DeviceId] = []
    for text in wanted:
        fitting = [
            device.id
            for device in base.state.active_devices()
            if device.record.label == text
            or (len(text) >= LEAST_PREFIX and device.id.hex().startswith(text.lower()))
        ]
        if len(fitting) != 1:
            labels = ", ".join(sorted(device.record.label for device in base.state.active_devices()))
            raise DaemonRefusal(
                "ambiguous" if fitting else "not-found",
                "Several devices are called so." if fitting else f"No active device is called {text}.",
                f"There are: {labels}. Of several, give the beginning of the id.",
                status=409 if fitting else 404,
                detail={"field": "keep"},
            )
        found.extend(fitting)
    return tuple(found)


def as_stated(ring: KeyRing, record: DeviceRecord, now: Instant) -> KeyRing:
    """The ring with the encryption key in force that the log states of its device, as it must be restated.

    What took its place in a branch that is given up opens mail for a while; a rotation is due at once.
    """
    if ring.device.encryption.public == record.enc:
        return ring
    stated = [key for key in ring.opening_keys() if key.public == record.enc]
    if not stated:
        raise DaemonRefusal(
            "not-possible",
            "This device has erased the key that it had at that place in the log.",
            "Keep more of the log.",
            status=409,
        )
    others = tuple(former for former in ring.former if former.key.public != record.enc)
    return attrs.evolve(
        ring,
        device=attrs.evolve(ring.device, encryption=stated[0]),
        encryption_since=Instant(0),
        former=(FormerKey(ring.device.encryption, now), *others),
        next_encryption=None,
    )


def good_card(raw: bytes, before: AccountLog, agent: AgentRef) -> Card | None:
    """A card of the agent's that was good by the log before the recovery."""
    try:
        card = read_card(raw, before)
    except RemoteProtocolError:
        return None
    return card if card.agent == agent else None
