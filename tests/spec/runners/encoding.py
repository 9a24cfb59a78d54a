"""CBOR items, signed structures and keys."""

from taskferry_protocol import cbor, crypto
from taskferry_protocol.envelope import encode_parcel, read_envelope, read_parcel
from taskferry_protocol.errors import RejectCode, RemoteProtocolError
from taskferry_protocol.messages import decode_content, encode_content
from tests.spec.runners.inputs import raw


def limited(vector):
    """The keyword for a vector's own limit, if it has one."""
    return {"limit": vector["limit"]} if "limit" in vector else {}


def run_cbor(vector):
    """Decode, and encode again to the same bytes."""
    data = raw(vector["input"])
    assert cbor.encode(cbor.decode(data, **limited(vector))) == data


def run_cose(vector):
    """Verify for one purpose; key and payload come out."""
    data = raw(vector["input"])
    signed = crypto.verify(data, crypto.Kind(vector["purpose"]), **limited(vector))
    for name, value in (vector.get("decoded") or {}).items():
        assert getattr(signed, name).hex() == value


def run_ed25519_key(vector):
    """A signing key seen for the first time."""
    crypto.check_signing_key(raw(vector["input"]))


def run_x25519_key(vector):
    """An encryption key seen for the first time."""
    crypto.check_encryption_key(raw(vector["input"]))


def run_envelope(vector):
    """All checks on an envelope, with the clock."""
    data = raw(vector["input"])
    assert read_envelope(data, now=vector["now_ms"]).raw == data


def run_parcel(vector):
    """The pair around it, written again to the same bytes."""
    data = raw(vector["input"])
    assert encode_parcel(read_parcel(cbor.decode(data))) == data


def run_message(vector):
    """A content under a class; unknown fields are written again as they came."""
    data = raw(vector["input"])
    content = decode_content(data)
    check_class(content, vector["class"])
    assert encode_content(content) == data


def check_class(content, cls):
    """What an envelope's opening checks last."""
    if content.body.message_class != cls:
        raise RemoteProtocolError(RejectCode.CLASS_MISMATCH)


RUNNERS = {
    "cbor": run_cbor,
    "cose": run_cose,
    "ed25519-key": run_ed25519_key,
    "x25519-key": run_x25519_key,
    "envelope": run_envelope,
    "parcel": run_parcel,
    "message": run_message,
}
