"""Sealing to exact bytes, and opening."""

from taskferry_protocol import cbor, crypto
from taskferry_protocol.envelope import Parcel, encode_parcel, read_envelope, read_parcel
from taskferry_protocol.messages import encode_content
from taskferry_protocol.sealing import open_parcel, wrap_for


def raw(vector, name):
    """A byte string of the vector."""
    return bytes.fromhex(vector[name])


def run_padding(vector):
    """The size of what is encrypted, by the content's length."""
    for length, size in vector["pairs"]:
        assert crypto.padded_length(length) == size


def run_derive(vector):
    """What K gives."""
    content_key, commit = crypto.content_keys(raw(vector, "input"))
    assert vector["decoded"] == {"content_key": content_key.hex(), "commit": commit.hex()}


def run_wrap(vector):
    """K for one key, and back."""
    public, secret = (bytes.fromhex(half) for half in vector["recipient"])
    sealed = crypto.wrap_key(raw(vector, "key"), public, ephemeral=raw(vector, "ephemeral_secret"))
    assert sealed.hex() == vector["decoded"]["sealed"]
    mine = crypto.EncryptionKey.from_secret(secret)
    assert mine.public == public
    assert crypto.unwrap_key(sealed, mine) == raw(vector, "key")


def run_cipher(vector):
    """The ciphertext of a content, and back."""
    content_key, _ = crypto.content_keys(raw(vector, "key"))
    facts = {"content_key": content_key, "nonce": raw(vector, "nonce"), "associated": raw(vector, "h")}
    ct = crypto.seal(raw(vector, "content"), **facts)
    assert ct.hex() == vector["decoded"]["ct"]
    assert crypto.open_sealed(ct, **facts) == raw(vector, "content")


def run_seal(vector):
    """A whole parcel from its ingredients."""
    key, h = raw(vector, "key"), raw(vector, "h")
    content_key, _ = crypto.content_keys(key)
    ct = crypto.seal(
        raw(vector, "content"), content_key=content_key, nonce=raw(vector, "nonce"), associated=h
    )
    signer = crypto.SigningKey.from_seed(raw(vector, "seed"))
    envelope = signer.sign(crypto.Kind.ENVELOPE, cbor.encode([h, ct]))
    assert envelope.hex() == vector["decoded"]["envelope"]
    secrets = iter([bytes.fromhex(secret) for _, secret in vector["recipients"]])
    recipients = [bytes.fromhex(public) for public, _ in vector["recipients"]]
    wraps = wrap_for(key, recipients, lambda size: next(secrets)[:size])
    assert encode_parcel(Parcel(envelope, wraps)).hex() == vector["decoded"]["parcel"]


def run_open(vector):
    """Open a parcel with some of my keys."""
    parcel = read_parcel(cbor.decode(raw(vector, "input")))
    envelope = read_envelope(parcel.envelope, now=None)
    mine = [crypto.EncryptionKey.from_secret(bytes.fromhex(secret)) for _, secret in vector["keys"]]
    opened = open_parcel(parcel, envelope, mine)
    assert encode_content(opened.content).hex() == vector["decoded"]["content"]
    assert opened.key.hex() == vector["decoded"]["key"]


RUNNERS = {
    "padding": run_padding,
    "derive": run_derive,
    "wrap": run_wrap,
    "cipher": run_cipher,
    "seal": run_seal,
    "open": run_open,
}
