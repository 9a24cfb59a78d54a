"""The link of a task event: its shape, and what makes it one that can stand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskferry_protocol.cbor import decode, encode
from taskferry_protocol.errors import RejectCode, RemoteProtocolError
from taskferry_protocol.ids import Hash
from taskferry_protocol.links import ROLES, EventType, Role, Seen, TaskLink, check_link, read_link

TASK = b"t" * 32
PREV = b"p" * 32
GOOD = {"task": TASK, "n": 1, "prev": PREV, "seen": [1, TASK]}
FIRST = {"task": None, "n": 0, "prev": None, "seen": [0, None]}

hashes = st.binary(min_size=32, max_size=32).map(Hash)
counts = st.integers(1, 2**64 - 1)


def read(link: object) -> TaskLink:
    """The link as it is read from its encoding."""
    return read_link(decode(encode(link)), "link")


def refusal(link: object) -> tuple[RejectCode, str]:
    """The code and field with which the link is refused."""
    with pytest.raises(RemoteProtocolError) as caught:
        read(link)
    return caught.value.code, caught.value.field


@given(
    task=hashes,
    place=st.one_of(st.just((0, None)), st.tuples(counts, hashes)),
    seen=st.one_of(st.just((0, None)), st.tuples(counts, hashes)),
    adopt=st.booleans(),
)
def test_link_survives_its_encoding(task, place, seen, adopt):
    """What is written is what is read."""
    link = TaskLink(task, place[0], place[1], Seen(*seen), adopt=adopt and place[0] > 0)
    assert read(link.to_cbor()) == link


def test_request_link_survives_its_encoding():
    """The request's own link, which names no task, is read as it was written."""
    assert read(FIRST).to_cbor() == FIRST


def test_adopt_is_written_only_when_true():
    """A link that adopts nothing has no such key."""
    assert "adopt" not in read(GOOD).to_cbor()
    assert read({**GOOD, "adopt": True}).to_cbor()["adopt"] is True


@pytest.mark.parametrize(
    ("link", "code", "field"),
    [
        ({**GOOD, "n": 0}, RejectCode.BAD_LINK, "link"),
        ({**GOOD, "prev": None}, RejectCode.BAD_LINK, "link"),
        ({**GOOD, "seen": [0, TASK]}, RejectCode.BAD_LINK, "link"),
        ({**GOOD, "seen": [1, None]}, RejectCode.BAD_LINK, "link"),
        ({**GOOD, "adopt": False}, RejectCode.BAD_LINK, "link"),
        ({**GOOD, "n": 0, "prev": None, "adopt": True}, RejectCode.BAD_LINK, "link"),
        ({**FIRST, "seen": [1, TASK]}, RejectCode.BAD_LINK, "link"),
        ({**GOOD, "task": None}, RejectCode.BAD_LINK, "link"),
        ({**GOOD, "more": 1}, RejectCode.UNKNOWN_FIELD, "link.more"),
        ({"task": TASK}, RejectCode.MISSING_FIELD, "link.n"),
        ({**GOOD, "task": "t"}, RejectCode.WRONG_TYPE, "link.task"),
        ({**GOOD, "prev": PREV[1:]}, RejectCode.BAD_VALUE, "link.prev"),
        ({**GOOD, "n": -1}, RejectCode.BAD_VALUE, "link.n"),
        ({**GOOD, "seen": 1}, RejectCode.WRONG_TYPE, "link.seen"),
        ({**GOOD, "seen": [1]}, RejectCode.BAD_VALUE, "link.seen"),
        ({**GOOD, "seen": [1, 1]}, RejectCode.WRONG_TYPE, "link.seen"),
        ({**GOOD, "adopt": 1}, RejectCode.WRONG_TYPE, "link.adopt"),
        ([], RejectCode.WRONG_TYPE, "link"),
    ],
)
def test_faulty_link_is_refused_with_its_code(link, code, field):
    """Each fault of shape or sense has its own code, and names the field."""
    assert refusal(link) == (code, field)


def test_good_link_suits_every_type_but_the_request():
    """A later event's link with something seen stands in all types but the request."""
    link = read(GOOD)
    for type_ in EventType:
        if type_ is EventType.TASK_REQUEST:
            with pytest.raises(RemoteProtocolError, match="bad-link"):
                check_link(link, type_)
        else:
            check_link(link, type_)
    check_link(read(FIRST), EventType.TASK_REQUEST)


@pytest.mark.parametrize(
    ("link", "type_"),
    [
        (FIRST, EventType.TASK_ACCEPT),
        ({**GOOD, "n": 0, "prev": None}, EventType.TASK_CANCEL),
        ({**GOOD, "adopt": True}, EventType.TASK_ACCEPT),
        ({**GOOD, "seen": [0, None]}, EventType.TASK_PROGRESS),
        ({**GOOD, "n": 0, "prev": None, "seen": [0, None]}, EventType.TASK_SEEN),
    ],
)
def test_link_that_cannot_stand_in_its_type_is_bad(link, type_):
    """Who may be first, adopt, or have seen nothing depends on the type."""
    with pytest.raises(RemoteProtocolError, match="bad-link"):
        check_link(read(link), type_)


def test_each_type_has_its_side():
    """Five types are the requester's, five the worker's, and both sign task_seen."""
    assert sum(roles == {Role.REQUESTER} for roles in ROLES.values()) == 5
    assert sum(roles == {Role.WORKER} for roles in ROLES.values()) == 5
    assert ROLES[EventType.TASK_SEEN] == set(Role)
    assert ROLES.keys() == set(EventType)
    assert [role.other for role in Role] == [Role.WORKER, Role.REQUESTER]
