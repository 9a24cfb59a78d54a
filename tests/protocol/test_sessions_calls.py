"""Calls are read as they are written, and nothing else passes for one."""

import pytest

from taskferry_protocol.calls import (
    AccountFound,
    AppendStatements,
    CallAnswer,
    CallRequest,
    CardFound,
    ConnectionsFound,
    Done,
    EndConnection,
    FindAccount,
    GetAccount,
    GetCard,
    GetInvite,
    GetPresence,
    InviteFound,
    ListConnections,
    LogAppended,
    PresenceFound,
    PutCard,
    PutConnection,
    PutGrant,
    PutInvite,
    ShownConnection,
    WithdrawInvite,
    read_request,
)
from taskferry_protocol.cbor import decode, encode
from taskferry_protocol.errors import RejectCode, RemoteProtocolError
from taskferry_protocol.ids import AccountId, AgentRef, Hash, LogPosition

ACCOUNT = AccountId(b"a" * 32)
AGENT = AgentRef(ACCOUNT, "coder")

EXCHANGES: list[tuple[CallRequest, CallAnswer]] = [
    (GetAccount(ACCOUNT, 3), AccountFound(ACCOUNT, 3, (b"three", b"four"))),
    (FindAccount("bob"), AccountFound(ACCOUNT, 0, ())),
    (AppendStatements(4, (b"four",)), LogAppended(LogPosition(5, Hash(b"h" * 32)))),
    (PutCard(b"card"), Done()),
    (GetCard(AGENT), CardFound(b"card")),
    (PutConnection(b"request", b"accept", (b"grant", b"back")), Done()),
    (EndConnection(b"end"), Done()),
    (ListConnections(), ConnectionsFound(())),
    (
        ListConnections(b"h" * 32),
        ConnectionsFound((ShownConnection(b"request", b"accept", b"", (b"grant", b"back")),)),
    ),
    (PutGrant(b"grant"), Done()),
    (PutInvite(b"invite"), Done()),
    (WithdrawInvite(b"i" * 16), Done()),
    (GetInvite(b"i" * 16), InviteFound(b"invite")),
    (GetPresence((AGENT, AgentRef(ACCOUNT, "writer"))), PresenceFound((True, False))),
]


@pytest.mark.parametrize(("request_", "answer"), EXCHANGES)
def test_a_call_reads_back_as_it_was_written(request_, answer):
    """Both the question and the answer that belongs to it."""
    assert read_request(request_.method, decode(encode(request_.to_cbor()))) == request_
    assert request_.answer.read(decode(encode(answer.to_cbor()))) == answer


@pytest.mark.parametrize(("request_", "answer"), EXCHANGES)
def test_a_call_has_no_other_members(request_, answer):
    """Unknown ones are refused in questions and answers alike."""
    for read, members in (
        (lambda value: read_request(request_.method, value), request_.to_cbor()),
        (request_.answer.read, answer.to_cbor()),
    ):
        with pytest.raises(RemoteProtocolError) as caught:
            read({**members, "more": 0})
        assert caught.value.code is RejectCode.UNKNOWN_FIELD


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("account.put", {}, RejectCode.UNKNOWN_METHOD),
        ("account.get", {"from": 0}, RejectCode.MISSING_FIELD),
        ("account.get", {"account": ACCOUNT, "name": "bob", "from": 0}, RejectCode.UNKNOWN_FIELD),
        ("account.get", {"name": "Bob", "from": 0}, RejectCode.BAD_VALUE),
        ("account.get", {"account": b"short", "from": 0}, RejectCode.BAD_VALUE),
        ("account.get", None, RejectCode.WRONG_TYPE),
        ("account.append", {"from": 0, "statements": [b""] * 257}, RejectCode.TOO_MANY),
        ("account.append", {"from": 0, "statements": ["text"]}, RejectCode.WRONG_TYPE),
        ("card.get", {"agent": [ACCOUNT, ""]}, RejectCode.BAD_VALUE),
        ("connection.put", {"request": b"", "accept": b"", "grants": [b""] * 3}, RejectCode.TOO_MANY),
        ("connection.list", {"after": b"short"}, RejectCode.BAD_VALUE),
        ("connection.list", {}, RejectCode.MISSING_FIELD),
        ("presence.get", {"agents": []}, RejectCode.BAD_VALUE),
        ("presence.get", {"agents": [[ACCOUNT, "a"]] * 65}, RejectCode.TOO_MANY),
    ],
)
def test_a_faulty_question_has_its_code(method, params, code):
    """Each fault of a call is refused with the code of the specification."""
    with pytest.raises(RemoteProtocolError) as caught:
        read_request(method, params)
    assert caught.value.code is code


@pytest.mark.parametrize(
    ("shown", "code"),
    [
        ([[b"", b"", b"", []]] * 33, RejectCode.TOO_MANY),
        ([[b"", b"", b"", [b""] * 17]], RejectCode.TOO_MANY),
        ([[b"", b"", b""]], RejectCode.BAD_VALUE),
        ([[b"", b"", None, []]], RejectCode.WRONG_TYPE),
        ([b""], RejectCode.WRONG_TYPE),
    ],
)
def test_connections_that_are_shown_have_their_shape(shown, code):
    """A relay that answers otherwise is refused before anything of it is read."""
    with pytest.raises(RemoteProtocolError) as caught:
        ConnectionsFound.read({"connections": shown})
    assert caught.value.code is code


def test_presence_is_true_or_false():
    """A number is neither."""
    with pytest.raises(RemoteProtocolError) as caught:
        PresenceFound.read({"online": [1]})
    assert caught.value.code is RejectCode.WRONG_TYPE
