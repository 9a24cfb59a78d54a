"""The sealed content: every type survives the way there and back, every faulty field is named."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskferry_protocol.errors import LocalProtocolError, RemoteProtocolError
from taskferry_protocol.ids import Hash
from taskferry_protocol.links import Seen, TaskLink
from taskferry_protocol.messages import (
    BODIES,
    ConnectionRequested,
    Content,
    InviteProof,
    MessageClass,
    TaskRequest,
    TextMessage,
    decode_content,
    encode_content,
)

from .contents import BODY_STRATEGIES, CONV, FIRST, contents
from .samples import LINK, SAMPLES, H, refusal, written


@given(contents)
def test_content_of_every_type_survives_the_way_there_and_back(content: Content) -> None:
    """Fields, links and what this version does not know come back as they were."""
    assert decode_content(encode_content(content)) == content


def test_every_type_has_a_strategy_and_a_sample() -> None:
    """A new message type cannot escape these tests."""
    assert set(BODY_STRATEGIES) == set(BODIES.values())
    assert set(SAMPLES) == set(BODIES)
    assert len(BODIES) == 24


@pytest.mark.parametrize("type_name", SAMPLES)
def test_samples_are_read_and_written_back_to_the_same_bytes(type_name: str) -> None:
    """What a stranger wrote by the text is read, and writing it again changes nothing."""
    raw = written(type_name, SAMPLES[type_name])
    content = decode_content(raw)
    assert type(content.body) is BODIES[type_name]
    assert encode_content(content) == raw


@pytest.mark.parametrize("type_name", SAMPLES)
def test_unknown_keys_survive_in_every_body(type_name: str) -> None:
    """A newer minor version's fields are kept and sent on."""
    raw = written(type_name, {**SAMPLES[type_name], "later": [1, {"a": b"b"}]}, minor=7, newer="yes")
    content = decode_content(raw)
    assert content.body.extra == {"later": [1, {"a": b"b"}]}
    assert content.extra == {"newer": "yes"}
    assert encode_content(content) == raw


@pytest.mark.parametrize(
    ("type_name", "key"), [(name, key) for name, body in SAMPLES.items() for key in body]
)
def test_every_required_field_is_missed_by_name(type_name: str, key: str) -> None:
    """Without it: missing-field, naming it."""
    body = {name: value for name, value in SAMPLES[type_name].items() if name != key}
    assert refusal(written(type_name, body)) == ("missing-field", f"body.{key}")


@pytest.mark.parametrize(
    ("type_name", "key"), [(name, key) for name, body in SAMPLES.items() for key in body]
)
def test_every_field_of_another_type_is_refused_by_name(type_name: str, key: str) -> None:
    """A truth value stands in no body of this version: wrong-type everywhere."""
    assert refusal(written(type_name, {**SAMPLES[type_name], key: True})) == ("wrong-type", f"body.{key}")


LONG = "x" * 65_537
FAULTS: list[tuple[str, str, object, str]] = [
    ("message", "text", "", "bad-value"),
    ("message", "text", LONG, "bad-value"),
    ("message", "text", "é" * 32_769, "bad-value"),
    ("message", "parts", [{"kind": "text", "text": "", "name": ""}] * 33, "too-many"),
    ("connection_request", "note", "x" * 1_025, "bad-value"),
    ("connection_request", "log", [], "bad-value"),
    ("connection_request", "log", [b""] * 4_097, "too-many"),
    ("connection_request", "log", ["text"], "wrong-type"),
    ("connection_request", "invite", {"id": bytes(16)}, "missing-field"),
    ("connection_request", "invite", {"id": bytes(16), "mac": H, "x": 1}, "unknown-field"),
    ("connection_request", "invite", {"id": bytes(15), "mac": H}, "bad-value"),
    ("connection_request", "invite", {"id": bytes(16), "mac": bytes(31)}, "bad-value"),
    ("connection_request", "invite", None, "wrong-type"),
    ("connection_end", "reason", "x" * 1_025, "bad-value"),
    ("task_request", "title", "", "bad-value"),
    ("task_request", "title", "x" * 201, "bad-value"),
    ("task_request", "title", "two\nlines", "bad-value"),
    ("task_request", "title", "del\x7f", "bad-value"),
    ("task_request", "title", "c1\x85", "bad-value"),
    ("task_request", "brief", LONG, "bad-value"),
    ("task_request", "requirements", ["x"] * 33, "too-many"),
    ("task_request", "requirements", [""], "bad-value"),
    ("task_request", "requirements", ["x" * 2_049], "bad-value"),
    ("task_request", "deadline", 2**53, "bad-value"),
    ("task_request", "deadline", -1, "bad-value"),
    ("task_request", "revisions", 1_001, "bad-value"),
    ("task_request", "revisions", -1, "bad-value"),
    ("task_request", "budget", -1, "bad-value"),
    ("task_accept", "note", LONG, "bad-value"),
    ("task_progress", "percent", 101, "bad-value"),
    ("artifact_submit", "parts", [], "bad-value"),
    ("artifact_submit", "answers", -1, "bad-value"),
    ("revision_request", "version", 0, "bad-value"),
    ("revision_request", "hash", bytes(31), "bad-value"),
    ("revision_request", "reasons", [], "bad-value"),
    ("task_complete", "version", 0, "bad-value"),
    ("task_complete", "hash", bytes(33), "bad-value"),
    ("task_expire", "deadline", None, "wrong-type"),
    ("receipt", "items", [], "bad-value"),
    ("receipt", "items", [[H, "applied", None]] * 257, "too-many"),
    ("receipt", "items", [[H, "applied"]], "bad-value"),
    ("receipt", "items", [H], "wrong-type"),
    ("receipt", "items", [[H[:31], "applied", None]], "bad-value"),
    ("receipt", "items", [[H, "lost", None]], "bad-value"),
    ("receipt", "items", [[H, 1, None]], "wrong-type"),
    ("receipt", "items", [[H, "applied", ""]], "bad-value"),
    ("receipt", "items", [[H, "applied", "x" * 65]], "bad-value"),
    ("account_update", "statements", [], "bad-value"),
    ("account_update", "statements", [b""] * 65, "too-many"),
    ("account_update", "from", -1, "bad-value"),
    ("grant_digest", "digest", b"", "bad-value"),
    ("task_repeat", "key", bytes(31), "bad-value"),
    ("task_repeat", "envelope", "text", "wrong-type"),
]


@pytest.mark.parametrize(("type_name", "key", "value", "code"), FAULTS)
def test_values_out_of_bounds_are_refused(type_name: str, key: str, value: object, code: str) -> None:
    """One step past each bound, and each element's own fault."""
    found, field = refusal(written(type_name, {**SAMPLES[type_name], key: value}))
    assert found == code
    assert field.startswith(f"body.{key}")


def test_bounds_themselves_are_allowed() -> None:
    """The last value inside each bound passes."""
    for type_name, key, value in (
        ("message", "text", "x" * 65_536),
        ("task_request", "title", "é" * 200),
        ("task_request", "revisions", 1_000),
        ("task_request", "requirements", ["x" * 2_048] * 32),
        ("receipt", "items", [[H, "processed", "x" * 64]] * 256),
        ("connection_request", "note", "x" * 1_024),
    ):
        decode_content(written(type_name, {**SAMPLES[type_name], key: value}))


CONTENT_FAULTS: list[tuple[dict[str, object], str, str]] = [
    ({"type": ...}, "missing-field", "type"),
    ({"type": 1}, "wrong-type", "type"),
    ({"type": "task_dance"}, "unknown-type", "type"),
    ({"minor": ...}, "missing-field", "minor"),
    ({"minor": -1}, "bad-value", "minor"),
    ({"conv": bytes(15)}, "bad-value", "conv"),
    ({"conv": ...}, "missing-field", "conv"),
    ({"hop": 17}, "bad-value", "hop"),
    ({"cause": [H] * 9}, "too-many", "cause"),
    ({"cause": [bytes(31)]}, "bad-value", "cause"),
    ({"body": []}, "wrong-type", "body"),
    ({"reply": None}, "wrong-type", "reply"),
    ({"reply": bytes(8)}, "bad-value", "reply"),
    ({"link": LINK}, "bad-link", "link"),
]


@pytest.mark.parametrize(("members", "code", "field"), CONTENT_FAULTS)
def test_faults_around_the_body_are_refused(members: dict[str, object], code: str, field: str) -> None:
    """Each member of the content map has its own checks."""
    assert refusal(written("message", SAMPLES["message"], **members)) == (code, field)


LINK_FAULTS: list[tuple[str, object, str]] = [
    ("task_accept", ..., "missing-field"),
    ("task_accept", None, "wrong-type"),
    ("task_accept", {**LINK, "later": 1}, "unknown-field"),
    ("task_accept", {**LINK, "task": None}, "bad-link"),
    ("task_accept", {**LINK, "prev": None}, "bad-link"),
    ("task_accept", {**LINK, "seen": [0, H]}, "bad-link"),
    ("task_accept", {**LINK, "seen": [1, None]}, "bad-link"),
    ("task_accept", {**LINK, "seen": [1]}, "bad-value"),
    ("task_accept", {**LINK, "n": 0, "prev": None, "seen": [0, None]}, "bad-link"),
    ("task_cancel", {**LINK, "adopt": False}, "bad-link"),
    ("task_request", LINK, "bad-link"),
]


@pytest.mark.parametrize(("type_name", "link", "code"), LINK_FAULTS)
def test_links_at_odds_are_refused(type_name: str, link: object, code: str) -> None:
    """A task event stands nowhere but in a place that can exist."""
    assert refusal(written(type_name, SAMPLES[type_name], link=link))[0] == code


def test_a_message_we_may_not_send_is_our_own_error() -> None:
    """What a reader would refuse is refused here, with its code and field in the cause."""
    with pytest.raises(LocalProtocolError, match=r"bad-value \(body.title\)") as caught:
        encode_content(Content(TaskRequest("", ""), CONV, link=FIRST))
    assert isinstance(caught.value.__cause__, RemoteProtocolError)
    with pytest.raises(LocalProtocolError, match="bad-link"):
        encode_content(Content(TextMessage("a"), CONV, link=FIRST))


def test_an_invites_proof_travels_with_the_request() -> None:
    """The one optional field of a body comes back, and is absent where it was."""
    plain = decode_content(written("connection_request", SAMPLES["connection_request"]))
    raw = written(
        "connection_request", {**SAMPLES["connection_request"], "invite": {"id": bytes(16), "mac": H}}
    )
    invited = decode_content(raw)
    assert isinstance(plain.body, ConnectionRequested)
    assert isinstance(invited.body, ConnectionRequested)
    assert (plain.body.invite, invited.body.invite) == (None, InviteProof(bytes(16), H))
    assert encode_content(invited) == raw


def test_extra_fields_cannot_hide_known_ones() -> None:
    """A program that sets `extra` cannot make the fields that were checked say something else."""
    for content in (
        Content(TextMessage("a", extra={"text": "b"}), CONV),
        Content(TextMessage("a"), CONV, extra={"type": "task_cancel"}),
    ):
        with pytest.raises(LocalProtocolError, match="extra"):
            encode_content(content)


def test_adoption_travels_in_the_link() -> None:
    """The one optional member of a link comes back."""
    link = TaskLink(Hash(H), 2, Hash(H), Seen(1, Hash(H)), adopt=True)
    raw = written("task_cancel", {"reason": ""}, link={**LINK, "n": 2, "adopt": True})
    assert decode_content(raw).link == link


def test_only_submissions_are_of_class_artifact() -> None:
    """The classes are those of the table in the text."""
    by_class: dict[MessageClass, set[str]] = {}
    for name, kind in BODIES.items():
        by_class.setdefault(kind.message_class, set()).add(name)
    assert by_class.pop(MessageClass.TASK) == {name for name in SAMPLES if name.startswith("task_")} | {
        "revision_request"
    }
    assert by_class == {
        MessageClass.ARTIFACT: {"artifact_submit"},
        MessageClass.MESSAGE: {"message"},
        MessageClass.RECEIPT: {"receipt"},
        MessageClass.ACCOUNT: {
            "account_update",
            "action_outcome",
            "action_request",
            "card_update",
            "device_share",
            "grant_digest",
        },
        MessageClass.CONNECTION: {
            "connection_request",
            "connection_accept",
            "connection_end",
            "grant_update",
        },
    }


@given(st.binary(max_size=300))
def test_any_bytes_are_content_or_a_refusal(raw: bytes) -> None:
    """No bytes make anything but a coded refusal."""
    try:
        decode_content(raw)
    except RemoteProtocolError:
        pass


@given(contents.map(encode_content), st.data())
def test_damaged_content_is_content_or_a_refusal(raw: bytes, data: st.DataObject) -> None:
    """One byte changed anywhere still ends in content or a code, and what is read is canonical."""
    index = data.draw(st.integers(0, len(raw) - 1))
    damaged = raw[:index] + bytes((data.draw(st.integers(0, 255)),)) + raw[index + 1 :]
    try:
        content = decode_content(damaged)
    except RemoteProtocolError:
        return
    assert encode_content(content) == damaged
