"""An agent's card: its edges, its shape and who may sign it."""

from __future__ import annotations

from collections.abc import Iterator

from spec.generate.identity import Log, lacking
from spec.generate.kit import NOW, Map, Signer, Value, sign, tampered
from spec.generate.parcels import ADA, BOB, CODER, LEAD, PHONE
from spec.generate.vector import ACCEPT, Vector, hexes, vector

CARD: Map = {
    "v": 1,
    "agent": LEAD,
    "version": 3,
    "at": NOW,
    "log": ADA.position(),
    "display_name": "Lead",
    "tagline": "Hands out the work",
    "description": "Plans, asks and checks.",
    "capabilities": ["plan", "review"],
    "tags": ["backend"],
    "visibility": "public",
}


def case(name: str, comment: str, expect: str, card: bytes, log: Log = ADA) -> Vector:
    """One card against the log of its account."""
    return vector(
        "cards",
        name,
        "card",
        "identity.md#5-cards",
        comment,
        expect,
        statements=hexes(log.statements),
        input=card.hex(),
    )


def made(by: Signer | None = None, /, **other: Value) -> bytes:
    """The card with other members."""
    return sign(by or ADA.manage, "card", {**CARD, **other})


def refused() -> Iterator[tuple[str, str, str, bytes]]:
    """One fault each."""

    def wrong(name: str, comment: str, code: str, **other: Value) -> tuple[str, str, str, bytes]:
        return name, comment, code, made(**other)

    for key in CARD:
        yield f"without_{key}", f"no `{key}`", "missing-field", sign(ADA.manage, "card", lacking(CARD, key))
    yield wrong("more", "a field that is not known", "unknown-field", price=3)
    yield wrong("version_of_format_2", "a card of a later format", "unknown-version", v=2)
    yield wrong("version_0", "versions count from 1", "bad-value", version=0)
    yield wrong("agent_text", "a handle in place of an agent reference", "wrong-type", agent="@ada/lead")
    yield wrong("agent_upper", "a capital letter in the name", "bad-value", agent=[ADA.account, "Lead"])
    yield wrong("display_name_81", "a display name of 81 bytes", "bad-value", display_name="n" * 81)
    yield wrong("tagline_161", "a tagline of 161 bytes", "bad-value", tagline="t" * 161)
    yield wrong("description_4097", "a description of 4,097 bytes", "bad-value", description="d" * 4_097)
    yield wrong("tags_33", "thirty-three tags", "too-many", tags=[f"tag-{n:02}" for n in range(33)])
    yield wrong("tag_empty", "an empty tag", "bad-value", tags=[""])
    yield wrong("tag_65", "a tag of 65 bytes", "bad-value", tags=["t" * 65])
    yield wrong("tags_unsorted", "tags in the wrong order", "not-canonical", tags=["b", "a"])
    yield wrong("capability_twice", "a capability twice", "not-canonical", capabilities=["plan", "plan"])
    yield wrong("visibility_other", "a visibility that is not known", "bad-value", visibility="friends")
    yield wrong("visibility_true", "true in place of a visibility", "wrong-type", visibility=True)
    yield wrong("log_elsewhere", "a head that the log does not have", "not-an-extension", log=[2, bytes(32)])
    yield wrong("log_ahead", "a position beyond the log held", "not-an-extension", log=[9, bytes(32)])
    yield "by_device_key", "signed by a device key", "not-authorized", made(ADA.first.id)
    yield "by_recovery_key", "signed by the recovery key", "not-authorized", made(ADA.recovery)
    yield "by_other_account", "signed by another owner", "not-authorized", made(BOB.manage)
    yield "other_kind", "signed as a grant", "bad-signature", sign(ADA.manage, "grant", CARD)
    yield "signature", "one bit of the signature changed", "bad-signature", tampered(made())
    yield "untagged", "no tag", "bad-cose", made()[1:]
    large = made(description="d" * 4_096, capabilities=[f"{n:02}" + "c" * 62 for n in range(32)],
                 tags=[f"{n:02}" + "t" * 62 for n in range(32)])  # fmt: skip
    assert len(large) > 8_192
    yield "too_large", "every field within its bound, the card beyond 8,192 bytes", "too-large", large


def vectors() -> Iterator[Vector]:
    """Good cards, then bad ones."""
    yield case("good", "a card of every field", ACCEPT, made())
    bare = made(display_name="", tagline="", description="", capabilities=[], tags=[], visibility="private")
    yield case("bare", "a card that says nothing", ACCEPT, bare)
    yield case("earlier_position", "it quotes an earlier position", ACCEPT, made(log=ADA.position(1)))
    yield case("by_second_device", "any managing device may sign", ACCEPT, made(PHONE.manage))
    for name, comment, code, card in refused():
        yield case(name, comment, code, card)
    revoked = ADA.branch().revoke(PHONE)
    card = made(PHONE.manage, log=revoked.position())
    yield case("by_revoked_device", "signed by a revoked device", "not-authorized", card, revoked)
    other = sign(ADA.manage, "card", {**CARD, "agent": CODER})
    yield case("of_other_account", "another owner's agent", "not-authorized", other, BOB)
