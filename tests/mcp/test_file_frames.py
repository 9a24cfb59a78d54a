"""What daemon and pipe say about files keeps its form, whoever speaks."""

from __future__ import annotations

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from taskferry_apps.client.errors import FileTrouble
from taskferry_apps.mcp.file_frames import BadFrame, Frame, decode, encode
from taskferry_apps.mcp.remote_files import RemoteFiles

FRAMES = st.builds(
    Frame,
    st.integers(0, 2**31),
    st.sampled_from(["read", "save", "files", "paths", "refused"]),
    st.lists(st.text(), max_size=3).map(tuple),
    st.lists(st.tuples(st.text(), st.binary()), max_size=3).map(tuple),
)


@given(FRAMES)
def test_a_frame_is_read_as_it_was_written(frame: Frame) -> None:
    """Texts and contents of any kind."""
    assert decode(encode(frame)) == frame


@given(st.binary())
def test_any_bytes_are_a_frame_or_refused(raw: bytes) -> None:
    """No other error comes out."""
    try:
        decode(raw)
    except BadFrame:
        pass


@pytest.mark.parametrize(
    "raw",
    [
        b"{}\n",
        b'{"n":true,"word":"read","texts":[],"files":[]}\n',
        b'{"n":1,"word":"exec","texts":[],"files":[]}\n',
        b'{"n":1,"word":[],"texts":[],"files":[]}\n',
        b'{"n":1,"word":"read","texts":[7],"files":[]}\n',
        b'{"n":1,"word":"files","texts":[],"files":[["a",5]]}\nab',
        b'{"n":1,"word":"files","texts":[],"files":[["a",1]]}\nab',
        b'{"n":1,"word":"files","texts":[],"files":[["a",-1]]}\n',
        b'{"n":1,"word":"files","texts":[],"files":' + b"[" * 5_000 + b"}\n",
    ],
)
def test_a_bent_frame_is_refused(raw: bytes) -> None:
    """Sizes that lie, unknown words, wrong types."""
    with pytest.raises(BadFrame):
        decode(raw)


class _Wire:
    """A pipe that answers as it is told."""

    def __init__(self, *answers: Frame) -> None:
        self.files = RemoteFiles(self.send)
        self.asked: list[Frame] = []
        self._answers = list(answers)

    async def send(self, raw: bytes) -> None:
        self.asked.append(decode(raw))
        for answer in self._answers:
            self.files.take(encode(answer))


async def test_files_come_through_a_pipe() -> None:
    """What it reads and where it has written."""
    wire = _Wire(Frame(1, "files", (), (("a", b"x"),)))
    (found,) = await wire.files.read(["a"])
    assert (found.name, found.data) == ("a", b"x")
    assert await _Wire(Frame(1, "paths", ("/w/a",))).files.save("", "t", [("a", b"x")]) == ["/w/a"]


@pytest.mark.parametrize(
    "answer",
    [Frame(1, "refused", ("No.", "Ask.")), Frame(1, "paths", ("/x",)), Frame(1, "refused")],
)
async def test_a_pipe_that_will_not_is_a_refusal(answer: Frame) -> None:
    """Its own word, or an answer to another question."""
    with pytest.raises(FileTrouble):
        await _Wire(answer).files.read(["a"])


async def test_an_answer_to_nobodys_question_is_dropped() -> None:
    """Only the question under that number hears of it."""
    wire = _Wire(Frame(7, "files", (), (("evil", b""),)), Frame(1, "files", (), (("a", b""),)))
    assert [file.name for file in await wire.files.read(["a"])] == ["a"]
    with pytest.raises(BadFrame):
        wire.files.take(encode(Frame(1, "read", ("/etc/passwd",))))


async def test_a_pipe_that_says_nothing_is_not_waited_for(autojump_clock: trio.testing.MockClock) -> None:
    """After half a minute the tool says so."""
    with pytest.raises(FileTrouble, match="did not answer"):
        await _Wire().files.read(["a"])
