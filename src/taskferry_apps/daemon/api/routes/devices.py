"""The owner's devices: listed, linked, named, put out, given fresh keys."""

from __future__ import annotations

from typing import Final

from ...device_views import DeviceView, LinkingView
from ...port import DaemonService
from ...sharing import History
from ..answers import Object
from ..fields import Choice, Flag, Form, Text, Whole, optional, required
from ..kinds import time_text
from ..schemas import FLAG, HASH, NUMBER, TEXT, TEXTS, TIME, many, maybe, record
from ..table import Access, Call, Repeat, Route
from .daemon import RelayUrl

__all__ = ["ROUTES"]

_WAIT_S: Final = 30

_DEVICE: Final = {
    "id": HASH,
    "label": TEXT,
    "status": {"enum": ["active", "revoked", "retired"]},
    "here": FLAG,
    "manages": FLAG,
    "agents": TEXTS,
    "rotations": NUMBER,
}
_PROGRESS: Final = record(id=HASH, phase={"enum": ["share", "serve", "history"]}, done=NUMBER, total=NUMBER)
_LINKING: Final = record(
    side={"enum": ["", "new", "managing"]},
    phase={"enum": ["none", "waiting", "comparing", "confirmed", "linked", "failed"]},
    code=TEXT,
    link=TEXT,
    words=TEXT,
    expires_at=maybe(TIME),
    owner=TEXT,
    label=TEXT,
    manage=FLAG,
    error=record(code=TEXT, message=TEXT),
)

_ID: Final = required(
    "id", Text(64, 1), "The device: its id, eight or more of its first digits, or its name."
)
_RELAY: Final = required("relay", RelayUrl(), "The relay that the account uses.")
_LABEL: Final = optional("device_label", Text(64), "What to call this device.", "")
_CODE: Final = required("code", Text(64, 1), "The code that the new machine shows.")
_MANAGE: Final = optional("manage", Flag(), "Whether the new device may sign for the account.", False)
_HISTORY: Final = optional(
    "history", Choice(tuple(word.value for word in History)), "How much of what was before it gets.", "all"
)
_WORDS: Final = required("words", Text(128, 1), "The three words that the other machine shows.")
_NAME: Final = required("label", Text(64, 1), "What to call it.")
_REASON: Final = optional("reason", Text(200), "Why; it stands in the account for all to read.", "")
_LOSE: Final = optional(
    "lose_agents", Flag(), "Also if agents, or the account, are left without a device.", False
)
_PHASE: Final = optional("phase", Text(16), "Wait while it is in this phase.", "")
_WAIT: Final = optional("wait", Whole(0, _WAIT_S), "Seconds to wait for another phase.", 0)


def _device_object(device: DeviceView) -> Object:
    return {
        "id": device.id.hex(),
        "label": device.label,
        "status": device.status,
        "here": device.is_here,
        "manages": device.manages,
        "agents": list(device.agents),
        "rotations": device.rotations,
    }


def _linking_object(view: LinkingView) -> Object:
    return {
        "side": view.side,
        "phase": view.phase,
        "code": view.place,
        "link": view.link,
        "words": view.words,
        "expires_at": time_text(view.expires_at) if view.expires_at is not None else None,
        "owner": view.owner,
        "label": view.label,
        "manage": view.manage,
        "error": {"code": view.code, "message": view.error},
    }


async def _list(daemon: DaemonService, call: Call) -> Object:
    view = await daemon.devices.overview(call.known_caller)
    return {
        "devices": [_device_object(device) for device in view.devices],
        "held": view.held,
        "suspended": view.suspended,
        "sharing": [
            {"id": one.device.hex(), "phase": one.phase, "done": one.done, "total": one.total}
            for one in view.sharing
        ],
        "history": {"done": view.history_done, "total": view.history_total},
    }


async def _linking(daemon: DaemonService, call: Call) -> Object:
    query = call.query
    return _linking_object(await daemon.devices.linking(call.known_caller, query[_PHASE], query[_WAIT]))


async def _link(daemon: DaemonService, call: Call) -> Object:
    body = call.body
    return _linking_object(await daemon.devices.link(call.known_caller, body[_RELAY], body[_LABEL]))


async def _approve(daemon: DaemonService, call: Call) -> Object:
    body = call.body
    view = await daemon.devices.approve(call.known_caller, body[_CODE], body[_HISTORY], body[_MANAGE])
    return _linking_object(view)


async def _confirm(daemon: DaemonService, call: Call) -> Object:
    return _linking_object(await daemon.devices.confirm(call.known_caller, call.body[_WORDS]))


async def _cancel(daemon: DaemonService, call: Call) -> Object:
    return _linking_object(await daemon.devices.cancel(call.known_caller))


async def _rename(daemon: DaemonService, call: Call) -> Object:
    return _device_object(await daemon.devices.rename(call.known_caller, call.path[_ID], call.body[_NAME]))


async def _revoke(daemon: DaemonService, call: Call) -> Object:
    body = call.body
    found = await daemon.devices.revoke(call.known_caller, call.path[_ID], body[_REASON], body[_LOSE])
    return _device_object(found)


async def _rotate(daemon: DaemonService, call: Call) -> Object:
    return _device_object(await daemon.devices.rotate(call.known_caller))


ROUTES: Final = (
    Route(
        method="GET",
        path="/devices",
        name="list_devices",
        about="The owner's devices, what new ones are still being given, and whether the account is held.",
        handler=_list,
        answer=record(
            devices=many(record(**_DEVICE)),
            held=TEXT,
            suspended=TEXT,
            sharing=many(_PROGRESS),
            history=record(done=NUMBER, total=NUMBER),
        ),
        access=Access.OWNER,
    ),
    Route(
        method="GET",
        path="/devices/link",
        name="device_linking",
        about="How the try to link two machines stands here.",
        handler=_linking,
        answer=_LINKING,
        access=Access.OWNER,
        query=Form.of(_PHASE, _WAIT),
    ),
    Route(
        method="POST",
        path="/devices/link",
        name="link_device",
        about="On a machine without an account: make a code, with which a managing machine meets this one.",
        handler=_link,
        answer=_LINKING,
        access=Access.OWNER,
        body=Form.of(_RELAY, _LABEL),
        repeat=Repeat.REFUSED,
    ),
    Route(
        method="DELETE",
        path="/devices/link",
        name="cancel_linking",
        about="Give the try up.",
        handler=_cancel,
        answer=_LINKING,
        access=Access.OWNER,
    ),
    Route(
        method="POST",
        path="/devices/approve",
        name="approve_device",
        about="On a managing machine: meet the new one by its code. Nothing is signed before the words.",
        handler=_approve,
        answer=_LINKING,
        access=Access.OWNER,
        body=Form.of(_CODE, _HISTORY, _MANAGE),
        repeat=Repeat.REFUSED,
    ),
    Route(
        method="POST",
        path="/devices/confirm",
        name="confirm_linking",
        about="The words that the other machine shows. One try.",
        handler=_confirm,
        answer=_LINKING,
        access=Access.OWNER,
        body=Form.of(_WORDS),
        repeat=Repeat.REFUSED,
    ),
    Route(
        method="POST",
        path="/devices/rotate",
        name="rotate_keys",
        about="Give this device a fresh encryption key now. It happens weekly by itself.",
        handler=_rotate,
        answer=record(**_DEVICE),
        access=Access.OWNER,
        body=Form.of(),
    ),
    Route(
        method="POST",
        path="/devices/{id}/rename",
        name="rename_device",
        about="Call a device otherwise on all of the owner's machines.",
        handler=_rename,
        answer=record(**_DEVICE),
        access=Access.OWNER,
        parameters=Form.of(_ID),
        body=Form.of(_NAME),
    ),
    Route(
        method="POST",
        path="/devices/{id}/revoke",
        name="revoke_device",
        about="Put a device out: at the relay within seconds, at peers as soon as they hear of it.",
        handler=_revoke,
        answer=record(**_DEVICE),
        access=Access.OWNER,
        parameters=Form.of(_ID),
        body=Form.of(_REASON, _LOSE),
    ),
)
