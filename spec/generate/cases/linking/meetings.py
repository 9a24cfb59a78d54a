"""Both sides of a meeting, letter by letter: what they answer, the words they show, what ends the try."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from spec.generate.identity import Device
from spec.generate.kit import MINUTE, NOW, Value, blake, enc, fixed, tampered
from spec.generate.parcels import ADA, LAPTOP
from spec.generate.vector import ACCEPT, Json, Vector, hexes, vector

SECTION = "identity.md#11-linking-a-device"
WORDS = (Path(__file__).resolve().parents[3] / "words.txt").read_text("utf-8").split()
TABLET = Device("ada tablet")
PLAIN = Device("ada tablet", manages=False)
NEW_NONCE, OLD_NONCE = fixed("linking nonce new"), fixed("linking nonce managing")


def facts(*, manage: bool) -> list[Value]:
    """What the managing side commits to."""
    return [ADA.account, ADA.position(), LAPTOP.id.public, "ada", manage]


def reveal(*, manage: bool = True, nonce: bytes = OLD_NONCE) -> bytes:
    """Letter 3."""
    return enc([3, nonce, *facts(manage=manage)])


def commit(*, manage: bool = True) -> bytes:
    """Letter 1."""
    return enc([1, blake(OLD_NONCE, "tf1 link commit", enc(facts(manage=manage)))])


def offer(device: Device = TABLET, nonce: bytes = NEW_NONCE) -> bytes:
    """Letter 2."""
    return enc([2, nonce, device.record()])


def consent(*, manage: bool = True, seq: int | None = None) -> bytes:
    """Letter 4."""
    device = TABLET if manage else PLAIN
    return enc([4, device.consent(ADA.account, len(ADA.statements) if seq is None else seq)])


LINKED = enc([5, [len(ADA.statements) + 1, fixed("a head")]])


def words(*, manage: bool = True, offered: bytes | None = None) -> tuple[list[str], list[str]]:
    """What the new machine shows, and the managing one."""
    message = commit(manage=manage) + (offered or offer()) + reveal(manage=manage)
    data = blake(OLD_NONCE, "tf1 link words", message)
    return [WORDS[byte] for byte in data[:3]], [WORDS[byte] for byte in data[3:6]]


Step = dict[str, Json]


def hears(letter: bytes, *out: bytes, at: int = 0) -> Step:
    """A letter comes, and these go out."""
    return {"at": NOW + at, "letter": letter.hex(), "out": hexes(out)}


def types(text: Sequence[str] | str, *out: bytes, at: int = 0) -> Step:
    """The owner types words in, and these letters go out."""
    return {"at": NOW + at, "typed": text if isinstance(text, str) else " ".join(text), "out": hexes(out)}


def new_side(name: str, comment: str, expect: str, *steps: Step, shows: Sequence[str] = ()) -> Vector:
    """The new machine."""
    return vector(
        "linking",
        f"new_{name}",
        "link-new",
        SECTION,
        comment,
        expect,
        now_ms=NOW,
        keys={
            "signing": TABLET.id.seed.hex(),
            "encryption": TABLET.enc.secret.hex(),
            "manage": TABLET.manage.seed.hex(),
            "label": TABLET.label,
        },
        nonce=NEW_NONCE.hex(),
        steps=list(steps),
        decoded={"words": list(shows)},
    )


def managing_side(
    name: str, comment: str, expect: str, *steps: Step, manage: bool = True, shows: Sequence[str] = ()
) -> Vector:
    """The managing machine."""
    return vector(
        "linking",
        f"managing_{name}",
        "link-managing",
        SECTION,
        comment,
        expect,
        now_ms=NOW,
        statements=hexes(ADA.statements),
        device=LAPTOP.id.public.hex(),
        nonce=OLD_NONCE.hex(),
        manage=manage,
        first=commit(manage=manage).hex(),
        steps=list(steps),
        decoded={"words": list(shows)},
    )


def vectors() -> Iterator[Vector]:
    """The whole way, and each way to go astray."""
    yield from of_the_new_side()
    yield from of_the_managing_side()


def of_the_new_side() -> Iterator[Vector]:
    """The machine that wants in."""
    mine, theirs = words()
    begun = (hears(commit(), offer()), hears(reveal()))
    yield new_side("links", "commit, offer, reveal, words, consent, linked", ACCEPT, *begun,
                   types(theirs, consent()), hears(LINKED), shows=mine)  # fmt: skip
    mine_plain, theirs_plain = words(manage=False)
    yield new_side("may_not_manage", "the consent is for a record without a manage key", ACCEPT,
                   hears(commit(manage=False), offer()), hears(reveal(manage=False)),
                   types(theirs_plain, consent(manage=False)), shows=mine_plain)  # fmt: skip
    sloppy = ",".join(theirs).upper()
    yield new_side("words_in_capitals", "case and what parts the words do not matter", ACCEPT, *begun,
                   types(sloppy, consent()), shows=mine)  # fmt: skip
    yield new_side("own_words", "its own words in place of the other's", "words-differ", *begun, types(mine))
    yield new_side("two_words", "a word is missing", "words-differ", *begun, types(theirs[:2]))
    yield new_side("other_order", "the words in another order", "words-differ", *begun, types(theirs[::-1]))
    other = words(offered=offer(nonce=fixed("another nonce")))[1]
    yield new_side(
        "middle", "the managing side was shown another offer", "words-differ", *begun, types(other)
    )
    yield new_side("other_reveal", "another nonce than was committed to", "bad-commit",
                   hears(commit(), offer()), hears(reveal(nonce=fixed("other"))))  # fmt: skip
    yield new_side("other_power", "another power than was committed to", "bad-commit",
                   hears(commit(), offer()), hears(reveal(manage=False)))  # fmt: skip
    yield new_side(
        "reveal_first", "revealed before anything was offered", "unexpected-frame", hears(reveal())
    )
    yield new_side(
        "linked_early", "linked before the owner agreed", "unexpected-frame", *begun, hears(LINKED)
    )
    yield new_side(
        "words_early", "typed before there is anything to compare", "unexpected-frame", types(theirs)
    )
    yield new_side("late", "words after ten minutes", "expired", *begun, types(theirs, at=10 * MINUTE))
    yield new_side("other_gave_up", "the other side's owner typed other words", "words-differ", *begun,
                   hears(enc([0, "words-differ"])))  # fmt: skip
    yield new_side("letter_unknown", "a letter of a later version", "bad-value", hears(enc([9, b""])))
    yield new_side("letter_short", "a letter without its field", "bad-value", hears(enc([1])))
    yield new_side("letter_large", "a letter of 2,049 bytes", "too-large", hears(enc([1, bytes(2_045)])))
    yield new_side("commitment_short", "a commitment of 31 bytes", "bad-value", hears(enc([1, bytes(31)])))


def of_the_managing_side() -> Iterator[Vector]:
    """The machine that lets in."""
    theirs, mine = words()
    begun = hears(offer(), reveal())
    yield managing_side("links", "offer, words, consent", ACCEPT, begun, types(theirs), hears(consent()),
                        shows=mine)  # fmt: skip
    yield managing_side("consent_first", "the other owner was faster", ACCEPT, begun, hears(consent()),
                        types(theirs), shows=mine)  # fmt: skip
    plain_theirs, plain_mine = words(manage=False)
    yield managing_side("may_not_manage", "the device will not manage", ACCEPT,
                        hears(offer(), reveal(manage=False)), types(plain_theirs),
                        hears(consent(manage=False)), manage=False, shows=plain_mine)  # fmt: skip
    yield managing_side("more_power", "consent to more power than was allowed", "bad-consent",
                        hears(offer(), reveal(manage=False)), types(plain_theirs), hears(consent()),
                        manage=False)  # fmt: skip
    middle = words(offered=offer(nonce=fixed("another nonce")))[0]
    yield managing_side("middle", "the new machine made another offer", "words-differ", begun, types(middle))
    yield managing_side("second_try", "the right words after wrong ones", "words-differ", begun,
                        types(mine), types(theirs))  # fmt: skip
    yield managing_side("other_place", "consent to another place in the log", "bad-consent", begun,
                        types(theirs), hears(consent(seq=9)))  # fmt: skip
    yield managing_side("forged_consent", "a bit of the consent changed", "bad-consent", begun,
                        types(theirs), hears(tampered(consent())))  # fmt: skip
    yield managing_side("second_consent", "consent twice", "unexpected-frame", begun, hears(consent()),
                        hears(consent()))  # fmt: skip
    yield managing_side("offer_without_manage", "no manage key is offered", "missing-field",
                        hears(offer(PLAIN)))  # fmt: skip
    small = enc([2, NEW_NONCE, {**TABLET.record(), "id": b"\x01" + bytes(31)}])
    yield managing_side("offer_small_order", "a key of small order", "bad-key", hears(small))
    yield managing_side("consent_early", "consent before an offer", "unexpected-frame", hears(consent()))
    yield managing_side("late", "an offer after ten minutes", "expired", hears(offer(), at=10 * MINUTE))
