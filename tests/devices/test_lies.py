"""The other side lies: strangers in the middle, peers and relays that hide, forge and fork."""

from __future__ import annotations

import attrs
import pytest

from taskferry_apps import system
from taskferry_apps.daemon.draft import Draft
from taskferry_apps.phrase import seed_of
from taskferry_protocol.accounts import recover, rename
from taskferry_protocol.crypto import SigningKey
from taskferry_protocol.devices import DeviceKeys
from taskferry_protocol.envelope import parse_envelope
from taskferry_protocol.errors import RejectCode, RemoteProtocolError
from taskferry_protocol.frame_items import Entry, Mail, Notice
from taskferry_protocol.frames import DeliverFrame, Frame, ReplyFrame
from taskferry_protocol.ids import AccountId, AgentRef, Hash, Instant
from taskferry_protocol.linking import Approving, Joining
from taskferry_protocol.messages import DeviceShare, MessageClass, SharedAccount, SharedLabel
from tests.daemon.forger import codes, forging
from tests.daemon.worlds import OWNER, texts, until
from tests.protocol.owners import Owner

from .machines import a_pair, alarms_of, log_of, say

NOW = Instant(1_800_000_000_000)


def _sides(owner: Owner, *, manage: bool = True) -> tuple[Joining, Approving, tuple[bytes, ...]]:
    """A new machine, the managing one, and its first letter."""
    new = Joining.begin(DeviceKeys.generate_managing("new", system.entropy), system.entropy(32), NOW)
    device = next(iter(owner.log.state.devices))
    old, turn = Approving.begin(owner.log, device, system.entropy(32), NOW, manage=manage)
    return new, old, turn.letters


def test_a_stranger_in_the_middle_makes_the_words_differ_and_neither_side_signs():
    """Mallory has a conversation with each side; whatever she substitutes, nobody's words fit, and once."""
    alice = Owner("alice")
    new, old, (commit,) = _sides(alice)
    thief, fake, (fake_commit,) = _sides(Owner("mallory"))
    # To the managing side she is the new machine, to the new machine the managing side.
    (thief_offer,) = thief.receive(commit, now=NOW).letters
    (reveal,) = old.receive(thief_offer, now=NOW).letters
    thief.receive(reveal, now=NOW)
    (offer,) = new.receive(fake_commit, now=NOW).letters
    (fake_reveal,) = fake.receive(offer, now=NOW).letters
    new.receive(fake_reveal, now=NOW)
    assert new.words != thief.words
    with pytest.raises(RemoteProtocolError) as refused:
        old.confirm(" ".join(new.words), now=NOW)
    assert refused.value.code == "words-differ"
    with pytest.raises(RemoteProtocolError) as refused:
        new.confirm(" ".join(old.words), now=NOW)
    assert refused.value.code == "words-differ"
    assert not old.is_agreed


def test_letters_passed_on_unchanged_give_fitting_words():
    """An honest courier: both sides agree, and the consent is for exactly what was compared."""
    new, old, (commit,) = _sides(Owner("alice"), manage=False)
    (offer,) = new.receive(commit, now=NOW).letters
    (reveal,) = old.receive(offer, now=NOW).letters
    new.receive(reveal, now=NOW)
    assert new.words != old.words
    (consent,) = new.confirm(", ".join(old.words).title(), now=NOW).letters
    old.receive(consent, now=NOW)
    old.confirm(" ".join(new.words), now=NOW)
    assert old.is_agreed
    assert new.keys.manage is None
    assert old.record == new.keys.record


async def test_what_a_peer_shares_is_not_believed():
    """A connected peer's share pins nobody and names nothing: it is quarantined, with a code."""
    async with forging() as (forger, bob):
        account = AccountId(b"m" * 32)
        items = (
            SharedAccount(account, "mallory", "verified", "", 0, (b"a statement",)),
            SharedLabel(forger.bob.device, "hacked"),
        )
        await forger.deliver(await forger.seal(DeviceShare(items), from_="", to=""))
        assert await codes(bob) == ["not-authorized"]
        assert await forger.bob.store.accounts((account,)) == {}
        assert (await bob.devices.overview(OWNER)).devices[0].label == "laptop"


async def test_what_a_machine_without_power_shares_is_not_believed():
    """A device of the owner's own that may not manage cannot tell the others whom to trust."""
    async with a_pair(manage=False) as pair:
        core = pair.second._core
        async with core.lock:
            draft = Draft(core)
            own = AgentRef(core.own, "")
            await draft.post_quietly(DeviceShare((SharedLabel(core.device, "boss"),)), own, own)
            await draft.commit()

        async def refused() -> bool:
            return [item.code for item in await pair.first.quarantine(OWNER, "", 9)] == ["not-authorized"]

        await until(refused)
        views = (await pair.first.devices.overview(OWNER)).devices
        assert "boss" not in {view.label for view in views}


async def test_an_item_that_does_not_hold_harms_no_other():
    """A forged envelope and a log that does not fold are passed over; what stands beside them is taken."""
    async with a_pair() as pair:
        core = pair.first._core
        bad = SharedAccount(AccountId(b"m" * 32), "mallory", "verified", "", 0, (b"no statement",))
        async with core.lock:
            draft = Draft(core)
            own = AgentRef(core.own, "")
            items = (bad, SharedLabel(core.device, "desk"))
            await draft.post_quietly(DeviceShare(items), own, own)
            await draft.commit()

        async def named() -> bool:
            return "desk" in {view.label for view in (await pair.second.devices.overview(OWNER)).devices}

        await until(named)
        assert await pair.second._core.store.accounts((AccountId(b"m" * 32),)) == {}


def _without_news(entry: Entry) -> Entry:
    """A notice about nothing in place of what the owners' devices tell each other."""
    if isinstance(entry, Mail) and parse_envelope(entry.envelope).header.cls is MessageClass.ACCOUNT:
        return Notice(entry.offset, Hash(bytes(32)), RejectCode.EXPIRED)
    return entry


async def test_a_revocation_that_a_relay_hides_is_noticed_by_the_peer():
    """Bob is shown the old log and kept from the news; the owner's next message quotes a longer one."""
    async with a_pair() as pair:
        old = (await log_of(pair.first)).state.length
        account = (await log_of(pair.first)).account

        def hide(frame: Frame) -> Frame:
            match frame:
                case ReplyFrame(outcome=dict() as found) if found.get("account") == account:
                    statements = found["statements"]
                    start = found["from"]
                    assert isinstance(statements, list)
                    assert isinstance(start, int)
                    return attrs.evolve(frame, outcome={**found, "statements": statements[: old - start]})
                case DeliverFrame(entries=entries):
                    return attrs.evolve(frame, entries=tuple(map(_without_news, entries)))
                case _:
                    return frame

        pair.world.tamper = hide
        await pair.first.devices.revoke(OWNER, pair.device.hex(), "lost", lose=True)
        await say(pair.first, "requester", "@bob/writer", "trust me")

        async def noticed() -> bool:
            return "another history" in await alarms_of(pair.bob)

        await until(noticed)
        assert [item.code for item in await pair.bob.quarantine(OWNER, "", 9)] == ["not-an-extension"]
        assert "trust me" not in await texts(pair.bob, "writer")


async def test_two_machines_that_a_relay_shows_two_accounts_fork_and_are_healed_by_recovery():
    """Each signs on its own branch; loud alarm, traffic held; the recovery key settles it on both."""
    async with a_pair() as pair:
        first, second = pair.first, pair.second
        log = await log_of(first)
        core, other = first._core, second._core
        branch = log.extend([rename(log.state, "alice-one", at=system.now(), by=core.manage)])
        sibling = log.extend([rename(log.state, "alice-two", at=system.now(), by=other.manage)])
        for mine, taken in ((core, branch), (other, sibling)):
            async with mine.lock:
                draft = Draft(mine)
                draft.replace_log(await draft.own_log(), taken, log.state.length)
                await draft.commit()
        core.changed.ring()
        first._link.begin_afresh()
        pair.world.stop_relay()
        await pair.world.start_relay()

        async def loud() -> bool:
            held = [(await daemon.devices.overview(OWNER)).held for daemon in (first, second)]
            return any(held)

        await until(loud)
        victim = first if (await first.devices.overview(OWNER)).held else second
        assert "two histories" in await alarms_of(victim)
        key = SigningKey.from_seed(seed_of(pair.recovery))
        devices = sorted(log.state.active_devices(), key=lambda device: device.id)
        healed = log.extend(
            [
                recover(
                    log.state,
                    [(device.record, b"") for device in devices],
                    {"requester": sorted(device.id for device in devices)},
                    at=system.now(),
                    by=key,
                )
            ]
        )
        async with core.lock:
            draft = Draft(core)
            held = await draft.own_log()
            draft.replace_log(held, healed, held.shared_with(healed))
            await draft.commit()
        first._link._published = log.state.length
        core.outgoing.ring()
        pair.world.stop_relay()
        await pair.world.start_relay()

        async def over() -> bool:
            overviews = [await daemon.devices.overview(OWNER) for daemon in (first, second)]
            positions = {(await log_of(daemon)).position for daemon in (first, second)}
            return not any(overview.held for overview in overviews) and len(positions) == 1

        await until(over)
        assert (await log_of(second)).state.name == "alice"
