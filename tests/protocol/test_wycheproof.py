"""Project Wycheproof's vectors against our acceptance rules (spec/taskferry.md section 3).

Wycheproof leaves some decisions to whoever implements X25519. Ours are the table `REFUSED_FLAGS`; a flag that
is in no table fails, so a newer copy of the vectors has to be judged before it passes.
"""

import json
from hashlib import sha256
from pathlib import Path

import pytest
from nacl import bindings as sodium
from nacl.exceptions import CryptoError

from taskferry_protocol import crypto
from taskferry_protocol.errors import RejectCode, RemoteProtocolError

VECTORS = Path(__file__).parent / "vectors" / "wycheproof"
DIGESTS = {
    "ed25519_test.json": "752d2ea7d7c6cf4736381b6cbacb61f8182b126ab7cd9b058f00c50084975536",
    "x25519_test.json": "35c3f5231cf25cc640b524d403461deee9e49441d5d915a3a25b2c8ff5adbe7d",
    "xchacha20_poly1305_test.json": "a79de072571b90eb40c3a63ce0c7f75dcb4b62323c8870228e1f61dcc61d63a9",
}

#: Where we deviate: what Wycheproof calls acceptable and we refuse, since a public key is judged before it is
#: used. A key of small order gives a secret that anybody knows, and a number has one encoding only.
REFUSED_FLAGS = {"LowOrderPublic", "NonCanonicalPublic", "SmallPublicKey", "ZeroSharedSecret"}
#: What says nothing against a key. Points on the twist are safe with this curve (RFC 7748 section 6.1).
TAKEN_FLAGS = {
    "EdgeCaseMultiplication",
    "EdgeCasePrivateKey",
    "EdgeCaseShared",
    "Ktv",
    "Normal",
    "SpecialPublicKey",
    "Twist",
}


def load(name):
    """Every case of a file with the members of its group."""
    text = (VECTORS / name).read_bytes()
    assert sha256(text).hexdigest() == DIGESTS[name]
    for group in json.loads(text)["testGroups"]:
        for case in group["tests"]:
            yield group, case


def test_all_vectors_are_there():
    """The copies are whole: as many cases as their own header says."""
    for name in DIGESTS:
        assert len(list(load(name))) == json.loads((VECTORS / name).read_bytes())["numberOfTests"]


def test_ed25519():
    """Every signature is judged as Wycheproof judges it, without exception."""
    seen = {"valid": 0, "invalid": 0}
    for group, case in load("ed25519_test.json"):
        key, signature = bytes.fromhex(group["publicKey"]["pk"]), bytes.fromhex(case["sig"])
        crypto.check_signing_key(key)
        try:
            # A structure has no room for another length (`test_any_other_structure_is_refused`).
            taken = len(signature) == 64 and bool(
                sodium.crypto_sign_open(signature + bytes.fromhex(case["msg"]), key) is not None
            )
        except CryptoError:
            taken = False
        assert taken == (case["result"] == "valid"), (case["tcId"], case["comment"])
        seen[case["result"]] += 1
    assert seen == {"valid": 88, "invalid": 63}


@pytest.mark.parametrize("flag", sorted(REFUSED_FLAGS))
def test_each_reason_to_refuse_an_x25519_key_is_met(flag):
    """No line of the table is idle: some vector has the flag, and all that have it are refused."""
    found = [case for _, case in load("x25519_test.json") if flag in case["flags"]]
    assert found
    for case in found:
        with pytest.raises(RemoteProtocolError) as caught:
            crypto.check_encryption_key(bytes.fromhex(case["public"]))
        assert caught.value.code is RejectCode.BAD_KEY


def test_x25519():
    """A key that the rule accepts gives the expected secret; the others are refused before use."""
    taken = refused = 0
    for _, case in load("x25519_test.json"):
        flags = set(case["flags"])
        assert flags <= REFUSED_FLAGS | TAKEN_FLAGS, flags
        public, secret = bytes.fromhex(case["public"]), bytes.fromhex(case["private"])
        try:
            crypto.check_encryption_key(public)
        except RemoteProtocolError:
            assert flags & REFUSED_FLAGS, case["tcId"]
            refused += 1
            continue
        assert not flags & REFUSED_FLAGS, case["tcId"]
        assert sodium.crypto_scalarmult(secret, public).hex() == case["shared"], case["tcId"]
        taken += 1
    assert (taken, refused) == (474, 44)


def test_small_order_key_gets_no_wrap():
    """Where a bad key slipped in all the same, nothing is sealed for it."""
    low = [case for _, case in load("x25519_test.json") if "ZeroSharedSecret" in case["flags"]]
    assert low
    for case in low:
        with pytest.raises(RemoteProtocolError) as caught:
            crypto.wrap_key(
                bytes(32), bytes.fromhex(case["public"]), ephemeral=bytes.fromhex(case["private"])
            )
        assert caught.value.code is RejectCode.BAD_KEY


def test_xchacha20_poly1305():
    """Valid ciphertexts open to their message and are made again; invalid ones are `bad-ciphertext`."""
    seen = {"valid": 0, "invalid": 0}
    for _, case in load("xchacha20_poly1305_test.json"):
        key, nonce, aad, message = (bytes.fromhex(case[name]) for name in ("key", "iv", "aad", "msg"))
        sealed = bytes.fromhex(case["ct"]) + bytes.fromhex(case["tag"])
        seen[case["result"]] += 1
        if case["result"] == "valid":
            assert sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(sealed, aad, nonce, key) == message
            assert sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(message, aad, nonce, key) == sealed
            continue
        with pytest.raises(RemoteProtocolError) as caught:
            crypto.open_sealed(sealed, content_key=key, nonce=nonce, associated=aad)
        assert caught.value.code is RejectCode.BAD_CIPHERTEXT, case["tcId"]
    assert seen == {"valid": 246, "invalid": 69}
