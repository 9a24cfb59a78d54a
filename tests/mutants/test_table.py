"""The table of faults still fits the code; `make mutants` runs them."""

import ast

import pytest

from .mutant import TREE, Stale, mutated
from .table import MUTANTS, WIDER
from .trial import copied_source, try_out


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_every_mutant_applies(mutant):
    """Its old text stands once where it says, what comes of it is Python, and its tests are there."""
    ast.parse(mutated(mutant))
    assert mutant.layer in WIDER
    for path in (*mutant.tests, *WIDER[mutant.layer]):
        assert (TREE / path).exists(), path


def test_names_are_told_apart():
    """Whoever names a mutant means one, and there are enough of them to mean something."""
    names = [mutant.name for mutant in MUTANTS]
    assert len(set(names)) == len(names) >= 60


def test_stale_entry_is_an_error(tmp_path):
    """Where code has moved on, an entry does not pass for one that was tried."""
    path = tmp_path / MUTANTS[0].file
    path.parent.mkdir(parents=True)
    path.write_text("# something else\n")
    with pytest.raises(Stale):
        mutated(MUTANTS[0], tmp_path)


def test_one_mutant_is_killed_and_the_tree_left_alone(tmp_path):
    """The whole way once: a copy is changed, a test fails by name, and the copy is as it was."""
    mutant = next(mutant for mutant in MUTANTS if mutant.name == "rate-free")
    with copied_source(tmp_path) as copy:
        before = (copy / mutant.file).read_bytes()
        verdict = try_out(mutant, copy, seconds=100, wider=False)
        assert (copy / mutant.file).read_bytes() == before
    assert verdict.killed
    assert verdict.by.startswith("tests/protocol/test_rates.py::")
