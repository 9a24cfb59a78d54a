"""Agents that say much at once: many messages in one request, under keys, and many requests at one time."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from typing import TYPE_CHECKING

import attrs
import trio

from taskferry_apps.daemon.port import DaemonRefusal
from taskferry_apps.daemon.sending_port import NewMessage
from taskferry_apps.daemon.service import Daemon
from taskferry_apps.daemon.views import Sent
from taskferry_protocol.ids import Hash
from taskferry_protocol.messages import TextMessage, decode_content
from taskferry_stores.port import StoreError
from tests.daemon.worlds import OWNER

from .ledger import Keyed

if TYPE_CHECKING:
    from .acting import Actor

__all__ = ["say_again", "say_at_once", "say_many"]

SIZES = (2, 5, 17, 64, 100)
#: One in so many is none that can be sent.
FALSE = 0.06
#: One in so many bears a key.
KEYED = 0.7
#: One in so many goes to somebody else than the others.
ELSEWHERE = 0.1


async def say_many(actor: Actor, daemon: Daemon, pick: int) -> str:
    """Many messages in one request; some of them cannot be sent, and do not keep the others from it."""
    peers = [one.peer for one in await actor.connected(daemon)]
    if not peers:
        return ""
    draw = random.Random(pick)
    peer = draw.choice(peers)
    messages: list[NewMessage] = []
    for _ in range(draw.choice(SIZES)):
        to = draw.choice(peers) if draw.random() < ELSEWHERE else peer
        one = _message(actor, to, keyed=draw.random() < KEYED)
        messages.append(_false(draw, one, messages) if draw.random() < FALSE else one)
    actor.asked.append(messages)
    return await _ask(actor, daemon, messages)


async def say_again(actor: Actor, daemon: Daemon, pick: int) -> str:
    """A request that was made before comes again, perhaps twice at once: nothing of it is sent twice."""
    draw = random.Random(pick)
    known = [[one for one in asked if one.key] for asked in actor.asked[-4:]]
    known = [asked for asked in known if asked]
    if not known:
        return ""
    again = list(draw.choice(known))
    answered = [at for at, one in enumerate(again) if actor.ledger.hash_of(actor.machine.name, one)]
    if answered and draw.random() < 0.5:
        at = draw.choice(answered)
        again[at] = _digested(attrs.evolve(again[at], text=f"not {again[at].text}"))
    if draw.random() < 0.5:
        # Its sender has more to say meanwhile.
        more = [_message(actor, again[0].peer, keyed=True) for _ in range(3)]
        actor.asked.append(more)
        again += more
    told = ["", ""]
    failed: list[DaemonRefusal | StoreError] = []

    async def ask(number: int) -> None:
        try:
            told[number] = await _ask(actor, daemon, again)
        except (DaemonRefusal, StoreError) as error:
            failed.append(error)

    async with trio.open_nursery() as nursery:
        for number in range(2 if draw.random() < 0.4 else 1):
            nursery.start_soon(ask, number)
    if failed:
        raise failed[0]  # by itself, as each of them was answered
    return "again " + " and ".join(filter(None, told))


async def say_at_once(actor: Actor, daemon: Daemon, pick: int) -> str:
    """Many requests of one message each at the same time."""
    peers = await actor.connected(daemon)
    if not peers:
        return ""
    peer = peers[pick % len(peers)].peer
    sent = 0

    async def say(text: str) -> None:
        nonlocal sent
        try:
            done = await daemon.send_message(OWNER, actor.owner.agent, peer, text, (), "", "")
        except DaemonRefusal as refused:
            actor.ledger.refused[refused.code] += 1
        except StoreError:
            pass
        else:
            actor.took(done, peer, "message at once")
            sent += 1

    count = SIZES[pick // 7 % len(SIZES)]
    async with trio.open_nursery() as nursery:
        for _ in range(count):
            nursery.start_soon(say, f"says {actor.word()}")
    return f"{sent} of {count} to {peer}"


def _message(actor: Actor, peer: str, *, keyed: bool) -> NewMessage:
    word = actor.word()
    one = NewMessage(actor.owner.agent, peer, f"says {word}", key=f"key-{word}" if keyed else "")
    return _digested(one)


def _digested(one: NewMessage) -> NewMessage:
    return attrs.evolve(one, digest=hashlib.sha256(f"{one.peer} {one.text}".encode()).digest())


def _false(draw: random.Random, one: NewMessage, before: Sequence[NewMessage]) -> NewMessage:
    """The same so that it cannot be sent."""
    keys = [other.key for other in before if other.key]
    match draw.randrange(4):
        case 0:
            return attrs.evolve(one, peer="@nobody/none")
        case 1:
            return attrs.evolve(one, mine="nobody")
        case 2:
            return attrs.evolve(one, reply_to="ff" * 32)
        case _:
            return attrs.evolve(one, key=draw.choice(keys)) if keys else attrs.evolve(one, conversation="?")


def is_false(one: NewMessage, before: Sequence[NewMessage]) -> bool:
    """Whether a message cannot be sent, whatever the daemon knows."""
    odd = one.peer == "@nobody/none" or one.mine == "nobody" or one.reply_to or one.conversation
    return bool(odd) or (one.key != "" and any(one.key == other.key for other in before))


async def _ask(actor: Actor, daemon: Daemon, messages: Sequence[NewMessage]) -> str:
    """Ask, and hold the answer to what it says, place by place."""
    ledger, name = actor.ledger, actor.machine.name
    for number, one in enumerate(messages):
        if one.key and not is_false(one, messages[:number]):
            ledger.keyed.setdefault((name, one.key), Keyed(name, one.key, one.text))
    outcomes = await daemon.sending.many(OWNER, messages)
    if len(outcomes) != len(messages):
        ledger.broken.append(f"{name} gave {len(outcomes)} answers to {len(messages)} messages")
    sent: dict[int, Hash] = {}
    before = ledger.accepted_by(name)
    for number, (one, outcome) in enumerate(zip(messages, outcomes, strict=False)):
        match outcome:
            case Sent():
                sent[number] = outcome.message
                _hold_to_key(actor, one, outcome.message, is_false(one, messages[:number]))
                if outcome.message not in before:
                    actor.took(outcome, one.peer, "message of many")
            case DaemonRefusal():
                ledger.refused[outcome.code] += 1
            case StoreError():
                pass
            case _:
                ledger.broken.append(f"{name} answered one of many with {outcome!r}")
    await _hold_to_places(actor, daemon, messages, sent)
    return f"{len(sent)} of {len(messages)} to {messages[0].peer}"


def _hold_to_key(actor: Actor, one: NewMessage, hash: Hash, false: bool) -> None:
    ledger, name = actor.ledger, actor.machine.name
    if false:
        ledger.broken.append(f"{name} sent what cannot be sent: {one.text}")
        return
    kept = ledger.keyed.get((name, one.key))
    if kept is None:
        return
    if kept.text != one.text:
        ledger.broken.append(f"{name} took a key for {one.text!r} that was another message's")
    elif kept.hash is not None and kept.hash != hash:
        ledger.broken.append(f"{name} sent {one.text!r} a second time under its key")
    kept.hash = hash


async def _hold_to_places(
    actor: Actor, daemon: Daemon, messages: Sequence[NewMessage], sent: dict[int, Hash]
) -> None:
    """Each answer is about the message in its place, which is stored by then."""
    stored = await daemon._core.store.messages(sorted(set(sent.values())))
    for number, hash in sent.items():
        texts = {
            body.text
            for row in stored.get(hash, ())
            if isinstance(body := decode_content(row.content).body, TextMessage)
        }
        if texts != {messages[number].text}:
            actor.ledger.broken.append(
                f"{actor.machine.name} answered {messages[number].text!r} with the id of {sorted(texts)}"
            )
