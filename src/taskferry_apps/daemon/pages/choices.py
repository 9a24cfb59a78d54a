"""What a form may say where it offers a choice: anything else came from no page of ours."""

from __future__ import annotations

from collections.abc import Collection

from ..port import DaemonRefusal
from .desk import Pressed

__all__ = ["choice", "unknown_button"]


def choice(pressed: Pressed, name: str, offered: Collection[str]) -> str:
    """A field's word. Raises DaemonRefusal(bad-value) where it was not offered."""
    word = pressed.form.get(name, "")
    if word not in offered:
        raise DaemonRefusal(
            "bad-value",
            f"Nothing that is offered was chosen ({name}).",
            "Go back and choose one.",
            detail={"field": name},
        )
    return word


def unknown_button() -> DaemonRefusal:
    """What is said of a button that the page does not have."""
    return DaemonRefusal("bad-value", "That button is not known here.", "Load the page again.")
