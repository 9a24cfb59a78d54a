"""The signals that ask a program to end."""

from __future__ import annotations

import signal

import trio

__all__ = ["stop_at_signals"]


async def stop_at_signals(
    stop: trio.Event, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Set `stop` whenever the system or a person at the terminal asks the program to end."""
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        task_status.started()
        async for _ in signals:
            stop.set()
