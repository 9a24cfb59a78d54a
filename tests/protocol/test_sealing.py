"""Sealing and opening: only its recipients open an envelope, and all of them see the same."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskferry_protocol.cbor import encode
from taskferry_protocol.crypto import Kind, content_keys, padded_length, seal
from taskferry_protocol.envelope import Envelope, Parcel, Wrap, encode_header, parse_envelope, read_envelope
from taskferry_protocol.errors import LocalProtocolError, RemoteProtocolError
from taskferry_protocol.ids import Instant
from taskferry_protocol.messages import Content, MessageClass, TextMessage, TextPart, encode_content
from taskferry_protocol.sealing import (
    Address,
    find_wrap,
    open_envelope,
    open_parcel,
    open_with_key,
    seal_envelope,
    wrap_for,
)

from .contents import (
    ALICE,
    BOB,
    CONV,
    DAY,
    HERE,
    NOW,
    SAID,
    THERE,
    box_of,
    contents,
    entropy_of,
    key_of,
    sealed_message,
)

BOBS = [box_of(n) for n in range(3)]
K = b"k" * 32


def forged(
    plain: bytes | None = None, *, cls: MessageClass = MessageClass.MESSAGE, key: bytes = K
) -> Envelope:
    """A well-signed envelope by a sender that seals any padded plaintext under K, and commits to `key`."""
    header = attrs.evolve(sealed_message().envelope.header, cls=cls, commit=content_keys(key)[1])
    h = encode_header(header)
    content_key, _ = content_keys(K)
    if plain is None:
        ct = seal(encode_content(SAID), content_key=content_key, nonce=header.nonce, associated=h)
    else:
        # Sealing pads on its own, so a false padding is made by sealing without it.
        from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_encrypt as encrypt

        ct = encrypt(plain, h, header.nonce, content_key)
    return parse_envelope(key_of(1).sign(Kind.ENVELOPE, encode([h, ct])))


def refusal(envelope: Envelope, key: bytes = K) -> str:
    """The code with which opening is refused."""
    with pytest.raises(RemoteProtocolError) as caught:
        open_with_key(envelope, key)
    return caught.value.code.value


@given(contents, st.integers(0, 2**32))
def test_every_message_is_opened_as_it_was_sealed(content: Content, seed: int) -> None:
    """Any message, by any of the devices that it was wrapped for, and by its stored K."""
    sealed = sealed_message(content, seed=1)
    envelope = read_envelope(sealed.envelope.raw, now=NOW)
    wraps = wrap_for(sealed.key, [box.public for box in BOBS], entropy_of(seed))
    for box in BOBS:
        opened = open_parcel(Parcel(envelope.raw, wraps), envelope, [box])
        assert (opened.content, opened.key) == (content, sealed.key)
        # What is kept at either end is the content's one encoding.
        assert opened.raw == sealed.content == encode_content(content)
    assert open_with_key(envelope, sealed.key) == content


def test_a_short_answer_looks_like_any_other() -> None:
    """Sizes say no more than a Padmé step, 256 bytes at least."""
    sizes = {len(sealed_message(Content(TextMessage("x" * n), CONV)).envelope.ct) for n in range(1, 120)}
    assert sizes == {256 + 16}
    assert padded_length(300) == 304


def test_an_envelope_is_wrapped_again_by_its_stored_key() -> None:
    """A device that joined later opens the same envelope under the same signature."""
    sealed = sealed_message()
    newcomer = box_of(77)
    again = wrap_for(sealed.key, [newcomer.public], entropy_of(9))
    assert open_envelope(sealed.envelope, again[0].sealed, [newcomer]).content == SAID


def test_wraps_come_sorted_and_once() -> None:
    """As a parcel must have them, whatever order the caller had."""
    keys = [box.public for box in BOBS]
    wraps = wrap_for(K, [*reversed(keys), keys[0]], entropy_of(1))
    assert [wrap.key for wrap in wraps] == sorted(keys)


def test_nobody_and_too_many_are_our_own_errors() -> None:
    """A parcel has 1 to 64 wraps."""
    for recipients in ([], [box_of(n).public for n in range(65)]):
        with pytest.raises(LocalProtocolError, match="1 to 64"):
            wrap_for(K, recipients, entropy_of(1))


def test_wrapping_for_a_key_of_small_order_is_refused() -> None:
    """Such a key would make the wrap's secret known to all."""
    with pytest.raises(RemoteProtocolError, match="bad-key"):
        wrap_for(K, [bytes(32)], entropy_of(1))


def test_a_device_without_a_wrap_has_no_wrap() -> None:
    """It is told apart from a wrap that does not open."""
    sealed = sealed_message()
    wraps = wrap_for(sealed.key, [BOBS[0].public], entropy_of(1))
    with pytest.raises(RemoteProtocolError, match="no-wrap"):
        find_wrap(wraps, [BOBS[1]])


def test_a_former_key_still_opens() -> None:
    """What was sealed before a rotation is opened after it."""
    sealed = sealed_message()
    (wrap,) = wrap_for(sealed.key, [BOBS[2].public], entropy_of(1))
    assert open_envelope(sealed.envelope, wrap.sealed, BOBS).content == SAID


@pytest.mark.parametrize("fault", [0, 40, 79])
def test_a_damaged_wrap_does_not_open(fault: int) -> None:
    """Any byte of it."""
    sealed = sealed_message()
    (wrap,) = wrap_for(sealed.key, [BOBS[0].public], entropy_of(1))
    damaged = bytearray(wrap.sealed)
    damaged[fault] ^= 1
    parcel = Parcel(sealed.envelope.raw, (Wrap(wrap.key, bytes(damaged)),))
    with pytest.raises(RemoteProtocolError, match="bad-wrap"):
        open_parcel(parcel, sealed.envelope, [BOBS[0]])


def test_a_wrap_of_any_other_length_does_not_open() -> None:
    """Lengths are faults like any other, never a crash."""
    for length in (0, 1, 47, 48, 79, 81, 200):
        with pytest.raises(RemoteProtocolError, match="bad-wrap"):
            open_envelope(sealed_message().envelope, bytes(length), BOBS)


def test_another_key_for_one_device_misses_the_commitment() -> None:
    """A sender cannot make one ciphertext say different things to two devices."""
    envelope = sealed_message().envelope
    (other,) = wrap_for(b"o" * 32, [BOBS[0].public], entropy_of(1))
    with pytest.raises(RemoteProtocolError, match="bad-commit"):
        open_envelope(envelope, other.sealed, [BOBS[0]])
    assert refusal(envelope, b"short") == "bad-commit"


def test_a_commitment_to_another_key_is_refused() -> None:
    """Even where the ciphertext itself would open."""
    assert refusal(forged(key=b"o" * 32)) == "bad-commit"


def test_a_wrap_moved_to_another_envelope_is_refused() -> None:
    """A relay that exchanges wraps between envelopes is noticed."""
    one, two = sealed_message(seed=1), sealed_message(seed=2)
    (wrap,) = wrap_for(one.key, [BOBS[0].public], entropy_of(1))
    with pytest.raises(RemoteProtocolError, match="bad-commit"):
        open_envelope(two.envelope, wrap.sealed, [BOBS[0]])


def test_a_ciphertext_moved_to_another_header_does_not_open() -> None:
    """Every field of the header is bound to the ciphertext, signed anew or not."""
    sealed = sealed_message()
    header = sealed.envelope.header
    for other in (
        attrs.evolve(header, to=ALICE),
        attrs.evolve(header, seq=2),
        attrs.evolve(header, expires_at=Instant(header.expires_at + 1)),
        attrs.evolve(header, cls=MessageClass.TASK),
        attrs.evolve(header, nonce=bytes(24)),
        attrs.evolve(header, log=THERE),
    ):
        raw = key_of(2).sign(Kind.ENVELOPE, encode([encode_header(other), sealed.envelope.ct]))
        assert refusal(parse_envelope(raw), sealed.key) == "bad-ciphertext"


def test_false_lengths_and_paddings_are_refused() -> None:
    """The padding is exactly as prescribed, and says nothing."""
    content = encode_content(SAID)
    head = len(content).to_bytes(4, "big") + content
    good = head.ljust(256, b"\0")
    assert open_with_key(forged(good), K) == SAID
    assert refusal(forged(good[:-1] + b"\1")) == "bad-padding"
    assert refusal(forged(good + b"\0" * 16)) == "bad-padding"
    assert refusal(forged(b"\xff\xff\xff\xff" + good[4:])) == "bad-padding"
    assert refusal(forged((1).to_bytes(4, "big") + good[4:])) == "bad-padding"


def test_what_is_sealed_is_checked_like_all_else() -> None:
    """Content that does not decode has the codes of encoding and shape."""
    assert refusal(forged(b"\0" * 256)) == "malformed"
    assert refusal(forged((1).to_bytes(4, "big").ljust(256, b"\0"))) == "wrong-type"


def test_type_and_class_agree() -> None:
    """A task under the class of a message would pass by permissions for messages."""
    for cls in MessageClass:
        if cls is not MessageClass.MESSAGE and cls is not MessageClass.ACCOUNT:
            assert refusal(forged(cls=cls)) == "class-mismatch"


def test_a_message_too_large_for_an_envelope_is_our_own_error() -> None:
    """It is found before anything is sent or kept."""
    body = TextMessage("see parts", (TextPart("x" * 196_608), TextPart("x" * 65_536)))
    with pytest.raises(LocalProtocolError, match="too-large"):
        sealed_message(Content(body, CONV))
    with pytest.raises(LocalProtocolError, match="bad-time"):
        seal_envelope(
            SAID,
            Address(ALICE, BOB, 1, HERE, THERE),
            created_at=NOW,
            expires_at=Instant(NOW + 31 * DAY),
            device_key=key_of(1),
            entropy=entropy_of(1),
        )


def test_sealing_draws_its_randomness_from_its_argument_alone() -> None:
    """The same entropy, the same envelope; so every test and vector can be repeated."""
    assert sealed_message(seed=5) == sealed_message(seed=5)
    assert sealed_message(seed=5).envelope.hash != sealed_message(seed=6).envelope.hash


def test_nonce_and_key_are_drawn_for_each_message():
    """Two messages that a device seals one after another share neither nonce nor key."""
    entropy = entropy_of(9)
    drawn = []

    def draw(size):
        drawn.append(entropy(size))
        return drawn[-1]

    sealed = [
        seal_envelope(
            SAID,
            Address(ALICE, BOB, seq, HERE, THERE),
            created_at=NOW,
            expires_at=Instant(NOW + DAY),
            device_key=key_of(1),
            entropy=draw,
        )
        for seq in (1, 2)
    ]
    assert [one.key for one in sealed] == [drawn[0], drawn[3]]
    assert [one.envelope.header.nonce for one in sealed] == [drawn[1], drawn[4]]
    assert len(set(drawn)) == len(drawn)
