"""A program on a terminal that somebody seems to sit at: its questions to the terminal are answered."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import termios
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

__all__ = ["on_a_terminal"]

#: What a terminal of 40 lines answers: where the cursor is, what it can do, and its colours.
_ANSWERS = (
    (b"\x1b[6n", b"\x1b[1;1R"),
    (b"\x1b[c", b"\x1b[?62c"),
    (b"]10;?", b"\x1b]10;rgb:ffff/ffff/ffff\x1b\\"),
    (b"]11;?", b"\x1b]11;rgb:0000/0000/0000\x1b\\"),
)


@contextmanager
def on_a_terminal(
    words: Sequence[str], folder: Path, environment: Mapping[str, str]
) -> Iterator[tuple[Callable[[str], None], Callable[[str], None]]]:
    """Run a program on a terminal of its own while the block lasts, and end it after.

    Given are what types a line there, and what waits for a text to be shown (AssertionError in a minute).
    """
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(folder)
        os.execvpe(words[0], list(words), {**environment, "TERM": "xterm-256color"})
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    is_over, seen, news = threading.Event(), bytearray(), threading.Condition()

    def attend() -> None:
        while not is_over.is_set():
            if not select.select([terminal], [], [], 0.2)[0]:
                continue
            try:
                shown = os.read(terminal, 65_536)
            except OSError:
                return
            with news:
                seen.extend(shown)
                news.notify_all()
            for question, answer in _ANSWERS:
                if question in shown:
                    os.write(terminal, answer)

    thread = threading.Thread(target=attend, daemon=True)
    thread.start()

    def type_line(text: str) -> None:
        os.write(terminal, text.encode() + b"\r")

    def wait_shown(text: str) -> None:
        with news:
            assert news.wait_for(lambda: text.encode() in seen, 60), bytes(seen[-2_000:])

    try:
        yield type_line, wait_shown
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        is_over.set()
        thread.join()
        os.close(terminal)
