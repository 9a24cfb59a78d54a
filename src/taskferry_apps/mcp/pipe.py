"""`taskferry mcp` while the daemon runs: a thin pipe between an agent's host and the daemon's MCP server.

It starts with every session of an agent, so it imports little: no SDK, no event loop. Two threads: the main
one reads lines from the host; the other holds the connection, writes to the host, and dials again when the
daemon comes back. What the pipe adds: lines that are no messages are answered here, requests are answered
while there is no daemon, and a new connection hears the session's beginning, unseen by the host.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from io import FileIO
from typing import BinaryIO, Final
from urllib.parse import urlencode

from taskferry_transports.blocking_websocket import BlockingWebSocket, CannotDial, DialRejected, Ended

from ..client.address import Address, Way
from ..client.errors import DaemonAway, FileTrouble
from .file_frames import BadFrame, Frame, decode, encode
from .lines import BadLine, Line, failed_line, next_line, read_line, write_line
from .local_files import LocalFiles

__all__ = ["Pipe", "connect"]

PATH: Final = "/mcp/stdio"
#: Frames from the daemon: an answer, or files to save.
_MOST_FRAME: Final = 8_388_608
#: A daemon that is started anew is back in this time; until then requests wait.
_HOLD_S: Final = 3.0
_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 5.0
_HELD: Final = 64
_UNAUTHORIZED: Final = (401, 403)

_AWAY: Final = (
    "The TaskFerry daemon does not answer. Tell your owner to start it with: taskferry up. Then try again."
)
_CUT_OFF: Final = (
    "The connection to the TaskFerry daemon ended before it answered: what you asked may have been done, or "
    "not. Look (taskferry_show, taskferry_task_list) before you do it again. If the daemon is not running, "
    "tell your owner to start it with: taskferry up"
)
_NOT_LET_IN: Final = (
    "The TaskFerry daemon does not know this session's credential any more; it was revoked. Tell your owner, "
    "who can start another session: taskferry mcp"
)


def connect(address: Address, token: str, agent: str, session: str, place: str) -> BlockingWebSocket:
    """A connection to the daemon's MCP server, as an agent. Raises CannotDial, DialRejected.

    `session` is the same for all connections of one session, 32 hexadecimal digits; `place` is where it runs.
    """
    said = {"agent": agent, "session": session, "place": place}
    path = f"{PATH}?{urlencode({name: value for name, value in said.items() if value})}"
    way = Way(address)
    try:
        url = way.find()
        headers = {"authorization": f"Bearer {token}"}
        return BlockingWebSocket(url, path, headers, _MOST_FRAME, lambda: way.check(url))
    except DaemonAway as error:
        raise CannotDial(str(error)) from None


class Pipe:
    """One session over `link`; `dial` opens another connection when that one is lost.

    `out` is unbuffered: a thread that is in the middle of a buffer would hold up the end of the program.
    `host_gone` is called when nobody reads it any more.
    """

    def __init__(
        self,
        link: BlockingWebSocket,
        dial: Callable[[], BlockingWebSocket],
        files: LocalFiles,
        out: FileIO,
        host_gone: Callable[[], None],
    ) -> None:
        self._host_gone = host_gone
        self._link: BlockingWebSocket | None = link
        self._dial = dial
        self._files = files
        self._out = out
        self._lock = threading.RLock()
        self._writing = threading.Lock()
        self._wake = threading.Event()
        self._open: dict[str | int, Line] = {}
        self._waiting: list[tuple[float, Line]] = []
        self._opening: Line | None = None
        self._opened: Line | None = None
        self._swallow: str | int | None = None
        self._away_since = 0.0
        self._why = _AWAY
        self._over = False

    def run(self, stdin: BinaryIO) -> None:
        """Serve until `stdin` ends, or the host has closed our output."""
        threading.Thread(target=self._carry, daemon=True).start()
        while not self._over:
            raw = next_line(stdin)
            if raw is None:
                break
            if raw.strip():
                self._from_host(raw)
        self.close()

    def close(self) -> None:
        """End the session at once."""
        self._over = True
        self._wake.set()
        link = self._link
        if link is not None:
            link.close()

    # --- from the host -------------------------------------------------------------------------------------

    def _from_host(self, raw: bytes) -> None:
        try:
            line = read_line(raw)
        except BadLine as bad:
            self._say(bad.answer)
            return
        with self._lock:
            if line.method == "initialize":
                self._opening = line
            elif line.method == "notifications/initialized":
                self._opened = line
            if line.is_request and line.id is not None:
                self._open[line.id] = line
            if line.cancels is not None:
                self._open.pop(line.cancels, None)
                self._waiting = [held for held in self._waiting if held[1].id != line.cancels]
            link = self._link
            if link is None:
                self._hold(line)
                return
        self._send(link, line)

    def _send(self, link: BlockingWebSocket, line: Line) -> None:
        try:
            link.send(line.text)
        except Ended:
            # The other thread hears of it as well, and answers what is open.
            pass

    def _hold(self, line: Line) -> None:
        """Keep a request for a daemon that may be back soon; one that is away for longer is no secret."""
        if not line.is_request or line is self._opening:
            # A new connection is opened by the session's own beginning, or needs no such line.
            if line is self._opening:
                self._waiting.append((time.monotonic() + _HOLD_S, line))
            return
        now = time.monotonic()
        if now - self._away_since > _HOLD_S or len(self._waiting) >= _HELD:
            self._fail(line, self._why)
            # Somebody wants it now: do not sit out the pause.
            self._wake.set()
        else:
            self._waiting.append((now + _HOLD_S, line))

    def _fail(self, line: Line, why: str) -> None:
        if line.id is not None and self._open.pop(line.id, None) is not None:
            self._say(failed_line(line, why))

    # --- the connection ------------------------------------------------------------------------------------

    def _carry(self) -> None:
        while not self._over:
            link = self._link
            if link is not None:
                self._listen(link)
                self._lost()
            else:
                self._dial_again()

    def _listen(self, link: BlockingWebSocket) -> None:
        try:
            while True:
                message = link.receive()
                if isinstance(message, bytes):
                    link.send(self._on_files(message))
                else:
                    self._from_daemon(message)
        except (Ended, BadFrame):
            link.close()

    def _from_daemon(self, text: str) -> None:
        answered = _answered(text)
        with self._lock:
            if answered is not None:
                if answered == self._swallow:
                    self._swallow = None
                    return
                self._open.pop(answered, None)
        self._say(text)

    def _lost(self) -> None:
        with self._lock:
            self._link = None
            self._away_since = time.monotonic()
            self._why = _AWAY
            self._swallow = None
            cut_off = [line for line in self._open.values() if line is not self._opening]
            for line in cut_off:
                self._fail(line, _CUT_OFF)
            if self._opening is not None and self._opening.id in self._open:
                self._waiting.append((time.monotonic() + _HOLD_S, self._opening))

    def _dial_again(self) -> None:
        pause = _FIRST_PAUSE_S
        while not self._over:
            try:
                link = self._dial()
            except DialRejected as rejected:
                if rejected.status in _UNAUTHORIZED:
                    self._why = _NOT_LET_IN
            except CannotDial:
                self._why = _AWAY
            else:
                self._found(link)
                return
            self._wake.clear()
            self._expire()
            if self._wake.wait(pause):
                pause = _FIRST_PAUSE_S
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    def _expire(self) -> None:
        """Answer requests that have waited long enough."""
        with self._lock:
            now = time.monotonic()
            late = [line for until, line in self._waiting if until <= now]
            self._waiting = [held for held in self._waiting if held[0] > now]
            for line in late:
                self._fail(line, self._why)

    def _found(self, link: BlockingWebSocket) -> None:
        """Begin the session anew, unseen, and send what has waited."""
        with self._lock:
            opening = self._opening
            if opening is not None:
                if opening.id not in self._open:
                    self._swallow = opening.id
                self._send(link, opening)
                if self._opened is not None:
                    self._send(link, self._opened)
            for _, line in self._waiting:
                if line is not opening:
                    self._send(link, line)
            self._waiting = []
            self._link = link

    # --- files ---------------------------------------------------------------------------------------------

    def _on_files(self, raw: bytes) -> bytes:
        """Do what the daemon asks about files, within the roots, and answer it. Raises BadFrame."""
        frame = decode(raw)
        try:
            match frame:
                case Frame(word="read", texts=paths):
                    return encode(Frame(frame.number, "files", (), tuple(self._files.read(paths))))
                case Frame(word="save", texts=(directory, label), files=files):
                    paths = tuple(self._files.save(directory, label, files))
                    return encode(Frame(frame.number, "paths", paths))
        except FileTrouble as trouble:
            return encode(Frame(frame.number, "refused", (trouble.message, trouble.next_step)))
        except OSError as error:
            return encode(Frame(frame.number, "refused", (f"The system refuses: {error.strerror}.", "")))
        raise BadFrame("the daemon asks for something else")

    # --- to the host ---------------------------------------------------------------------------------------

    def _say(self, text: str) -> None:
        """Write one line to the host: nothing else ever goes there."""
        try:
            with self._writing:
                write_line(self._out, text)
        except (OSError, ValueError):
            self.close()
            self._host_gone()


def _answered(text: str) -> str | int | None:
    """The request that a line from the daemon answers, if it answers one."""
    try:
        value = json.loads(text)
    except ValueError:
        return None
    if not isinstance(value, dict) or "method" in value:
        return None
    id = value.get("id")
    return id if isinstance(id, str | int) else None
