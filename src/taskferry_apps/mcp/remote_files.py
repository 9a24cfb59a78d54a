"""The files of the machine's user, reached through the pipe that the user's program runs.

The daemon itself opens none of them: whoever holds an agent's credential reaches what their own program can
reach, and nothing by the daemon's powers.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import anyio

from ..client.attachments import Attachment
from ..client.errors import FileTrouble
from .file_frames import BadFrame, Frame, decode, encode

__all__ = ["RemoteFiles"]

#: Reading some files takes no longer; a pipe that says nothing is stuck.
_PATIENCE_S: Final = 30.0
_MOST_TEXT: Final = 1_000


class RemoteFiles:
    """`send` gives a frame to the pipe; hand what comes from there to `take`."""

    def __init__(self, send: Callable[[bytes], Awaitable[None]]) -> None:
        self._send = send
        self._numbers = itertools.count(1)
        self._waiting: dict[int, _Waiting] = {}

    async def read(self, paths: Sequence[str]) -> list[Attachment]:
        """Files to send. Raises FileTrouble."""
        answer = await self._ask("read", tuple(paths), ())
        if answer.word != "files":
            raise _out_of_turn()
        return [Attachment(name, content) for name, content in answer.files]

    async def save(self, directory: str, label: str, files: Sequence[tuple[str, bytes]]) -> list[str]:
        """Write files, and give their paths. Raises FileTrouble."""
        answer = await self._ask("save", (directory, label), tuple(files))
        if answer.word != "paths" or len(answer.texts) != len(files):
            raise _out_of_turn()
        return list(answer.texts)

    def take(self, raw: bytes) -> None:
        """A frame from the pipe. Raises BadFrame. An answer that nobody waits for any more is dropped."""
        frame = decode(raw)
        if frame.word not in ("files", "paths", "refused"):
            raise BadFrame("only the daemon asks")
        waiting = self._waiting.get(frame.number)
        if waiting is not None:
            waiting.answer = frame
            waiting.came.set()

    async def _ask(self, word: str, texts: tuple[str, ...], files: tuple[tuple[str, bytes], ...]) -> Frame:
        number = next(self._numbers)
        waiting = self._waiting[number] = _Waiting()
        try:
            with anyio.move_on_after(_PATIENCE_S):
                await self._send(encode(Frame(number, word, texts, files)))
                await waiting.came.wait()
        finally:
            del self._waiting[number]
        answer = waiting.answer
        if answer is None:
            raise FileTrouble("The program that reaches the files did not answer.", "Try again.")
        if answer.word == "refused":
            message, next_step = (*answer.texts, "", "")[:2]
            raise FileTrouble(message[:_MOST_TEXT], next_step[:_MOST_TEXT])
        return answer


class _Waiting:
    """A question that is not answered yet."""

    def __init__(self) -> None:
        self.came = anyio.Event()
        self.answer: Frame | None = None


def _out_of_turn() -> FileTrouble:
    return FileTrouble("The program that reaches the files answered something else.", "Start it again.")
