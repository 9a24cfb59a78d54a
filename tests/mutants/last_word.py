"""Faults by which somebody's older word would count: permissions, blocks, cards, links and shares."""

from __future__ import annotations

from .mutant import Mutant

__all__ = ["LAST_WORD"]

_DAEMON = "taskferry_apps/daemon"
_PROMISE = "an owner's last word on permissions counts"

_RULES = ("tests/daemon/test_rules.py",)
_INVITES = ("tests/daemon/test_invites.py",)
_LIFE = ("tests/daemon/test_connections_life.py",)
_BLOCKS = ("tests/daemon/test_blocks.py",)
_LONG = ("tests/daemon/test_long_logs.py",)
_VERSIONS = ("tests/devices/test_last_version.py",)
_SAME = ("tests/devices/test_same_device.py",)
_SHARES = ("tests/devices/test_shares_that_meet.py",)
_TWO_MACHINES = ("tests/devices/test_blocks_on_two_machines.py",)
_LATE = ("tests/devices/test_words_late.py",)


def _m(name: str, file: str, old: str, new: str, promise: str, tests: tuple[str, ...]) -> Mutant:
    return Mutant(name, file, old, new, promise, tests)


LAST_WORD = (
    # --- what comes back by asking anew
    _m(
        "rule-answers-the-connected",
        f"{_DAEMON}/connection_arrivals.py",
        "    if by_invite or is_connected or not await",
        "    if by_invite or not await",
        _PROMISE,
        (*_RULES, *_INVITES, *_LIFE),
    ),
    _m(
        "invite-answers-the-connected",
        f"{_DAEMON}/connection_arrivals.py",
        "    if body.invite is not None and not is_connected:",
        "    if body.invite is not None:",
        _PROMISE,
        _INVITES,
    ),
    _m(
        "rule-outranks-a-later-word",
        f"{_DAEMON}/connection_arrivals.py",
        "    wish = within(wish_by(rule), said, rule.created_at)",
        "    wish = wish_by(rule)",
        _PROMISE,
        _RULES,
    ),
    _m(
        "invite-outranks-a-later-word",
        f"{_DAEMON}/invited.py",
        "    wish = within(changed(welcome(), _decode(invite.permissions)), said, invite.created_at)",
        "    wish = changed(welcome(), _decode(invite.permissions))",
        _PROMISE,
        _INVITES,
    ),
    _m(
        "earlier-word-binds-a-later-rule",
        f"{_DAEMON}/grants.py",
        "    if said is None or decided_at > said.grant.at:",
        "    if said is None:",
        "what an owner decides later counts, also where it allows more",
        (*_RULES, *_INVITES),
    ),
    _m(
        "gate-comes-off-by-an-invite",
        f"{_DAEMON}/grants.py",
        "        human_gate=one.human_gate or other.human_gate,",
        "        human_gate=one.human_gate,",
        _PROMISE,
        _INVITES,
    ),
    _m(
        "first-word-of-all-counts",
        f"{_DAEMON}/bonds.py",
        "    return max(said, key=lambda given: given.grant.at, default=None)",
        "    return min(said, key=lambda given: given.grant.at, default=None)",
        _PROMISE,
        _RULES,
    ),
    # --- several connections of the same two
    _m(
        "word-on-one-connection-alone",
        f"{_DAEMON}/connections.py",
        "            await permit_beside(draft, bond, wish)\n            message = ",
        "            message = ",
        _PROMISE,
        _BLOCKS,
    ),
    _m(
        "late-acceptance-allows-more",
        f"{_DAEMON}/connection_arrivals.py",
        "        await permit_no_more(arrival.draft, Bond(accepted))\n",
        "        pass\n",
        _PROMISE,
        _BLOCKS,
    ),
    _m(
        "acceptance-without-end",
        f"{_DAEMON}/connection_arrivals.py",
        "    if arrival.decision.envelope.header.created_at > bond.request.expires_at:",
        "    if False:",
        "a request that is over is not accepted any more",
        _LIFE,
    ),
    _m(
        "blocked-agent-asked-by-link",
        f"{_DAEMON}/connections.py",
        "            check_not_blocked(bonds)\n            if relation(bonds) is Relation.CONNECTED:",
        "            if relation(bonds) is Relation.CONNECTED:",
        "silence is never an outcome",
        (*_BLOCKS, *_INVITES),
    ),
    # --- an owner's other machines
    _m(
        "block-taken-back-here-alone",
        f"{_DAEMON}/lifting.py",
        "        await share(draft, (connection_item(lifted),))\n",
        "",
        "what the owner decides holds on all of its machines",
        _TWO_MACHINES,
    ),
    _m(
        "peer-lifts-a-block",
        f"{_DAEMON}/lifting.py",
        " or since.by != held.mine or",
        " or",
        "a block is its owner's to take back",
        (*_TWO_MACHINES, *_SHARES),
    ),
    _m(
        "older-end-lifts-a-block",
        f"{_DAEMON}/lifting.py",
        " or since.at < before.at:",
        ":",
        "a block is its owner's to take back",
        (*_TWO_MACHINES, *_SHARES),
    ),
    _m(
        "decisions-since-the-backup-forgotten",
        f"{_DAEMON}/restoring.py",
        "            await store.commit((floor, *anew, RESTORED))",
        "            await store.commit((floor, *anew))",
        _PROMISE,
        _SAME,
    ),
    _m(
        "card-number-of-the-backup",
        f"{_DAEMON}/cards.py",
        "version_after(max(last, min(draft.core.sequence_floor, LAST_VERSION - 1)), draft.now)",
        "version_after(last, draft.now)",
        "a card that its owner changes is taken",
        _SAME,
    ),
    _m(
        "older-grant-spoils-the-share",
        f"{_DAEMON}/share_arrivals.py",
        "        with suppress(RemoteProtocolError):\n            newer_grant(",
        "        if True:\n            newer_grant(",
        "one part that is out of date loses nothing else",
        _SHARES,
    ),
    _m(
        "shared-grant-goes-back",
        f"{_DAEMON}/share_arrivals.py",
        "            newer_grant(known.grant if known is not None else None, grant)\n",
        "",
        _PROMISE,
        _SHARES,
    ),
    _m(
        "names-of-devices-that-never-were",
        f"{_DAEMON}/share_arrivals.py",
        "                    if item.device in own.state.devices:\n                        await take_label",
        "                    if True:\n                        await take_label",
        "no stolen device makes memory grow without a limit",
        (*_SHARES, *_VERSIONS),
    ),
    _m(
        "words-from-the-future",
        f"{_DAEMON}/agents_told.py",
        "    at = min(item.at, draft.now)",
        "    at = item.at",
        "a stolen device has no last word about agents",
        (*_SHARES, *_VERSIONS),
    ),
    _m(
        "restored-machine-signs-over-another",
        f"{_DAEMON}/regaining.py",
        "    is_kept = due == RESTORED.value and await _another_signs(core)",
        "    is_kept = False",
        _PROMISE,
        _SAME,
    ),
    _m(
        "late-acceptance-while-locked",
        f"{_DAEMON}/permitting.py",
        "        if keys.device.manage is not None or keys.locked_manage is not None:",
        "        if False:",
        _PROMISE,
        _BLOCKS,
    ),
    _m(
        "block-lifted-by-the-clock-alone",
        f"{_DAEMON}/lifting.py",
        "    at = Instant(max(draft.now, recall_end(bond.record.end_raw).at))",
        "    at = draft.now",
        "what the owner decides holds on all of its machines",
        _TWO_MACHINES,
    ),
    _m(
        "lifted-block-counts-again",
        f"{_DAEMON}/lifting.py",
        " or block.at > record.again_at",
        " or True",
        "what the owner decides holds on all of its machines",
        _LATE,
    ),
    _m(
        "late-block-ends-what-is-newer",
        f"{_DAEMON}/ending.py",
        "        if await _is_agreed_since(draft, other, at):\n            continue\n",
        "",
        "a relay that keeps something back ends nothing by it",
        _LATE,
    ),
    _m(
        "lift-of-one-request-alone",
        f"{_DAEMON}/share_arrivals.py",
        "            if told_at is not None:\n",
        "            if False:\n",
        "what the owner decides holds on all of its machines",
        _LATE,
    ),
    _m(
        "word-shown-again-by-another",
        f"{_DAEMON}/words_apart.py",
        "teller is not None and await _is_of(draft, offered.raw, teller)",
        "teller is not None",
        _PROMISE,
        _LATE,
    ),
    _m(
        "acceptance-overtaken-is-lost",
        f"{_DAEMON}/connection_copies.py",
        "    await note_apart(arrival.draft, bond, grant, arrival.decision.envelope.device)\n",
        "",
        _PROMISE,
        _LATE,
    ),
    # --- numbers that a thief used up
    _m(
        "fallen-card-stays",
        f"{_DAEMON}/cards.py",
        '    return held.raw if held is not None and not card_stands(held.raw, log) else b""',
        '    return b""',
        "a device can always be put out",
        _VERSIONS,
    ),
    _m(
        "fallen-card-stays-at-the-relay",
        "taskferry_apps/relay/calls.py",
        "StoreCard(CardRecord(card.agent, card.version, public, raw), instead_of=fallen)",
        "StoreCard(CardRecord(card.agent, card.version, public, raw))",
        "a device can always be put out",
        _VERSIONS,
    ),
    _m(
        "any-card-replaces-one-that-stands",
        "taskferry_protocol/cards.py",
        "    except RemoteProtocolError:\n        return False\n    return True\n\n\ndef recall_card",
        "    except RemoteProtocolError:\n        return False\n    return False\n\n\ndef recall_card",
        "an older card never replaces a newer one",
        (*_VERSIONS, "tests/daemon/test_cards.py"),
    ),
    # --- logs
    _m(
        "whole-log-in-an-envelope",
        f"{_DAEMON}/logbook.py",
        " if size <= _SHOWN_BYTES)",
        ")",
        "owners with long logs connect",
        _LONG,
    ),
    _m(
        "strangers-whole-log",
        f"{_DAEMON}/log_news.py",
        "None if is_known else STRANGER_BYTES",
        "None",
        "no stranger makes disk or memory grow without a limit",
        _LONG,
    ),
    _m(
        "connected-owners-log-cut",
        f"{_DAEMON}/log_news.py",
        "None if is_known else STRANGER_BYTES",
        "STRANGER_BYTES",
        "a known owner's log is followed whole",
        _LONG,
    ),
    # --- what no peer will ever take
    _m(
        "sent-at-a-rate-of-none",
        f"{_DAEMON}/sending.py",
        "    never = not grant.rate and header.cls in GRANTABLE",
        "    never = False",
        "silence is never an outcome",
        ("tests/daemon/api/test_whole_path.py",),
    ),
    _m(
        "task-for-a-peer-that-takes-none",
        f"{_DAEMON}/sending.py",
        "    if isinstance(body, TaskRequest):\n        check_takes_tasks(way)\n",
        "",
        "what cannot be done is refused before it costs anything",
        ("tests/daemon/test_task_path.py",),
    ),
)
