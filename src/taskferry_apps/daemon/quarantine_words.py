"""What an owner can do about an item in quarantine, in words."""

from __future__ import annotations

from typing import Final

from taskferry_protocol.errors import RejectCode
from taskferry_protocol.messages import MessageClass

__all__ = ["next_step"]

#: Nothing here opens it: the key is gone, or the relay has spoilt what nobody signs. Its sender is not told,
#: since by spoiling it a relay could else have true mail called refused.
_SHUT: Final = frozenset({RejectCode.BAD_WRAP.value, RejectCode.NO_WRAP.value, RejectCode.BAD_COMMIT.value})
_WHY: Final = "Nothing here opens it: it was sealed for a key that a restore has lost, or spoilt on its way."


def next_step(code: str, cls: str, peer: str, *, is_barred: bool) -> str:
    """The next step, or why there is none; "" where the reason says all. `peer` is the sender's handle."""
    if is_barred:
        return "It comes back once you allow it: taskferry permissions"
    if code == RejectCode.ACCOUNT_HELD.value and peer:
        return f"Decide who {peer} is first: taskferry peer show {peer}"
    if code not in _SHUT or not peer:
        return ""
    match cls:
        case MessageClass.MESSAGE.value:
            return f"{_WHY} Ask {peer} to send it again: nobody has told it."
        case MessageClass.TASK.value | MessageClass.ARTIFACT.value:
            return f"{_WHY} {peer} brings it again by itself when its time is over, in 30 days at most."
        case MessageClass.CONNECTION.value:
            return f"{_WHY} Look whether all is as you and {peer} have said: taskferry connections"
        case _:
            return f"{_WHY} It has no words of {peer}, and nothing needs to be done."
