"""Cards: what they may say (spec/identity.md section 5)."""

import attrs
import pytest

from taskferry_protocol.cards import Card, Visibility, read_card, sign_card
from taskferry_protocol.crypto import Kind

from .owners import NOW, Owner, Refused, resigned

ANN = Owner("ann")
CARD = Card(
    ANN.agent("coder"),
    3,
    NOW,
    ANN.log.position,
    "The coder",
    "writes what is asked",
    "line one\nline two",
    ("python", "review", "zig"),
    ("backend",),
    Visibility.PUBLIC,
)


@pytest.mark.parametrize("card", [CARD, Card(ANN.agent("x"), 1, NOW, ANN.log.position)])
def test_card_survives_the_way(card):
    """What was signed is what is read."""
    assert read_card(sign_card(card, ANN.manage), ANN.log) == card


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"version": 0}, "bad-value"),
        ({"display_name": "x" * 81}, "bad-value"),
        ({"tagline": "é" * 81}, "bad-value"),
        ({"description": "x" * 4097}, "bad-value"),
        ({"capabilities": ["b", "a"]}, "not-canonical"),
        ({"tags": ["a", "a"]}, "not-canonical"),
        ({"tags": [""]}, "bad-value"),
        ({"tags": ["x" * 65]}, "bad-value"),
        ({"tags": [1]}, "wrong-type"),
        ({"capabilities": [f"{n:02}" for n in range(33)]}, "too-many"),
        ({"visibility": "hidden"}, "bad-value"),
        ({"visibility": "x" * 100}, "bad-value"),
    ],
)
def test_faulty_card_is_refused(changes, code):
    """Lengths are counted in bytes, lists are sorted and without doubles."""
    raw = resigned(sign_card(CARD, ANN.manage), Kind.CARD, ANN.manage, changes)
    with Refused(code):
        read_card(raw, ANN.log)


def test_largest_card_fits():
    """Every field at its bound stays within the limit, and what is longer is too large."""
    words = tuple(sorted(f"{number:064}" for number in range(32)))
    card = attrs.evolve(
        CARD,
        display_name="x" * 80,
        tagline="x" * 160,
        description="x" * 3_000,
        capabilities=words,
        tags=words[:1],
    )
    assert read_card(sign_card(card, ANN.manage), ANN.log) == card
    with Refused("too-large"):
        read_card(sign_card(attrs.evolve(card, description="x" * 8_000), ANN.manage), ANN.log)
