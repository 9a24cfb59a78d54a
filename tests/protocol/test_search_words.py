"""By which words messages are found: one rule for what is indexed and for what is asked."""

import pytest

from taskferry_protocol.cbor import encode
from taskferry_protocol.ids import ConversationId, Hash
from taskferry_protocol.links import ROLES, Seen, TaskLink
from taskferry_protocol.messages import (
    ArtifactSubmit,
    Content,
    FilePart,
    JsonPart,
    RevisionRequest,
    TaskRequest,
    TextMessage,
    TextPart,
    encode_content,
)
from taskferry_protocol.search_words import ANYTHING, Asked, asked_words, indexed_words, is_met
from taskferry_protocol.task_table import FINAL_STATES, TRANSITIONS, TaskState
from taskferry_protocol.task_turns import TURNS

CONV = ConversationId(b"c" * 16)
TASK = Hash(b"t" * 32)
LATER = TaskLink(TASK, 0, None, Seen(1, TASK))


def indexed(body, link=None):
    """The words of a body."""
    return indexed_words(encode_content(Content(body, CONV, link=link)))


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("", ANYTHING),
        ("  \n", ANYTHING),
        ("refund", Asked((), "refund")),
        ("refund ", Asked(("refund",))),
        ("Big REFUND of", Asked(("big", "refund"), "of")),
        ("a", Asked(("a",))),
        ("naïve ÉTÉ", Asked(("naive",), "ete")),
        ("snake_case-x.y", Asked(("snake", "case", "x", "y"))),
        ("again again", Asked(("again",), "again")),
        ("Ⅷ ﬁne", Asked(("viii",), "fine")),
        ("東京", Asked(("東", "京"))),
        ("’\u0301 ... --", None),
        ('a" OR b NEAR(c*', Asked(("a", "or", "b", "near", "c"))),
    ],
)
def test_what_is_asked(text, asked):
    """Words are folded, the last one may be unfinished, and nothing typed has a meaning of its own."""
    assert asked_words(text) == asked


def test_a_question_is_bounded():
    """However much is typed, so many words count, and of each its beginning."""
    asked = asked_words("word" * 1_000 + " " + " ".join(f"w{n}" for n in range(10_000)))
    assert asked is not None
    assert len(asked.words) == 15
    assert max(map(len, asked.words)) == 40
    assert asked.prefix == "w14"


def test_words_of_every_text_are_indexed():
    """Titles, briefs, requirements, notes, reasons, texts, JSON, text files and the names of files."""
    parts = (
        TextPart("inner Words", "notes.md"),
        JsonPart('{"Key": "value"}'),
        FilePart.of("log.txt", "text/plain", "from the file \xff".encode("latin-1")),
        FilePart.of("image.png", "image/png", b"hidden"),
    )
    request = TaskRequest("The title", "A brief", parts, ("Must hold",))
    found = indexed(request, TaskLink(None, 0, None, Seen(0, None)))
    assert found >= {"the", "title", "brief", "must", "hold", "inner", "words", "notes", "md", "key", "value"}
    assert found >= {"log", "from", "file", "image", "png"}
    assert "hidden" not in found
    asked_again = TaskLink(TASK, 1, TASK, Seen(1, TASK))
    wishes = RevisionRequest(1, TASK, ("too Short", "no links"))
    assert indexed(wishes, asked_again) == {"too", "short", "no", "links"}
    submitted = ArtifactSubmit("A draft", (TextPart("its body"),), 0)
    assert indexed(submitted, LATER) == {"a", "draft", "its", "body"}


def test_only_the_beginning_of_a_giant_message_is_indexed():
    """One peer's message costs no more than so many characters, over all of its texts."""
    body = TextMessage("first " + "x " * 20_000, (TextPart("second"),))
    assert indexed(body) == {"first", "x"}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        encode([]),
        encode({}),
        encode({"body": 1}),
        encode({"body": {"text": 1, "reasons": [1], "parts": {}}}),
        encode({"body": {"parts": [1, {"name": 1, "data": b"x"}]}}),
    ],
)
def test_what_is_no_content_has_no_words(content):
    """Whatever stands where a content should, nothing is indexed of it and nothing fails."""
    assert indexed_words(content) == frozenset()


def test_words_and_beginnings_are_met():
    """All words have to be there, and one that begins as the last."""
    words = frozenset({"big", "refunds"})
    assert ANYTHING.is_empty
    assert not Asked((), "refu").is_empty
    assert is_met(ANYTHING, words)
    assert is_met(Asked(("big",), "refu"), words)
    assert not is_met(Asked(("big",), "refunded"), words)
    assert not is_met(Asked(("small",), "refu"), words)


def test_it_is_somebodys_turn_until_the_end():
    """In every state but the last ones one side is waited for, and an event of that side goes on."""
    assert TURNS.keys() == {state.value for state in TaskState} - {state.value for state in FINAL_STATES}
    for state, role in TURNS.items():
        onward = [event for event, cells in TRANSITIONS.items() if TaskState(state) in cells]
        assert any(role in ROLES[event] for event in onward)
