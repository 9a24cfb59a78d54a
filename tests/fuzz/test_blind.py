"""Mutations without coverage: the same for one seed, within their bounds, and what they break is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz import blind, documents
from tests.fuzz.blind import Mutator, blind_round

POOL = (b"", b"a" * 40, bytes(range(256)))


def _inputs(seed: int, count: int = 2_000) -> list[bytes]:
    mutator = Mutator(POOL, seed, 64)
    return [mutator.next() for _ in range(count)]


def test_one_seed_gives_the_same_inputs_again():
    """A round can be repeated; another seed gives others, and no input is too long."""
    assert _inputs(7) == _inputs(7) != _inputs(8)
    assert max(map(len, _inputs(7))) <= 64
    assert len(set(_inputs(7))) > 1_000


def test_nothing_cannot_be_changed():
    """Without any input there is no mutation."""
    with pytest.raises(ValueError, match="nothing to change"):
        Mutator((), 0, 64)


def test_a_round_counts_what_it_ran(tmp_path: Path):
    """So many executions of a decoder that holds, and nothing is kept."""
    corpus, findings = _folders(tmp_path, b"name")
    done = blind_round("names", corpus, findings, seed=1, executions=700, seconds=30, most_bytes=64)
    assert done == (700, "")
    assert list(findings.iterdir()) == []


def test_what_breaks_a_target_is_kept(tmp_path: Path, monkeypatch, capsys):
    """An error that is no coded refusal ends the round, and its input lies among the findings."""
    corpus, findings = _folders(tmp_path, b"harmless")

    def brittle(data: bytes) -> None:
        if data[:1] == b"\xff":
            raise RuntimeError("a bug")

    monkeypatch.setitem(documents.DOCUMENTS, "statement", brittle)
    monkeypatch.setattr("sys.argv", ["blind", "statement", str(corpus), "--findings", str(findings)])
    assert blind._main() == 1
    (kept,) = findings.iterdir()
    assert kept.read_bytes()[:1] == b"\xff"
    assert "RuntimeError: a bug" in capsys.readouterr().out


def _folders(tmp_path: Path, data: bytes) -> tuple[Path, Path]:
    corpus, findings = tmp_path / "corpus", tmp_path / "findings"
    corpus.mkdir()
    findings.mkdir()
    (corpus / "one").write_bytes(data)
    return corpus, findings
