"""`/dashboard/devices`: the owner's machines, taking a new one in, the account's key, the recovery phrase.

A new machine's code comes from its screen, by the owner's hand: no link, address or other page puts one into
the form, since whoever sends such a link would have the owner's own browser begin what only the owner may.
"""

from __future__ import annotations

from typing import Final

from quart import Response

from ..device_views import LinkingView
from ..port import DaemonRefusal
from ..sharing import History
from .choices import choice, unknown_button
from .desk import Desk, Pressed
from .owner import OWNER
from .page import Needs, Page

__all__ = ["PAGES", "confirm_words"]

_PLACE: Final = "/dashboard/devices"
_CODE_BYTES: Final = 64
_WORDS_BYTES: Final = 256
_PASSPHRASE_BYTES: Final = 1_024
_REASON_BYTES: Final = 256
_MINUTES: Final = ("5", "15", "60")


async def _list(desk: Desk) -> Response:
    visitor = await desk.visit()
    daemon = desk.daemon
    return await desk.show(
        "devices.html",
        visitor,
        found=await daemon.devices.overview(OWNER),
        link=await daemon.devices.linking(OWNER, "", 0),
        recovery=await daemon.recovery.standing(OWNER),
        minutes=_MINUTES,
    )


async def _press(desk: Desk) -> Response:
    pressed = await desk.press()
    match pressed.form.get("do"):
        case "approve" | "words" | "cancel" as deed:
            said = await _link(desk, pressed, deed)
        case "unlock" | "lock" | "passphrase" as deed:
            said = await _key(desk, pressed, deed)
        case _:
            said = await _device(desk, pressed)
    return desk.done(pressed, said, _PLACE)


async def _device(desk: Desk, pressed: Pressed) -> str:
    devices, device = desk.daemon.devices, pressed.text("device", _CODE_BYTES)
    match pressed.form.get("do"):
        case "rename":
            named = await devices.rename(OWNER, device, pressed.text("label", _WORDS_BYTES))
            return f"It is called {named.label} on all of your machines."
        case "revoke":
            reason = pressed.text("reason", _REASON_BYTES).strip()
            gone = await devices.revoke(OWNER, device, reason, pressed.form.get("lose") == "yes")
            return f"{gone.label} is put out of your account. What it has read it has read."
        case "rotate":
            await devices.rotate(OWNER)
            return "This device has a fresh encryption key."
        case _:
            raise unknown_button()


# --- Taking a machine in


async def _link(desk: Desk, pressed: Pressed, deed: str) -> str:
    devices = desk.daemon.devices
    match deed:
        case "approve":
            if pressed.form.get("mine") != "yes":
                raise DaemonRefusal(
                    "missing-field",
                    "You have not said that the new machine is yours and before you.",
                    "Take in only a machine on which you began this yourself. If somebody gave you the code,"
                    " leave it: nothing was done.",
                    detail={"field": "mine"},
                )
            history = choice(pressed, "history", [word.value for word in History])
            manage = pressed.form.get("manage") == "yes"
            await devices.approve(OWNER, pressed.text("code", _CODE_BYTES).strip(), history, manage)
            return "The machines have met. Now compare the words."
        case "words":
            return await confirm_words(desk, pressed)
        case _:
            await devices.cancel(OWNER)
            return "Given up. Nothing was signed."


async def confirm_words(desk: Desk, pressed: Pressed) -> str:
    """Hand on the words that the owner typed in, if they were typed for the try that is under way now."""
    devices = desk.daemon.devices
    now: LinkingView = await devices.linking(OWNER, "", 0)
    if (pressed.form.get("place"), pressed.form.get("shown")) != (now.place, now.words):
        raise DaemonRefusal(
            "conflict",
            "Those words were for an earlier try, which is over; nothing was done with them.",
            "Load the page again, and compare what both machines show now.",
            status=409,
        )
    await devices.confirm(OWNER, pressed.text("words", _WORDS_BYTES))
    return "The words belong together."


# --- The key that signs for the account


async def _key(desk: Desk, pressed: Pressed, deed: str) -> str:
    manage = desk.daemon.manage
    match deed:
        case "unlock":
            minutes = int(choice(pressed, "minutes", _MINUTES))
            await manage.unlock(OWNER, pressed.text("passphrase", _PASSPHRASE_BYTES), minutes)
            return f"The key that signs for the account is unlocked for {minutes} minutes."
        case "lock":
            await manage.lock(OWNER)
            return "The key that signs for the account is locked."
        case _:
            new = pressed.text("new", _PASSPHRASE_BYTES)
            if new != pressed.form.get("again", ""):
                raise DaemonRefusal(
                    "bad-value",
                    "The two new passphrases differ; nothing was changed.",
                    "Go back and type the same one twice.",
                    detail={"field": "again"},
                )
            if not new:
                raise DaemonRefusal(
                    "missing-field",
                    "There was no new passphrase.",
                    "Go back and type one. To take it away: taskferry manage passphrase --remove",
                    detail={"field": "new"},
                )
            await manage.set_passphrase(OWNER, new, pressed.text("old", _PASSPHRASE_BYTES))
            return "The passphrase is set. The key that signs for the account is locked."


async def _from_elsewhere(desk: Desk) -> Response:
    """Where people look for a device: this machine's own, or, while it has no account, how to get in one."""
    await desk.visit()
    is_set_up = (await desk.status()).set_up
    return Response("", 303, {"Location": _PLACE if is_set_up else "/setup/link"})


PAGES: Final = (
    Page("GET", _PLACE, _list),
    Page("POST", _PLACE, _press),
    Page("GET", "/device", _from_elsewhere, Needs.NOTHING),
)
