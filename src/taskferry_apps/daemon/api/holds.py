"""How requests name the bound program that makes them, and the fence under which it was handed something."""

from __future__ import annotations

from typing import Final

from ..port import Hold
from .errors import refusal
from .fields import Text, Values, Whole, optional, required

__all__ = ["FENCE", "RUNTIME", "RUNTIME_ID", "hold_of"]

_ID: Final = Text(32, 32, pattern="[0-9a-fA-F]{32}", wanted="32 hexadecimal digits")

RUNTIME: Final = optional("runtime", _ID, "The bound program that asks; without it nothing is leased.", None)
RUNTIME_ID: Final = required("id", _ID, "The id that binding gave the program.")
FENCE: Final = optional(
    "fence", Whole(1), "The `fence` of the item's lease: refused once it was handed out anew.", None
)


def hold_of(body: Values) -> Hold | None:
    """Who answers; None for whoever is not bound. Raises DaemonRefusal(missing-field)."""
    runtime, fence = body[RUNTIME], body[FENCE]
    if runtime is not None:
        return Hold(runtime.lower(), fence)
    if fence is not None:
        raise refusal("missing-field", "A fence belongs to a program.", "Give runtime, too.", field="runtime")
    return None
