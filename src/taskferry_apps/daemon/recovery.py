"""The owner's recovery key at work: taking the account back on a machine that has none of its keys.

The order is: look the log up, decide, keep the new keys, let the relay take the statement, commit. Whatever
ends in between, asking again goes on from there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import attrs
import trio

from taskferry_protocol import accounts, calls
from taskferry_protocol.accounts import AccountLog, DeviceStatus, fold, refold
from taskferry_protocol.cards import Card, Visibility, sign_card
from taskferry_protocol.crypto import SigningKey
from taskferry_protocol.devices import DeviceKeys
from taskferry_protocol.errors import LocalProtocolError, RejectCode, RemoteProtocolError
from taskferry_protocol.frame_items import statement_page
from taskferry_protocol.ids import AccountId, AgentRef, DeviceId
from taskferry_protocol.records import (
    CardRecord,
    ConnectionState,
    HoldAccount,
    Offset,
    PutCard,
    PutSetting,
    RelayCursor,
    SetCursor,
    SetTrust,
    Trust,
)
from taskferry_protocol.recovery import VISITOR, Base, log_before, names_in, restate
from taskferry_protocol.sessions import LogExtension

from ..relay_client import CallRefused, Identity, LinkEnded, RelayClient
from .alarms import clear_alarm
from .bonds import all_bonds
from .cards import version_after
from .core import Core
from .draft import Draft, refusal_of
from .keys import KeyRing, make_keys
from .link import RELAY_SETTING, Link
from .log_news import held_text
from .names import require_owner
from .outbound import give_up_all
from .own_news import announce
from .owner import check_relay_address
from .port import Caller, DaemonRefusal
from .publications import Publication, Subject, note
from .recovery_port import NewRecovery, Recovered, RecoveryStanding
from .recovery_questions import (
    as_stated,
    asked_for,
    find_base,
    find_devices,
    good_card,
    log_page,
    recovery_key,
    unreachable,
    wrong_phrase,
)
from .recovery_standing import backups_for, standing_of, written_down
from .regaining import DUE, is_due
from .resuming import NO_GENERATION
from .served import settle_served

__all__ = ["Recovery"]

#: How long whoever recovers waits to hear what the relay still has of the connections; they come anyhow.
REGAIN_S: Final = 10.0
#: Of one statement, and of the log, which has to take further ones.
_NO_ROOM: Final = frozenset({RejectCode.TOO_LARGE, RejectCode.TOO_MANY})


class Recovery:
    """Works over a daemon's core and its link."""

    def __init__(self, core: Core, link: Link) -> None:
        self._core = core
        self._link = link

    async def recover(self, caller: Caller, wanted: NewRecovery) -> Recovered:
        """Take the account back on this machine.

        A machine that serves the account already keeps its device: so a forked account is healed.
        Raises DaemonRefusal: bad-value, bad-phrase, wrong-phrase, unknown-account, bad-log, other-account,
        relay-unreachable, not-found (a device to keep), and the relay's codes.
        """
        require_owner(caller)
        recovery = recovery_key(wanted.phrase)
        core = self._core
        async with core.lock:
            held = await self._held()
            url = await self._relay(wanted)
            shown = await self._look_up(url, recovery, wanted, held)
            base = find_base(held, shown, recovery, wanted.kept)
            keep = find_devices(base, wanted.keep)
            ring = self._ring(base, wanted.label)
            log = self._restated(base, ring, keep, recovery)
            await core.save_keys(ring)
            cards = await self._join(url, log, shown, ring, base)
            await self._commit(url, held, log, base, ring, recovery, cards)
        self._link.published_up_to(log.state.length)
        self._link.begin_afresh()
        core.due.ring()
        await self._wait_regained()
        return await self._told(log, base)

    async def check(self, caller: Caller, phrase: str) -> None:
        """Nothing if the phrase is this account's. Raises DaemonRefusal: bad-phrase, wrong-phrase."""
        require_owner(caller)
        recovery = recovery_key(phrase)
        async with self._core.lock:
            draft = Draft(self._core)
            if (await draft.own_log()).state.recovery != recovery.public:
                raise wrong_phrase()
            draft.add(backups_for(recovery))
            draft.add(written_down(recovery.public, draft.now))
            await draft.commit()

    async def standing(self, caller: Caller) -> RecoveryStanding:
        """How it stands with the phrase. Raises DaemonRefusal(not-set-up)."""
        require_owner(caller)
        return await standing_of(self._core.store, await self._core.own_log())

    async def note_written(self, caller: Caller) -> None:
        """The owner has just shown to have the phrase in force."""
        require_owner(caller)
        async with self._core.lock:
            draft = Draft(self._core)
            draft.add(written_down((await draft.own_log()).state.recovery, draft.now))
            await draft.commit()

    async def renew(self, caller: Caller, phrase: str, new: str) -> None:
        """Put the phrase `new` in force. Raises DaemonRefusal: bad-phrase, wrong-phrase, bad-value."""
        require_owner(caller)
        old, coming = recovery_key(phrase), recovery_key(new)
        async with self._core.lock:
            draft = Draft(self._core)
            held = await draft.own_log()
            if held.state.recovery != old.public:
                raise wrong_phrase()
            if old.public == coming.public:
                raise DaemonRefusal("bad-value", "That is the phrase in force.", "Make another one.")
            statement = accounts.set_recovery(held.state, coming, at=draft.now, by=old)
            draft.take_log(held, held.extend([statement]))
            await announce(draft, held.state.length, [statement])
            draft.add(backups_for(coming))
            draft.add(written_down(coming.public, draft.now))
            draft.tell("account", "", state="recovery_renewed")
            await draft.commit()
        self._core.outgoing.ring()

    # --- Looking and deciding

    async def _held(self) -> AccountLog | None:
        own = await self._core.store.own_account()
        return await self._core.logs.get(own.record.account) if own is not None else None

    async def _relay(self, wanted: NewRecovery) -> str:
        raw = (await self._core.store.settings((RELAY_SETTING,))).get(RELAY_SETTING)
        url = wanted.relay or (raw.decode() if raw is not None else "")
        if not url:
            raise DaemonRefusal(
                "missing-field",
                "Name the relay that knows the account.",
                "Add it: --relay URL",
                detail={"field": "relay"},
            )
        check_relay_address(url)
        return url

    async def _look_up(
        self, url: str, recovery: SigningKey, wanted: NewRecovery, held: AccountLog | None
    ) -> AccountLog:
        """The account's log as the relay shows it, checked to be the one that was asked for."""
        who = asked_for(wanted.owner, wanted.account, held)
        statements: list[bytes] = []
        try:
            async with self._link.short_session(url, Identity(VISITOR, recovery), LogExtension()) as client:
                while more := await log_page(client, who, len(statements)):
                    statements.extend(more)
        except CallRefused as refused:
            if refused.refusal.code is RejectCode.UNKNOWN_ACCOUNT:
                raise DaemonRefusal(
                    "unknown-account",
                    "The relay knows no such account that this phrase takes back.",
                    "Check the name, the phrase and the relay's address.",
                    status=404,
                ) from refused
            raise DaemonRefusal(
                refused.refusal.code.value, "The relay does not show the account.", status=502
            ) from refused
        except LinkEnded as ended:
            raise unreachable(ended) from ended
        try:
            log = fold(statements)
        except RemoteProtocolError as error:
            raise DaemonRefusal(
                "bad-log",
                f"What the relay shows of the account does not hold together ({error.code.value}).",
                "Nothing was signed. Try again, or another relay that knows the account.",
                status=502,
            ) from error
        other = who not in names_in(log) if isinstance(who, str) else who != log.account
        if other or (held is not None and held.account != log.account):
            raise DaemonRefusal(
                "other-account",
                "The relay shows another account than the one asked for.",
                "Nothing was signed. The relay is mistaken, or lies.",
                status=502,
            )
        return log

    def _ring(self, base: Base, label: str) -> KeyRing:
        """Keys for this machine: its device's, if that one can be restated, else fresh ones."""
        core, ring = self._core, self._core.ring
        if ring is not None:
            stands = base.state.devices.get(ring.device.id)
            if stands is not None and stands.status is DeviceStatus.ACTIVE:
                ring = as_stated(ring, stands.record, core.now())
            elif core.account is not None or ring.device.id in base.log.state.devices:
                ring = None
        if ring is None:
            ring = make_keys(label or "recovered device", core.entropy, core.now())
        return ring

    def _restated(
        self, base: Base, ring: KeyRing, keep: Sequence[DeviceId], recovery: SigningKey
    ) -> AccountLog:
        whole = base.kept == len(base.log.statements)
        if self._core.account is None and whole and ring.device.id in base.state.devices:
            return base.log  # the relay has taken it already; only the end was cut off
        try:
            return restate(base, ring.device, keep, recovery, at=self._core.now())
        except (RemoteProtocolError, LocalProtocolError) as error:
            if isinstance(error, RemoteProtocolError) and keep and error.code in _NO_ROOM:
                raise DaemonRefusal(
                    error.code.value,
                    "So many agents and kept machines have no room in a recovery. Nothing was signed.",
                    "Keep fewer machines, and link the others anew afterwards: taskferry device link",
                    status=409,
                    detail={"field": "keep"},
                ) from error
            raise refusal_of(error) from error

    # --- Doing

    async def _join(
        self, url: str, log: AccountLog, shown: AccountLog, ring: KeyRing, base: Base
    ) -> tuple[Card, ...]:
        """Let the relay take what it lacks of the log; the agents' cards as it has them."""
        start = log.shared_with(shown)
        extension = LogExtension(start, statement_page(log.after(start)))
        logs = (refold(base.log.statements[: base.kept]), log_before(base, ring.device.id))
        cards: list[Card] = []
        try:
            identity = Identity(log.account, ring.device.signing)
            async with self._link.short_session(url, identity, extension) as client:
                for name in log.state.agents:
                    cards.append(await self._card(client, logs, AgentRef(log.account, name)))
        except LinkEnded as ended:
            if ended.code is None:
                raise unreachable(ended) from ended
            raise DaemonRefusal(
                ended.code.value,
                f"The relay does not take the recovery: {ended.text or ended.code.value}.",
                "Ask its operator.",
                status=409,
            ) from ended
        return tuple(cards)

    async def _card(self, client: RelayClient, logs: Sequence[AccountLog], agent: AgentRef) -> Card:
        """An agent's newest card, by this machine or the relay; a plain one where neither has a good one.

        The first of `logs` by which any is good decides.
        """
        raws = [record.raw for record in (await self._core.store.cards((agent,))).values()]
        try:
            answer = await client.call(calls.GetCard(agent))
            if isinstance(answer, calls.CardFound):
                raws.append(answer.card)
        except CallRefused:
            pass
        for log in logs:
            found = [card for raw in raws if (card := good_card(raw, log, agent)) is not None]
            if found:
                return max(found, key=lambda card: card.version)
        return Card(agent, 0, self._core.now(), logs[0].position, "", "", "", (), (), Visibility.PRIVATE)

    async def _commit(
        self,
        url: str,
        held: AccountLog | None,
        log: AccountLog,
        base: Base,
        ring: KeyRing,
        recovery: SigningKey,
        cards: Sequence[Card],
    ) -> None:
        core = self._core
        is_new = held is None or ring.device.id not in held.state.devices
        if is_new:
            await give_up_all(core)
        with self._serving(ring, log.account):
            draft = Draft(core)
            if held is None:
                draft.take_log(None, log)
            elif held.position != log.position:
                draft.replace_log(held, log, held.shared_with(log))
            draft.add(SetTrust(log.account, Trust.OWN, draft.now), HoldAccount(log.account, ""))
            await clear_alarm(draft, held_text((held or log).state.name))
            draft.add(PutSetting(RELAY_SETTING, url.encode()))
            draft.add(backups_for(recovery))
            draft.add(written_down(recovery.public, draft.now))
            if is_new:
                cursor = RelayCursor(self._link.origin_of(url), NO_GENERATION, Offset(0))
                draft.add(SetCursor(cursor))
                await self._put_cards(draft, log, ring.device, cards)
            await settle_served(draft, held, log)
            start = held.shared_with(log) if held is not None else base.kept
            if log.after(start):
                await announce(draft, start, log.after(start))
            draft.add(DUE)
            draft.tell("account", "", state="recovered", owner=log.state.name)
            await draft.commit()
        await core.vault.save_beginning(None)

    @contextmanager
    def _serving(self, ring: KeyRing, account: AccountId) -> Iterator[None]:
        """The account is this daemon's, and stays so if the block ends well."""
        core = self._core
        # Kept already, and what the relay knows: who asks again goes on from there, as after a start.
        core.ring = ring
        before, core.account = core.account, account
        try:
            yield
        except BaseException:
            core.account = before
            raise

    async def _put_cards(
        self, draft: Draft, log: AccountLog, device: DeviceKeys, cards: Sequence[Card]
    ) -> None:
        """Sign the agents' cards anew: the former key counts no more."""
        held = await draft.core.store.cards([card.agent for card in cards])
        for card in cards:
            name = card.agent.name
            if device.manage is not None:
                # One that is held counts on, also where its signer went so long ago that it is not read.
                record = held.get(card.agent)
                last = max(card.version, record.version if record is not None else 0)
                version = version_after(last, draft.now)
                card = attrs.evolve(card, version=version, at=draft.now, log=log.position)
                raw = sign_card(card, device.manage)
                public = card.visibility is Visibility.PUBLIC
                kept = CardRecord(card.agent, card.version, public, raw)
                draft.add(PutCard(kept, instead_of=record.raw if record is not None else b""))
            await note(draft, Publication(Subject.CARD, name.encode()))

    async def _wait_regained(self) -> None:
        with trio.move_on_after(REGAIN_S):
            while True:
                heard = self._core.feed.next
                if not await is_due(self._core.store):
                    return
                await heard.wait()

    async def _told(self, log: AccountLog, base: Base) -> Recovered:
        active = {device.id for device in log.state.active_devices()}
        gone = [device for device in base.log.state.active_devices() if device.id not in active]
        bonds = [
            bond
            for bond in await all_bonds(self._core.store)
            if bond.record.state is ConnectionState.ACCEPTED
        ]
        return Recovered(
            log.state.name,
            log.account,
            self._core.device,
            tuple(sorted(log.state.agents)),
            tuple(device.record.label for device in gone),
            len(bonds),
            sum(bond.given is None or not bond.given.grant.classes for bond in bonds),
        )
