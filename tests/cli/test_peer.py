"""`taskferry peer`: shown, compared, verified, and taken back."""

from __future__ import annotations

from .conftest import Shell


def _connected(alice: Shell, bob: Shell) -> None:
    """Alice knows Bob, whether or not they are connected already."""
    assert alice("connect", "requester", "@bob/writer").code == 0


def test_the_code_that_one_side_shows_verifies_the_other(alice: Shell, bob: Shell) -> None:
    """Listed unverified, shown with its code and devices, verified by the digits, taken back."""
    _connected(alice, bob)
    shown = alice("peer", "show", "@bob/writer", "--json").json()
    code = str(shown["safety_code"])
    assert "unverified" in alice("peer", "list").out
    printed = alice("peer", "show", "@bob").out
    assert "Safety code" in printed
    assert code[:5] in printed
    wrong = alice("peer", "verify", "@bob", "--code", code[:-1] + str((int(code[-1]) + 1) % 10))
    assert wrong.code == 6
    assert "do not go on" in wrong.err
    assert "verified" in alice("peer", "verify", "@bob/writer", stdin=code + "\n").out
    assert alice("peer", "show", "@bob", "--json").json()["trust"] == "verified"
    assert alice("peer", "unverify", "@bob").code == 0
    assert alice("peer", "trust", "@bob", "--json").json()["trust"] == "pinned"
    assert "pinned" in alice("connections").out


def test_what_is_not_in_question_cannot_be_decided(alice: Shell, bob: Shell) -> None:
    """Keeping and accepting are for an identity in question; strangers are not known."""
    _connected(alice, bob)
    assert alice("peer", "keep", "@bob").code == 4
    assert alice("peer", "accept-change", "@bob", "--yes").code == 4
    assert alice("peer", "accept-change", "@bob", stdin="n\n").code == 130
    assert alice("peer", "show", "@nobody").code == 5
