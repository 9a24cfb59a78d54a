"""Where `taskferry` begins: Ctrl-C while the program is still being loaded ends it without a word."""

from __future__ import annotations

import signal

__all__ = ["main"]


def main() -> None:
    """Load the command line and run it.

    Loading takes a tenth of a second, and Python would tell of an interrupt meanwhile by a traceback. As the
    system's own, it ends the process as it ends any other program. Interrupts that are ignored, as below
    `nohup`, stay so.
    """
    handler = signal.getsignal(signal.SIGINT)
    is_usual = handler is signal.default_int_handler
    if is_usual:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from .__main__ import main as run

    if is_usual:
        signal.signal(signal.SIGINT, handler)
    run()
