"""`taskferry peer`: shown, compared, verified, and taken back."""

from __future__ import annotations

import pytest

from taskferry_apps.demo.stage import Stage

from .conftest import Shell, owner_with
from .test_narrow_terminal import COLUMNS, on_terminal


@pytest.fixture
def _known(alice: Shell, stranger: Shell) -> None:
    """Alice knows the other owner: she has asked for a connection, or has done so before."""
    assert alice("connect", "requester", "@stranger/adviser").code == 0


@pytest.fixture(scope="module")
def stranger(stage: Stage, relay: str) -> Shell:
    """An owner whom no other file's tests know: what Alice knows of an owner is for all of his agents."""
    return owner_with(stage, relay, "stranger", "adviser")


def line_about(shown: str) -> str:
    """The line of a table that is about this owner."""
    (line,) = (line for line in shown.splitlines() if "@stranger" in line)
    return line


@pytest.mark.usefixtures("_known")
def test_the_code_that_one_side_shows_verifies_the_other(alice: Shell, stranger: Shell) -> None:
    """Listed unverified, shown with its code and devices, verified by words and by digits, taken back."""
    shown = alice("peer", "show", "@stranger/adviser", "--json").json()
    assert str(shown["fingerprint"]) in stranger("status").out, "as its owner reads it"
    code = str(shown["safety_code"])
    assert "unverified" in line_about(alice("peer", "list").out)
    printed = alice("peer", "show", "@stranger").out
    assert "Safety words" in printed
    assert code[:5] in printed
    words = shown["safety_words"]
    assert isinstance(words, list)
    assert "  ".join(f"{word:8}" for word in words[:6]).rstrip() in printed
    wrong = alice("peer", "verify", "@stranger", "--code", code[:-1] + str((int(code[-1]) + 1) % 10))
    assert wrong.code == 6
    assert "do not go on" in wrong.err
    slip = alice("peer", "verify", "@stranger", stdin=" ".join(words[:-1]))
    assert slip.code == 2
    assert "24 words; this has 23" in slip.err
    rows = "\n".join(" ".join(words[at : at + 6]) for at in range(0, 24, 6))
    assert "verified" in alice("peer", "verify", "@stranger/adviser", stdin=rows).out
    assert alice("peer", "unverify", "@stranger").code == 0
    assert "verified" in alice("peer", "verify", "@stranger/adviser", stdin=code + "\n").out
    assert alice("peer", "show", "@stranger", "--json").json()["trust"] == "verified"
    assert alice("peer", "unverify", "@stranger").code == 0
    assert alice("peer", "trust", "@stranger", "--json").json()["trust"] == "pinned"
    assert "pinned" in line_about(alice("connections").out)


@pytest.mark.usefixtures("_known")
def test_at_a_terminal_the_words_are_typed_row_by_row(alice: Shell) -> None:
    """Whoever presses Enter after a row is told how many are to come; the rows fit the terminal."""
    words = alice("peer", "show", "@stranger", "--json").json()["safety_words"]
    assert isinstance(words, list)
    rows = "".join(" ".join(words[at : at + 9]) + "\n" for at in (0, 9, 18))
    lines = on_terminal(alice, "peer", "verify", "@stranger", typed=rows)
    # All was typed before the first question, so what the terminal echoes stands before them.
    assert lines[-1].endswith("owner reads: 15 more: 6 more: @stranger is verified.")
    assert alice("peer", "unverify", "@stranger").code == 0
    shown = on_terminal(alice, "peer", "show", "@stranger")
    # By whole rows: one of the words may come twice.
    code = [line for line in shown if line.startswith("    ") and line.split() in (words[:4], words[4:8])]
    assert len(code) == 2, "four words a row where six do not fit"
    assert max(map(len, code)) <= COLUMNS


@pytest.mark.usefixtures("_known")
def test_what_is_not_in_question_cannot_be_decided(alice: Shell) -> None:
    """Keeping and accepting are for an identity in question; strangers are not known."""
    assert alice("peer", "keep", "@stranger").code == 4
    assert alice("peer", "accept-change", "@stranger", "--yes").code == 4
    assert alice("peer", "accept-change", "@stranger", stdin="n\n").code == 130
    assert alice("peer", "show", "@nobody").code == 5
