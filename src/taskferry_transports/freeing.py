"""Errors that hold nothing: what they led to is freed with them, and not when somebody seeks cycles."""

from __future__ import annotations

__all__ = ["let_go"]


def let_go(error: BaseException | None) -> None:
    """Have this error, and those that it was raised from, forget the frames that they passed.

    Since Python 3.12 a context manager's generator that raises another error leaves the first one in a cycle
    with its own frames, as trio's does where a socket fails. A server seeks cycles seldom, and a frame holds
    its link.
    """
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__
