"""Names, handles, message ids, and the errors that carry a code."""

import re
import uuid
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given

from taskferry_protocol.errors import (
    EnvelopeRejected,
    LinkBroken,
    ProtocolError,
    RejectCode,
    RemoteProtocolError,
)
from taskferry_protocol.ids import (
    AccountId,
    AgentRef,
    Handle,
    Hash,
    Instant,
    LogPosition,
    check_name,
    fingerprint,
    is_message_id,
    is_name,
    message_id,
    sha256,
)

from .owners import NOW, Refused, entropy_of


@pytest.mark.parametrize("name", ["a", "0", "ann", "a-b_c", "a" * 32, "9lives"])
def test_names(name):
    """Small letters, digits, - and _, up to 32."""
    assert is_name(name)
    assert check_name(name, "x") == name


@pytest.mark.parametrize("name", ["", "a" * 33, "Ann", "-a", "_a", "a b", "ann\n", "änn", "٣", "a.b", "@a"])
def test_what_is_no_name(name):
    """Other scripts' digits, capitals and a trailing newline among them."""
    assert not is_name(name)
    with Refused("bad-value", "x"):
        check_name(name, "x")


@given(st.from_regex(r"@[a-z0-9][a-z0-9_-]{0,31}/[a-z0-9][a-z0-9_-]{0,31}", fullmatch=True))
def test_handles_survive_the_way(text):
    """What is read is written again."""
    if text.isascii():
        assert str(Handle.parse(text)) == text


@pytest.mark.parametrize(
    "text", ["", "ann/coder", "@ann", "@ann/", "@ann/coder\n", "@Ann/x", "@a/b/c", "@" * 99]
)
def test_what_is_no_handle(text):
    """Anything but @owner/agent."""
    with Refused("bad-value", "handle"):
        Handle.parse(text)


@given(st.integers(0, 2**48 - 1), st.integers())
def test_message_ids_are_uuid_version_seven(now, seed):
    """Python's own reading agrees about version, variant and time."""
    raw = message_id(Instant(now), entropy_of(str(seed)))
    made = uuid.UUID(bytes=bytes(raw))
    assert is_message_id(raw)
    assert made.variant == uuid.RFC_4122
    assert made.version == 7
    assert int.from_bytes(raw[:6], "big") == now


def test_what_is_no_message_id():
    """Another length, version or variant."""
    raw = message_id(NOW, entropy_of("x"))
    for other in (
        b"",
        raw + b"x",
        raw[:6] + bytes([raw[6] ^ 0x10]) + raw[7:],
        raw[:8] + bytes([raw[8] ^ 0x40]) + raw[9:],
    ):
        assert not is_message_id(other)


def test_references_encode_as_pairs():
    """An agent and a position are arrays of two."""
    assert AgentRef(AccountId(b"a"), "x").to_cbor() == [b"a", "x"]
    assert LogPosition(3, Hash(b"h")).to_cbor() == [3, b"h"]


def test_fingerprint_is_short_and_in_groups():
    """For people to compare."""
    assert fingerprint(b"") == "e3b0 c442 98fc 1c14"
    assert sha256(b"").hex().startswith("e3b0c44298fc1c14")


def test_errors_carry_code_field_and_text():
    """Programs compare the code; people read the rest."""
    error = RemoteProtocolError(RejectCode.BAD_KEY, "of small order", field="device.id")
    assert (error.code, error.field, error.text) == (RejectCode.BAD_KEY, "device.id", "of small order")
    assert str(error) == "bad-key (device.id): of small order"
    assert str(RemoteProtocolError(RejectCode.EXPIRED)) == "expired"
    rejected = EnvelopeRejected(RejectCode.RATE_LIMITED, detail={"retry_after": 5})
    assert rejected.detail == {"retry_after": 5}
    assert EnvelopeRejected(RejectCode.EXPIRED).detail == {}
    assert isinstance(LinkBroken(RejectCode.TIMEOUT), ProtocolError)


def test_codes_are_those_of_the_text():
    """The closed list in the specification and the one in the code are the same."""
    text = (Path(__file__).parents[2] / "spec" / "taskferry.md").read_text()
    table = text.split("## 4. Codes")[1].split("## 5.")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    named = {code for row in rows for code in re.findall(r"`([a-z-]+)`", row)}
    assert named == {code.value for code in RejectCode}
