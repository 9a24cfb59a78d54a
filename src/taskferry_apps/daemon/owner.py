"""The owner's account: set-up, agents and their cards, the weekly change of the encryption key."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Final
from urllib.parse import urlsplit

from taskferry_protocol import accounts
from taskferry_protocol.accounts import AccountLog, DeviceStatus
from taskferry_protocol.audit import AuditKind
from taskferry_protocol.cards import Card, Visibility
from taskferry_protocol.crypto import KEY_BYTES, SigningKey
from taskferry_protocol.errors import LocalProtocolError, RejectCode, RemoteProtocolError
from taskferry_protocol.ids import Instant, is_name
from taskferry_protocol.messages import SharedCard
from taskferry_protocol.records import (
    LocalAgent,
    PutAgent,
    PutSetting,
    SetTrust,
    Trust,
)

from ..logs import get_logger
from ..origins import origin_of
from ..phrase import phrase_of
from ..relay_client import CallRefused
from .agents_told import shared_agent
from .beginning import Beginning
from .cards import sign_next
from .core import Core
from .draft import Draft, refusal_of
from .keys import KeyRing, make_keys
from .lasting import note_lasting
from .link import RELAY_SETTING
from .names import require_owner
from .own_news import announce
from .port import Caller, DaemonRefusal, NewAgent
from .publications import Publication, Subject, note
from .recovery_standing import backups_for
from .shares import share
from .tickets import FORGET_TICKET, keep_ticket
from .withdrawn import end_powers, set_apart

__all__ = ["Owner", "check_relay_address"]

Claim = Callable[[str, AccountLog, str], Awaitable[RejectCode | None]]
"""Opens a session at a relay for a fresh account, with its ticket; the code if the relay will not have it."""

Append = Callable[[int, Sequence[bytes]], Awaitable[None]]
"""Has the relay append statements from an index on. Raises CallRefused, DaemonRefusal(relay-unreachable)."""

_BAD_TICKET: Final = {
    RejectCode.UNKNOWN_TICKET: "The relay does not know that ticket; it may be mistyped or withdrawn.",
    RejectCode.TICKET_USED: "That ticket was used already; each is good for one account.",
    RejectCode.EXPIRED: "That ticket is over.",
}


def _not_claimed(owner: str, code: RejectCode, ticket: str) -> DaemonRefusal:
    if code is RejectCode.NAME_TAKEN:
        text, following = f"The name @{owner} belongs to somebody else at this relay.", "Choose another name."
    elif code is RejectCode.SIGNUP_REFUSED:
        text = (
            f"This relay lets no account @{owner} in by that ticket."
            if ticket
            else "This relay takes no new account without a ticket, or none at all."
        )
        following = "Get a ticket at its /signup page or from its operator, then give it with --ticket -."
    elif code in _BAD_TICKET:
        text, following = _BAD_TICKET[code], "Get a new one at the relay's /signup page or from its operator."
    else:
        text, following = f"The relay refused the account: {code.value}.", "Check the relay's address."
    return DaemonRefusal(code.value, text, following, status=409)


def _not_appended(code: RejectCode) -> DaemonRefusal:
    text = f"The relay refused the change: {code.value}."
    if code is RejectCode.NOT_AN_EXTENSION:
        text = "Another device of yours has changed the account at the same time."
    word = "conflict" if code is RejectCode.NOT_AN_EXTENSION else code.value
    return DaemonRefusal(word, text, "Try again in a moment.", status=409)


def check_relay_address(relay: str) -> None:
    """Nothing if this may be a relay's address. Raises DaemonRefusal(bad-value)."""
    parts = urlsplit(relay)
    if parts.scheme not in {"http", "https", "ws", "wss"} or not parts.hostname:
        raise DaemonRefusal(
            "bad-value",
            "A relay's address looks like https://relay.example.",
            "Mend the address and try again.",
            detail={"field": "relay"},
        )


class Owner:
    """Signs for the account with the manage key."""

    def __init__(self, core: Core, claim: Claim, append: Append) -> None:
        self._core = core
        self._claim = claim
        self._append = append

    async def set_up(self, caller: Caller, owner: str, relay: str, label: str, ticket: str) -> str:
        """Make keys and account; the recovery phrase, kept until `phrase_told`.

        Set up already: DaemonRefusal(conflict).
        """
        require_owner(caller)
        core = self._core
        if not is_name(owner):
            raise DaemonRefusal(
                "bad-value",
                "An owner's name is 1 to 32 of a-z, 0-9, _ and -, beginning with a letter or digit.",
                "Choose another name.",
                detail={"field": "owner"},
            )
        check_relay_address(relay)
        async with core.lock:
            if core.account is not None:
                return await self._finish(owner)
            if (known := await core.store.own_account()) is not None:
                raise DaemonRefusal(
                    "conflict",
                    f"This machine knows the account @{known.record.name}, and has no keys of it.",
                    "Take it back with its recovery phrase: taskferry recover",
                    status=409,
                )
            beginning = await self._begin(owner, label)
            log = accounts.refold([beginning.statement])
            refused = await self._claim(relay, log, ticket)
            if refused is not None:
                await core.vault.save_beginning(None)
                raise _not_claimed(owner, refused, ticket)
            note_lasting()
            draft = Draft(core)
            draft.take_log(None, log)
            draft.add(SetTrust(log.account, Trust.OWN, draft.now), PutSetting(RELAY_SETTING, relay.encode()))
            if ticket:
                # Should the relay be away now: the link shows it there, once it is back.
                draft.add(keep_ticket(ticket, origin_of(relay)))
            draft.add(backups_for(SigningKey.from_seed(beginning.recovery)))
            draft.tell("account", "", state="set_up", owner=owner)
            draft.audit(
                AuditKind.SET_UP,
                f"@{owner}",
                account=log.account.hex(),
                device=next(iter(log.state.devices)).hex(),
                relay=relay,
                by="ticket" if ticket else "name",
            )
            await draft.commit()
            core.account = log.account
        core.changed.ring()
        core.due.ring()
        return phrase_of(beginning.recovery)

    async def _finish(self, owner: str) -> str:
        """The recovery phrase of a set-up that was cut off at its very end, before anybody was told of it."""
        beginning = await self._core.vault.load_beginning()
        if beginning is None or beginning.owner != owner:
            raise DaemonRefusal(
                "conflict",
                "This daemon has an account already.",
                "See: taskferry status. To reach it at another relay: taskferry up --relay URL",
                status=409,
            )
        return phrase_of(beginning.recovery)

    async def untold_phrase(self) -> str:
        """The recovery phrase, while whoever set this daemon up has not been told it; else ""."""
        beginning = await self._core.vault.load_beginning()
        return phrase_of(beginning.recovery) if beginning is not None else ""

    async def phrase_told(self) -> None:
        """The owner has the recovery phrase, or will in a moment: it is kept nowhere any more."""
        if await self._core.vault.load_beginning() is not None:
            await self._core.vault.save_beginning(None)

    async def _begin(self, owner: str, label: str) -> Beginning:
        """Keys and first statement, durable; those of an interrupted set-up under the same name, if any."""
        core = self._core
        before = await core.vault.load_beginning()
        if core.ring is not None and before is not None and before.owner == owner:
            return before
        now = core.now()
        # Keys that stood in no account are as good as new.
        ring = core.ring or make_keys(label or "first device", core.entropy, now)
        seed = core.entropy(KEY_BYTES)
        try:
            statement = accounts.create(owner, ring.device, SigningKey.from_seed(seed), at=now)
            accounts.fold([statement])
        except (RemoteProtocolError, LocalProtocolError) as error:
            raise refusal_of(error) from error
        await core.save_keys(ring)
        core.ring = ring
        beginning = Beginning(owner, statement, seed)
        await core.vault.save_beginning(beginning)
        return beginning

    async def may_go_elsewhere(self, caller: Caller, owner: str, relay: str) -> bool:
        """Whether that is this account at another relay than the one which was named, and none had it yet.

        So an address that was mistyped is put right. Another name is taken where a relay refused this one.
        """
        require_owner(caller)
        core = self._core
        if core.caught_up is not None or (await core.own_log()).state.name != owner:
            return False
        return (await core.store.settings((RELAY_SETTING,))).get(RELAY_SETTING) != relay.encode()

    async def try_again(self, caller: Caller, owner: str, relay: str, ticket: str) -> None:
        """Another owner name, ticket or relay for an account that no relay has let in yet."""
        require_owner(caller)
        check_relay_address(relay)
        core = self._core
        async with core.undivided():
            draft = Draft(core)
            log = await draft.own_log()
            if owner != log.state.name:
                await self.extend(draft, accounts.rename(log.state, owner, at=draft.now, by=core.manage))
            if (await core.store.settings((RELAY_SETTING,))).get(RELAY_SETTING) != relay.encode():
                # The former one, mistyped say, is shown no ticket any more.
                draft.add(PutSetting(RELAY_SETTING, relay.encode()), FORGET_TICKET)
                if not ticket:
                    draft.audit(AuditKind.SET_UP, f"@{owner}", relay=relay, by="another relay")
            if ticket:
                draft.add(keep_ticket(ticket, origin_of(relay)))
                draft.audit(AuditKind.SET_UP, f"@{owner}", relay=relay, by="another ticket")
            await draft.commit()

    async def create_agent(self, caller: Caller, agent: NewAgent) -> None:
        """Make an agent that all devices serve, and its card. DaemonRefusal(conflict) if there is one."""
        require_owner(caller)
        core = self._core
        if not is_name(agent.name):
            raise DaemonRefusal(
                "bad-value",
                "An agent's name is 1 to 32 of a-z, 0-9, _ and -, beginning with a letter or digit.",
                "Choose another name.",
                detail={"field": "handle"},
            )
        async with core.undivided():
            draft = Draft(core)
            log = before = await draft.own_log()
            if agent.name in log.state.agents:
                raise DaemonRefusal(
                    "conflict",
                    f"There is an agent {agent.name} already.",
                    f"Choose another name, or change its card: taskferry agent edit {agent.name}",
                    status=409,
                )
            devices = tuple(sorted(device.id for device in log.state.active_devices()))
            log = await self.extend(
                draft,
                accounts.set_agent(log.state, agent.name, devices, at=draft.now, by=core.manage),
            )
            _, card = await sign_next(
                draft,
                log,
                Card(
                    core.agent(agent.name),
                    0,
                    draft.now,
                    log.position,
                    agent.display_name,
                    agent.tagline,
                    agent.description,
                    tuple(sorted(set(agent.capabilities))),
                    (),
                    Visibility.PUBLIC if agent.public else Visibility.PRIVATE,
                ),
            )
            # What an earlier program kept when one of that name was withdrawn is not this one's.
            await end_powers(draft, {agent.name})
            set_apart(draft, before, {agent.name})
            row = LocalAgent(agent.name, json.dumps({}), draft.now)
            await share(draft, (SharedCard(card), shared_agent(row, draft.now)))
            draft.add(PutAgent(row))
            await note(draft, Publication(Subject.CARD, agent.name.encode()))
            draft.tell("agent", agent.name, state="created")
            await draft.commit()
        core.outgoing.ring()

    async def extend(self, draft: Draft, *statements: bytes) -> AccountLog:
        """Our log with further statements of ours; every connected account is told.

        Where another device might sign at the same place, the relay decides who was first, before anything is
        kept here. DaemonRefusal: conflict, relay-unreachable, clock-off, a fold's code.
        """
        self._core.check_may_sign()
        held = await draft.own_log()
        try:
            log = held.extend(statements)
        except RemoteProtocolError as error:
            raise refusal_of(error) from error
        if len(held.state.active_devices()) > 1:
            # What the relay has taken stands, and the other devices could not be told of it.
            self._core.clock.check()
            try:
                await self._append(held.state.length, statements)
            except CallRefused as refused:
                raise _not_appended(refused.refusal.code) from refused
        draft.take_log(held, log)
        await announce(draft, held.state.length, statements)
        return log

    async def keep_keys_fresh(self, *, connected: bool) -> None:
        """Replace the encryption key when it has grown old, and erase those that nothing needs any more.

        The next key is saved before the statement that names it, and put in force after: a crash in between
        is made good here at the next start. Nobody asks for it, so it waits for a relay that has taken us for
        no older copy: one signed on an earlier log, by a disk that was put back, would fork the account.
        """

        def is_due(ring: KeyRing, now: Instant, statements: int) -> bool:
            # By a wrong clock a fresh key would be young for years.
            return self._core.clock.is_right and ring.rotation_due(now, statements)

        try:
            await self._keep_keys(is_due, may_state=connected)
        except DaemonRefusal as refused:
            # Another device was faster, or no relay is there to ask: the next round tries again.
            get_logger().info("the key is not replaced yet", reason=refused.code)

    async def rotate_now(self, caller: Caller) -> None:
        """Replace the encryption key of this device, whatever its age."""
        require_owner(caller)
        self._core.check_may_sign()
        mine = (await self._core.own_log()).state.devices.get(self._core.device)
        if mine is None or mine.status is not DeviceStatus.ACTIVE:
            raise DaemonRefusal(
                RejectCode.DEVICE_GONE.value,
                "This machine is none of your account's any more: nobody seals anything for its keys.",
                "Link it again from an empty data directory: taskferry device link",
                status=409,
            )
        await self._keep_keys(lambda *_: True, may_state=True)

    async def _keep_keys(self, is_due: Callable[[KeyRing, Instant, int], bool], *, may_state: bool) -> None:
        core = self._core
        if core.account is None or core.ring is None or core.suspended:
            return
        async with core.undivided():
            now = core.now()
            ring = core.keys.erase_old(now, is_right=core.clock.is_right)
            log = await core.own_log()
            mine = log.state.devices.get(core.device)
            # A recovery may go on from before this device was let in: then the log does not even name it.
            if mine is None or mine.status is not DeviceStatus.ACTIVE:
                return
            # After a restore nobody has the other half of a key that was stated since the backup.
            is_lost = mine.record.enc not in [key.public for key in ring.opening_keys()]
            if may_state and (
                is_due(ring, now, log.state.length) or is_lost or ring.next_encryption is not None
            ):
                ring = ring.prepare_rotation(core.entropy)
                await core.save_keys(ring)
                core.ring = ring
                coming = ring.next_encryption
                stated = mine.record.enc
                if coming is not None and stated != coming.public:
                    draft = Draft(core)
                    await self.extend(
                        draft,
                        accounts.rotate_keys(log.state, ring.device.signing, coming.public, at=draft.now),
                    )
                    await draft.commit()
                ring = ring.finish_rotation(now)
            if ring is not core.ring:
                await core.save_keys(ring)
                core.ring = ring
        core.outgoing.ring()
