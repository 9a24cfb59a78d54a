"""The links by which a new machine says where it waits."""

import pytest

from taskferry_protocol.device_links import DeviceLink
from taskferry_protocol.errors import RejectCode, RemoteProtocolError

PLACE = "abcdefghijkmnpqr"


@pytest.mark.parametrize("relay", ["relay.example", "relay.example:8443", "127.0.0.1:8080", "[::1]:8080"])
def test_a_link_survives_a_round_trip(relay):
    """Formatting and parsing are each other's inverse."""
    link = DeviceLink(relay, PLACE)
    assert link.format() == f"taskferry://{relay}/device#code=abcd-efgh-ijkm-npqr"
    assert DeviceLink.parse(link.format()) == link


@pytest.mark.parametrize(
    "text",
    [
        "https://relay.example/device#code=abcd-efgh-ijkm-npqr",
        "taskferry://relay.example/device?code=abcd-efgh-ijkm-npqr",
        "taskferry://relay.example/device#code=abcd-efgh-ijkm-npq",
        "taskferry://relay.example/device#code=abcdefghijkmnpqr",
        "taskferry://relay.example/device#code=ABCD-efgh-ijkm-npqr",
        "taskferry://relay.example/device#code=abcd-efgh-ijkm-npq0",
        "taskferry://relay.example/device#code=abcd-efgh-ijkm-npqr\n",
        "taskferry://relay.example/device#code=abcd-efgh-ijkm-npqr&manage=1",
        "taskferry://relay.example:65536/device#code=abcd-efgh-ijkm-npqr",
        "taskferry://user@relay.example/device#code=abcd-efgh-ijkm-npqr",
        "taskferry://relay.example/invite/AAAAAAAAAAAAAAAAAAAAAA#code=abcd-efgh-ijkm-npqr",
        "taskferry://relay.example/device",
        "",
    ],
)
def test_anything_else_is_no_link(text):
    """Exactly what `format` writes, so that nobody adds to what its owner is asked."""
    with pytest.raises(RemoteProtocolError) as refused:
        DeviceLink.parse(text)
    assert refused.value.code is RejectCode.BAD_VALUE
