"""A recovery phrase: the words of a seed, and what is said of words that are none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskferry_apps.phrase import PhraseError, near_words, phrase_of, seed_of

# The vectors that BIP39's authors published for 32 bytes.
PUBLISHED = {
    "00" * 32: "abandon " * 23 + "art",
    "7f" * 32: (
        "legal winner thank year wave sausage worth useful legal winner thank year wave sausage worth "
        "useful legal winner thank year wave sausage worth title"
    ),
    "80" * 32: (
        "letter advice cage absurd amount doctor acoustic avoid letter advice cage absurd amount doctor "
        "acoustic avoid letter advice cage absurd amount doctor acoustic bless"
    ),
    "ff" * 32: "zoo " * 23 + "vote",
}


@pytest.mark.parametrize("seed", PUBLISHED)
def test_phrases_are_those_of_bip39(seed: str):
    """Other programs read and write the same words."""
    assert phrase_of(bytes.fromhex(seed)) == PUBLISHED[seed]
    assert seed_of(PUBLISHED[seed]).hex() == seed


@given(st.binary(min_size=32, max_size=32))
def test_every_seed_comes_back(seed: bytes):
    """From words, from digits, and however either is spaced or numbered."""
    phrase = phrase_of(seed)
    words = phrase.upper().split()
    assert seed_of(phrase) == seed
    assert seed_of(seed.hex()) == seed
    assert seed_of(" ".join(seed.hex()[at : at + 4] for at in range(0, 64, 4)).upper()) == seed
    assert seed_of("\n".join(f"{at}. {word}" for at, word in enumerate(words, 1))) == seed


def test_a_word_that_is_none_is_named_with_what_it_may_have_been():
    """By its place in the text, which may be shown anywhere; the word itself stands apart."""
    words = phrase_of(bytes(32)).split()
    words[6] = "abandn"
    with pytest.raises(PhraseError) as failure:
        seed_of(" ".join(words))
    assert str(failure.value) == "Word 7 is not on the list of words."
    assert "abandn" not in str(failure.value)
    ((place, word),) = failure.value.unknown
    assert (place, word, near_words(word)[0]) == (7, "abandn", "abandon")
    assert near_words("zzz") == ()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "24 words; this has 0"),
        ("abandon " * 12, "24 words; this has 12"),
        ("abandon " * 24, "checksum"),
        ("a" * 2_000, "longer"),
        ("0" * 63, "24 words"),
        ("zzz qqq " + "abandon " * 22, "Words 1, 2 are not on the list"),
    ],
)
def test_what_is_wrong_with_a_phrase_is_said(text: str, says: str):
    """Its length, its words or its checksum."""
    with pytest.raises(PhraseError, match=says):
        seed_of(text)
