"""Peers whose identity is in question: nothing more is sent to them until the owner has decided.

What is pinned stays pinned meanwhile, and what waits for such a peer waits on and says why.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Final, assert_never

import attrs

from taskferry_protocol.audit import AuditKind, Fact
from taskferry_protocol.ids import AccountId, Instant
from taskferry_protocol.records import PinnedAccount, PutSetting, Trust
from taskferry_stores.port import DaemonStore

from .alarms import clear_alarm
from .draft import Draft

__all__ = [
    "WAITING_CODE",
    "IdentityChange",
    "What",
    "changed_owners",
    "changes_of",
    "drop_forgotten",
    "lift_change",
    "mark_changed",
    "other_history",
    "put_change",
    "quoted_history",
    "replaced",
    "second_claim",
    "shown_trust",
    "stopped",
    "trust_in",
]

#: Why what is queued is not sent.
WAITING_CODE: Final = "identity-changed"
_SETTING: Final = "identity-changes"


class What(StrEnum):
    """What has put an identity in question."""

    SECOND_CLAIM = "second_claim"
    """Another account claims the name."""
    OTHER_HISTORY = "other_history"
    """What is shown of its log, or quoted of it, is no extension of the log that is pinned."""
    FORKED = "forked"
    """Its owner's keys have signed two histories; only the recovery key settles that."""
    REPLACED = "replaced"
    """The owner of this machine has given its name to another account."""


@attrs.frozen
class IdentityChange:
    """What happened to a pinned identity; `other` is the account that claims its name."""

    what: What
    at: Instant
    other: AccountId | None = None

    @property
    def text(self) -> str:
        """What it means, in a sentence."""
        match self.what:
            case What.SECOND_CLAIM:
                return "Another account claims this name. The one pinned here was the first."
            case What.OTHER_HISTORY:
                return "A history of this account is shown, or quoted, that does not continue the pinned one."
            case What.FORKED:
                return (
                    "Its keys have signed two histories. Its owner settles that by recovery, and nobody else."
                )
            case What.REPLACED:
                return "You have given its name to another account. Nothing more is sent to this one."
            case _:
                assert_never(self.what)


# --- What the owner is alarmed with, until the question is decided


def second_claim(name: str) -> str:
    """Another account claims a name."""
    return f"A second account claims the name @{name}; the one known first stays."


def other_history(name: str) -> str:
    """The relay shows another log."""
    return f"The relay shows another history of @{name} than the one that is pinned."


def quoted_history(account: AccountId) -> str:
    """Mail quotes another log."""
    return f"A message quotes another history of account {account.hex()[:12]}."


def _read(raw: bytes | None) -> dict[AccountId, IdentityChange]:
    held: dict[str, dict[str, str | int]] = json.loads(raw) if raw is not None else {}
    return {
        AccountId(bytes.fromhex(account)): IdentityChange(
            What(str(item["what"])),
            Instant(int(item["at"])),
            AccountId(bytes.fromhex(str(item["other"]))) if item["other"] else None,
        )
        for account, item in held.items()
    }


def _written(changes: Mapping[AccountId, IdentityChange]) -> PutSetting:
    held = {
        account.hex(): {
            "what": change.what.value,
            "at": change.at,
            "other": change.other.hex() if change.other is not None else "",
        }
        for account, change in changes.items()
    }
    return PutSetting(_SETTING, json.dumps(held).encode())


async def _all(store: DaemonStore) -> dict[AccountId, IdentityChange]:
    return _read((await store.settings((_SETTING,))).get(_SETTING))


async def changes_of(
    store: DaemonStore, pinned: Collection[PinnedAccount]
) -> Mapping[AccountId, IdentityChange]:
    """What has put identities in question."""
    noted = await _all(store)
    found: dict[AccountId, IdentityChange] = {}
    for one in pinned:
        account = one.record.account
        if account in noted:
            found[account] = noted[account]
        elif one.record.held and one.trust is not Trust.OWN:
            found[account] = IdentityChange(What.FORKED, one.pinned_at)
    return found


async def trust_in(store: DaemonStore, accounts: Collection[AccountId]) -> Mapping[AccountId, str]:
    """How each account that is pinned stands here, in the word that people are shown."""
    pinned = await store.accounts(accounts)
    changes = await changes_of(store, pinned.values())
    return {account: shown_trust(one, changes.get(account)) for account, one in pinned.items()}


async def changed_owners(store: DaemonStore) -> tuple[str, ...]:
    """Whose identity is in question and waits for a decision, as `@owner`."""
    noted = {account for account, change in (await _all(store)).items() if change.what is not What.REPLACED}
    return tuple(sorted(f"@{found.record.name}" for found in (await store.accounts(noted)).values()))


async def undecided(store: DaemonStore, names: Collection[str]) -> tuple[PinnedAccount, ...]:
    """Accounts that somebody has to decide about: those in question, and those held of these names."""
    noted = {account for account, change in (await _all(store)).items() if change.what is not What.REPLACED}
    named = (await store.accounts_named(names)).values()
    held = {one.record.account: one for one in named if one.record.held}
    return tuple({**await store.accounts(noted), **held}.values())


async def stopped(store: DaemonStore, accounts: Collection[AccountId]) -> frozenset[AccountId]:
    """Those of the accounts that nothing is sent to now."""
    held = {account for account, found in (await store.accounts(accounts)).items() if found.record.held}
    return frozenset((held | (await _all(store)).keys()) & set(accounts))


async def replaced(store: DaemonStore, account: AccountId) -> bool:
    """Whether the owner has given this account's name to another."""
    change = (await _all(store)).get(account)
    return change is not None and change.what is What.REPLACED


async def put_change(draft: Draft, account: AccountId, change: IdentityChange) -> None:
    """Note it in place of what stood there."""
    changes = _read(await draft.setting(_SETTING))
    draft.add(_written({**changes, account: change}))


async def mark_changed(
    draft: Draft, account: AccountId, name: str, what: What, other: AccountId | None = None
) -> None:
    """Stop what is sent to an account until the owner has decided. In question already: nothing new."""
    if account == draft.core.account or account in _read(await draft.setting(_SETTING)):
        return
    await put_change(draft, account, IdentityChange(what, draft.now, other))
    facts: dict[str, Fact] = {"what": what.value, "account": account.hex()}
    if other is not None:
        facts["other"] = other.hex()
    draft.audit(AuditKind.IDENTITY_CHANGED, f"@{name}", **facts)
    draft.tell("identity", "", state="changed", peer=f"@{name}", what=what.value)


async def lift_change(draft: Draft, account: AccountId) -> bool:
    """The owner has decided that the pinned identity stands. Whether it was in question."""
    changes = _read(await draft.setting(_SETTING))
    if changes.pop(account, None) is None:
        return False
    draft.add(_written(changes))
    return True


async def drop_forgotten(draft: Draft) -> None:
    """Accounts that are not pinned any more are in no question."""
    changes = _read(await draft.setting(_SETTING))
    gone = changes.keys() - (await draft.core.store.accounts(changes)).keys()
    if gone:
        draft.add(_written({account: one for account, one in changes.items() if account not in gone}))


async def quiet(draft: Draft, account: AccountId, names: Collection[str]) -> None:
    """The owner has decided about an account, whose names those are: nothing of it is alarming any more."""
    await clear_alarm(draft, quoted_history(account))
    for name in names:
        await clear_alarm(draft, second_claim(name))
        await clear_alarm(draft, other_history(name))


def shown_trust(pinned: PinnedAccount, change: IdentityChange | None) -> str:
    """`own`, `verified`, `pinned`, `unverified` or `changed`."""
    if pinned.trust is Trust.OWN:
        return "own"
    if change is not None:
        return "changed"
    match pinned.trust:
        case Trust.VERIFIED:
            return "verified"
        case Trust.INVITED | Trust.PINNED:
            return "pinned"
        case Trust.UNVERIFIED:
            return "unverified"
