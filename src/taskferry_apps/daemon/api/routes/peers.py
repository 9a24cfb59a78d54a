"""Other owners: who they are known to be, and what the owner decides about it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from ...peers_port import PeerService, PeerView
from ...port import Caller, DaemonService
from ..answers import Object
from ..fields import Form, Schema, Text, required
from ..kinds import time_text
from ..schemas import HASH, NUMBER, TEXT, TEXTS, TIME, many, record
from ..table import Access, Call, Handler, Route

__all__ = ["ROUTES"]

_NAMED: Final = Text(
    96,
    2,
    pattern="@[a-z0-9][a-z0-9_-]{0,31}(/[a-z0-9][a-z0-9_-]{0,31})?|[0-9a-f]{8,64}",
    wanted="@owner, @owner/agent, or 8 to 64 digits of an account id",
)
_PEER: Final = required(
    "peer", _NAMED, "The other owner: @owner, @owner/agent, or an account id's beginning."
)
_CODE: Final = required(
    "code", Text(1_024, 1), "The safety code as the other owner reads it: its words or its digits."
)

_TRUST: Final[Schema] = {"enum": ["verified", "pinned", "unverified", "changed"]}
_CHANGE: Final[Schema] = record(
    what={"enum": ["second_claim", "other_history", "forked", "replaced"]},
    text=TEXT,
    at=TIME,
    other={"anyOf": [HASH, {"type": "null"}]},
    other_fingerprint=TEXT,
)
_ANSWER: Final[Schema] = record(
    owner=TEXT,
    account=HASH,
    fingerprint=TEXT,
    trust=_TRUST,
    since=TIME,
    safety_code={**TEXT, "description": "Sixty digits in groups."},
    safety_words={**TEXTS, "description": "The same code in 24 words."},
    length=NUMBER,
    head=HASH,
    agents=TEXTS,
    devices=many(record(id=HASH, label=TEXT, status=TEXT, since=TIME)),
    change={"anyOf": [_CHANGE, {"type": "null"}]},
)


def _object(peer: PeerView) -> Object:
    change = peer.change
    return {
        "owner": peer.owner,
        "account": peer.account.hex(),
        "fingerprint": peer.fingerprint,
        "trust": peer.trust,
        "since": time_text(peer.since),
        "safety_code": peer.code.digits,
        "safety_words": list(peer.code.words),
        "length": peer.length,
        "head": peer.head.hex(),
        "agents": list(peer.agents),
        "devices": [
            {
                "id": device.id.hex(),
                "label": device.label,
                "status": device.status,
                "since": time_text(device.since),
            }
            for device in peer.devices
        ],
        "change": None
        if change is None
        else {
            "what": change.what,
            "text": change.text,
            "at": time_text(change.at),
            "other": change.other.hex() if change.other is not None else None,
            "other_fingerprint": change.other_fingerprint,
        },
    }


async def _list(daemon: DaemonService, call: Call) -> Object:
    return {"peers": [_object(peer) for peer in await daemon.peers.peers(call.known_caller)]}


async def _show(daemon: DaemonService, call: Call) -> Object:
    return _object(await daemon.peers.peer(call.known_caller, call.query[_PEER]))


async def _verify(daemon: DaemonService, call: Call) -> Object:
    return _object(await daemon.peers.verify(call.known_caller, call.body[_PEER], call.body[_CODE]))


def _deciding(decide: Callable[[PeerService, Caller, str], Awaitable[PeerView]]) -> Handler:
    async def handler(daemon: DaemonService, call: Call) -> Object:
        return _object(await decide(daemon.peers, call.known_caller, call.body[_PEER]))

    return handler


def _decision(path: str, name: str, about: str, handler: Handler, body: Form) -> Route:
    return Route(
        method="POST",
        path=path,
        name=name,
        about=about,
        handler=handler,
        answer=_ANSWER,
        access=Access.OWNER,
        body=body,
    )


ROUTES: Final = (
    Route(
        method="GET",
        path="/peers",
        name="list_peers",
        about="Every other owner whose account is pinned here.",
        handler=_list,
        answer=record(peers=many(_ANSWER)),
        access=Access.OWNER,
    ),
    Route(
        method="GET",
        path="/peers/show",
        name="show_peer",
        about="One of them: trust, safety code, devices, and what is in question.",
        handler=_show,
        answer=_ANSWER,
        access=Access.OWNER,
        query=Form.of(_PEER),
    ),
    _decision(
        "/peers/verify",
        "verify_peer",
        "The other owner reads the same safety code: the peer is verified.",
        _verify,
        Form.of(_PEER, _CODE),
    ),
    _decision(
        "/peers/trust",
        "trust_peer",
        "Pin a peer without comparing.",
        _deciding(lambda peers, caller, named: peers.trust(caller, named)),
        Form.of(_PEER),
    ),
    _decision(
        "/peers/unverify",
        "unverify_peer",
        "Take a verification back.",
        _deciding(lambda peers, caller, named: peers.unverify(caller, named)),
        Form.of(_PEER),
    ),
    _decision(
        "/peers/keep",
        "keep_peer",
        "Of an identity in question, keep the pinned one; what waits for it is sent.",
        _deciding(lambda peers, caller, named: peers.keep(caller, named)),
        Form.of(_PEER),
    ),
    _decision(
        "/peers/accept-change",
        "accept_peer_change",
        "Give a peer's name to the other account that claims it; nothing more is sent to the former one.",
        _deciding(lambda peers, caller, named: peers.accept_change(caller, named)),
        Form.of(_PEER),
    ),
)
